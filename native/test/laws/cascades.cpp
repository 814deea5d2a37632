// Cascade drafting laid open for JavaScript, whose functions are the models.
#include <map>
#include <utility>

#include "addon/lowlevel_convert.h"
#include "test/laws/cascade_law.h"
#include "test/laws/copy_proposal.h"
#include "test/laws/laws_module.h"

namespace speccascade::laws {

using namespace addon;

namespace {

// Rows by logits(model, prefix) of JavaScript, asked for once; copies by Max-Gram over
// an input and the output so far, or by copy(prefix) of JavaScript.
template <typename RealType>
class CallbackModels {
 public:
  using Real = RealType;

  explicit CallbackModels(const Napi::Object& args)
      : args_(args),
        vocabulary_(vocabulary_of(args)),
        drafts_(to_ints(args, "drafts")),
        input_(to_ints(args, "input")),
        start_(to_int(args, "start", 0, kMaxVocabulary)),
        scaling_(to_scaling(args)),
        logits_(args.Get("logits").As<Napi::Function>()) {}

  void row(int drafter, const std::vector<int32_t>& prefix, Real* row, Real* unscaled) {
    const int model = drafter < 0 ? 0 : drafts_[static_cast<size_t>(drafter)];
    if (model < 0) fail(ErrorCode::kInput, "drafts: the rule reads the first, a copy model");
    std::vector<Real>& known = rows_[{model, prefix}];
    if (known.empty()) known = ask(model, prefix);
    std::copy(known.begin(), known.begin() + vocabulary_, row);
    if (unscaled) std::copy(known.begin() + vocabulary_, known.end(), unscaled);
  }

  void copy(const std::vector<int32_t>& prefix, int length, std::vector<int32_t>* tokens) {
    if (!args_.Get("copy").IsFunction()) {
      copy_text(prefix, length, tokens);
    } else {
      const Napi::HandleScope scope(args_.Env());
      const auto function = args_.Get("copy").As<Napi::Function>();
      const auto copied =
          function.Call({from_ints(args_.Env(), prefix)}).template As<Napi::Int32Array>();
      tokens->assign(copied.Data(), copied.Data() + copied.ElementLength());
      if (static_cast<int>(tokens->size()) > length) tokens->resize(static_cast<size_t>(length));
    }
    for (const int32_t token : *tokens) {
      if (token < 0 || token >= vocabulary_) fail(ErrorCode::kInput, "copied token ", token);
    }
  }

 private:
  // The scaled row, then the unscaled one.
  std::vector<Real> ask(int model, const std::vector<int32_t>& prefix) {
    const Napi::Env env = args_.Env();
    const Napi::HandleScope scope(env);
    Napi::Object answer = Napi::Object::New(env);
    answer.Set("rows", logits_.Call({Napi::Number::New(env, model), from_ints(env, prefix)}));
    const Real* logits = need_rows<Real>(answer, "rows", vocabulary_);
    std::vector<Real> rows(2 * static_cast<size_t>(vocabulary_));
    scale_row(logits, vocabulary_, scaling_, rows.data());
    confidence_row(logits, vocabulary_, scaling_, rows.data() + vocabulary_);
    return rows;
  }

  void copy_text(const std::vector<int32_t>& prefix, int length, std::vector<int32_t>* tokens) {
    std::vector<int32_t> output = {start_};
    output.insert(output.end(), prefix.begin(), prefix.end());
    const MaxGramText text = {input_.data(), static_cast<int>(input_.size()), output.data(),
                              static_cast<int>(output.size())};
    *tokens = copy_proposal(text, {nullptr, 0}, {}, length).tokens;
  }

  Napi::Object args_;
  int vocabulary_;
  std::vector<int32_t> drafts_;
  std::vector<int32_t> input_;
  int32_t start_;
  RowScaling scaling_;
  Napi::Function logits_;
  std::map<std::pair<int, std::vector<int32_t>>, std::vector<Real>> rows_;
};

// `lengths` is kept by the caller, as the shape points to it.
CascadeShape to_shape(const Napi::Object& args, const std::vector<int32_t>& lengths) {
  const std::vector<int32_t> drafts = to_ints(args, "drafts");
  if (lengths.size() != drafts.size() * drafts.size()) {
    fail(ErrorCode::kInput, "lengths: expected ", drafts.size(), " rows and columns");
  }
  CascadeShape shape = {};
  shape.vocabulary = vocabulary_of(args);
  shape.drafters = static_cast<int>(drafts.size());
  shape.copies = !drafts.empty() && drafts.back() < 0;
  shape.lengths = lengths.data();
  shape.greedy = !(to_scaling(args).temperature > 0.0);
  shape.leniency = to_rule(args.Get("leniency").As<Napi::Object>());
  if (reads_confidence(shape.leniency.kind)) {
    fail(ErrorCode::kInput, "leniency: reviews below the target are lossless or lossy");
  }
  return shape;
}

template <typename Real>
Napi::Value cascade_law_of(Napi::Env env, const Napi::Object& args) {
  const std::vector<int32_t> lengths = to_ints(args, "lengths");
  CallbackModels<Real> models(args);
  const CascadeLaw law = cascade_law(to_shape(args, lengths), rule_of(args), models);
  Napi::Object object = Napi::Object::New(env);
  object.Set("length", from_doubles(env, law.length));
  object.Set("calls", from_doubles(env, law.calls));
  Napi::Array emitted = Napi::Array::New(env, law.emitted.size());
  uint32_t at = 0;
  for (const auto& [tokens, chance] : law.emitted) {
    Napi::Object one = Napi::Object::New(env);
    one.Set("tokens", from_ints(env, tokens));
    one.Set("chance", chance);
    emitted.Set(at++, one);
  }
  object.Set("emitted", emitted);
  return object;
}

template <typename Real>
Napi::Value cascade_greedy_of(Napi::Env env, const Napi::Object& args) {
  const std::vector<int32_t> lengths = to_ints(args, "lengths");
  CallbackModels<Real> models(args);
  const CascadeOutput output = cascade_greedy(
      to_shape(args, lengths), models, static_cast<size_t>(to_int(args, "count", 0, 1 << 20)));
  Napi::Object object = Napi::Object::New(env);
  object.Set("tokens", from_ints(env, output.tokens));
  object.Set("steps", from_ints(env, output.steps));
  object.Set("calls", from_doubles(env, {output.calls.begin(), output.calls.end()}));
  return object;
}

template <typename Function>
void define_for_precision(Napi::Object& functions, const char* name, Function function) {
  define_function(functions, name, [function](Napi::Env env, const Napi::Object& args) {
    const bool floats = args.Get("float").ToBoolean().Value();
    return floats ? function(float{}, env, args) : function(double{}, env, args);
  });
}

}  // namespace

void define_cascades(Napi::Object& functions) {
  define_for_precision(functions, "cascadeLaw", [](auto real, Napi::Env env, auto& args) {
    return cascade_law_of<decltype(real)>(env, args);
  });
  define_for_precision(functions, "cascadeGreedy", [](auto real, Napi::Env env, auto& args) {
    return cascade_greedy_of<decltype(real)>(env, args);
  });
}

}  // namespace speccascade::laws
