// Copying from text and expected gains among the low-level functions.
#include "addon/lowlevel.h"
#include "addon/lowlevel_convert.h"
#include "decode/expectations.h"
#include "decode/max_gram.h"

namespace speccascade::addon {

namespace {

Napi::Value max_gram_of(Napi::Env env, const Napi::Object& args) {
  const std::vector<int32_t> input = to_ints(args, "input");
  const std::vector<int32_t> output = to_ints(args, "output");
  const std::vector<int32_t> ends = to_ints(args, "ends");
  const std::vector<int32_t> bigrams = to_ints(args, "bigrams");
  const MaxGramText text = {input.data(), static_cast<int>(input.size()), output.data(),
                            static_cast<int>(output.size())};
  std::vector<int32_t> scratch(output.size());
  std::vector<int32_t> tokens(static_cast<size_t>(to_int(args, "length", 0, 1 << 20)));
  const MaxGramMatch match = max_gram_match(text, scratch.data());
  const int proposed = max_gram_propose(
      text, match, {bigrams.data(), static_cast<int>(bigrams.size())}, ends.data(),
      static_cast<int>(ends.size()), static_cast<int>(tokens.size()), tokens.data());
  tokens.resize(static_cast<size_t>(proposed));
  Napi::Object object = Napi::Object::New(env);
  object.Set("match", match.length);
  object.Set("start", match.start);
  object.Set("tokens", from_ints(env, tokens));
  return object;
}

// Arguments of a formula, in order; stages of a horizontal cascade one after another.
class Arguments {
 public:
  explicit Arguments(const Napi::Object& args)
      : values_(args.Get("args").As<Napi::Float64Array>()) {}

  double number(size_t i) const {
    if (i >= size()) fail(ErrorCode::kInput, "args: expected more than ", i, ", got ", size());
    return values_[i];
  }
  int count(size_t i) const {
    const double value = number(i);
    if (!(value >= 0 && value <= 1e6)) fail(ErrorCode::kInput, "args[", i, "]: ", value);
    return static_cast<int>(value);
  }
  size_t size() const { return values_.ElementLength(); }
  const double* data() const { return values_.Data(); }

 private:
  Napi::Float64Array values_;
};

double horizontal(const Arguments& a) {
  std::vector<HorizontalStage> stages;
  for (size_t i = 0; i < a.size(); i += 3) {
    stages.push_back({a.number(i), a.count(i + 1), a.number(i + 2)});
  }
  return expected_horizontal_speedup(stages.data(), static_cast<int>(stages.size()));
}

double expectation(const std::string& name, const Arguments& a) {
  if (name == "tokens") return expected_tokens(a.number(0), a.count(1));
  if (name == "ewif") return expected_speedup(a.number(0), a.count(1), a.number(2));
  if (name == "pgf") return tokens_generating(a.number(0), a.number(1), a.count(2));
  if (name == "ewifVertical") {
    return expected_vertical_speedup(
        {a.number(0), a.number(1), a.count(2), a.count(3), a.number(4), a.number(5)});
  }
  if (name == "ewifHorizontal") return horizontal(a);
  if (name == "treeTokens") return expected_tree_tokens(a.data(), static_cast<int>(a.size()));
  fail(ErrorCode::kInput, "expectation: unknown name ", name);
}

}  // namespace

void define_lowlevel_formulas(Napi::Object& functions) {
  define_function(functions, "maxGram", max_gram_of);
  define_function(functions, "expectation", [](Napi::Env env, const Napi::Object& args) {
    const std::string name = args.Get("name").ToString().Utf8Value();
    return Napi::Number::New(env, expectation(name, Arguments(args)));
  });
}

}  // namespace speccascade::addon
