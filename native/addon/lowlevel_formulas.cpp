// Expected gains among the low-level functions.
#include "addon/lowlevel.h"
#include "addon/lowlevel_convert.h"
#include "decode/expectations.h"

namespace speccascade::addon {

namespace {

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
  define_function(functions, "expectation", [](Napi::Env env, const Napi::Object& args) {
    const std::string name = args.Get("name").ToString().Utf8Value();
    return Napi::Number::New(env, expectation(name, Arguments(args)));
  });
}

}  // namespace speccascade::addon
