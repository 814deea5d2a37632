#include "addon/lowlevel.h"

#include <algorithm>

#include "addon/lowlevel_convert.h"

namespace speccascade::addon {

namespace {

int vocabulary_of(const Napi::Object& object) {
  return to_int(object, "vocabulary", 1, kMaxVocabulary);
}

// Whole rows in the array at `key`.
int64_t row_count(const Napi::Object& object, const char* key, int vocabulary) {
  const Napi::Value value = object.Get(key);
  if (!value.IsTypedArray()) fail(ErrorCode::kInput, key, ": expected rows");
  return static_cast<int64_t>(value.As<Napi::TypedArray>().ElementLength()) / vocabulary;
}

template <typename Real>
Napi::Value scale_rows(Napi::Env env, const Napi::Object& args) {
  const int vocabulary = vocabulary_of(args);
  const RowScaling scaling = to_scaling(args);
  const int64_t rows = row_count(args, "rows", vocabulary);
  const Real* in = need_rows<Real>(args, "rows", rows * vocabulary);
  auto out = new_rows<Real>(env, rows * vocabulary);
  for (int64_t row = 0; row < rows; ++row) {
    scale_row(in + row * vocabulary, vocabulary, scaling, out.Data() + row * vocabulary);
  }
  return out.template As<Napi::Value>();
}

template <typename Real>
Napi::Value target_rows(Napi::Env env, const Napi::Object& args) {
  const int vocabulary = vocabulary_of(args);
  const RowScaling scaling = to_scaling(args);
  const Rule rule = rule_of(args);
  const int64_t rows = row_count(args, "target", vocabulary);
  const Real* target = need_rows<Real>(args, "target", rows * vocabulary);
  const Real* drafter = to_rows<Real>(args, "drafter", rows * vocabulary);
  if (drafter == nullptr && reads_drafter(rule.kind)) {
    fail(ErrorCode::kInput, "drafter: expected rows");
  }
  auto out = new_rows<Real>(env, rows * vocabulary);
  PositionRows<Real> position(vocabulary);
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t at = row * vocabulary;
    position.set(drafter ? drafter + at : nullptr, target + at, scaling,
                 reads_confidence(rule.kind));
    position.pi(rule, out.Data() + at);
  }
  return out.template As<Napi::Value>();
}

// Parents before children, tokens inside the vocabulary: what the core relies on.
void check_nodes(const std::vector<int32_t>& parents, const std::vector<int32_t>& tokens,
                 int vocabulary) {
  if (parents.size() != tokens.size()) fail(ErrorCode::kInput, "parents and tokens differ");
  for (size_t node = 0; node < parents.size(); ++node) {
    if (parents[node] < -1 || parents[node] >= static_cast<int32_t>(node)) {
      fail(ErrorCode::kInput, "parents[", node, "]: ", parents[node]);
    }
    if (tokens[node] < 0 || tokens[node] >= vocabulary) {
      fail(ErrorCode::kInput, "tokens[", node, "]: ", tokens[node]);
    }
  }
}

// Siblings drawn from the drafter need its rows; handed-over proposals must be there.
template <typename Real>
void check_proposals(const StepArgs<Real>& step) {
  if (step.siblings == Siblings::kGiven && step.proposals == nullptr && step.nodes > 0) {
    fail(ErrorCode::kInput, "proposals: expected rows");
  }
  const bool drawn = step.proposals == nullptr && step.siblings != Siblings::kFixed;
  for (int node = 0; drawn && node < step.nodes; ++node) {
    const int row = step.parents[node] + 1;
    if (step.drafter == nullptr || (step.drafter_rows != nullptr && !step.drafter_rows[row])) {
      fail(ErrorCode::kInput, "drafter: no row ", row, ", which node ", node, " was drawn from");
    }
  }
}

DrawAddress to_address(const Napi::Object& args) {
  bool lossless = true;
  const auto word = [&](const char* key) {
    return static_cast<uint32_t>(static_cast<int64_t>(to_number(args, key)));
  };
  return {args.Get("seed").As<Napi::BigInt>().Uint64Value(&lossless), word("request"),
          word("position"), word("step")};
}

const uint8_t* drafter_row_flags(const Napi::Object& args, size_t count) {
  const Napi::Value value = args.Get("drafterRows");
  if (!value.IsTypedArray()) return nullptr;
  const auto array = value.As<Napi::Uint8Array>();
  if (array.ElementLength() < count) fail(ErrorCode::kInput, "drafterRows: too short");
  return array.Data();
}

template <typename Real>
Napi::Value verify(Napi::Env env, const Napi::Object& args) {
  const std::vector<int32_t> parents = to_ints(args, "parents");
  const std::vector<int32_t> tokens = to_ints(args, "tokens");
  const std::vector<int32_t> stops = to_ints(args, "stopTokens");
  StepArgs<Real> step = {};
  step.rule = rule_of(args);
  step.scaling = to_scaling(args);
  step.vocabulary = vocabulary_of(args);
  check_nodes(parents, tokens, step.vocabulary);
  step.nodes = static_cast<int>(tokens.size());
  step.parents = parents.data();
  step.tokens = tokens.data();
  const int64_t rows = step.nodes + 1;
  step.target = need_rows<Real>(args, "target", rows * step.vocabulary);
  step.drafter = to_rows<Real>(args, "drafter", rows * step.vocabulary);
  step.drafter_rows = drafter_row_flags(args, static_cast<size_t>(rows));
  step.proposals =
      to_rows<Real>(args, "proposals", static_cast<int64_t>(step.nodes) * step.vocabulary);
  step.verifier = to_verifier(args);
  step.siblings = to_siblings(args);
  step.stops = stops.data();
  step.num_stops = static_cast<int>(stops.size());
  step.uniforms = to_rows<double>(args, "uniforms", rows);
  step.at = to_address(args);
  if (step.drafter == nullptr && reads_drafter(step.rule.kind)) {
    fail(ErrorCode::kInput, "drafter: expected rows");
  }
  check_proposals(step);
  const StepResult result = verify_step(step);
  Napi::Object object = Napi::Object::New(env);
  object.Set("accepted", from_ints(env, result.accepted));
  object.Set("next", result.next);
  object.Set("deferral", from_floats(env, result.deferral));
  return object;
}

}  // namespace

void define_lowlevel_steps(Napi::Object& functions) {
  define_function(functions, "scale", [](Napi::Env env, const Napi::Object& args) {
    return with_real(args, "rows",
                     [&](auto real) { return scale_rows<decltype(real)>(env, args); });
  });
  define_function(functions, "target", [](Napi::Env env, const Napi::Object& args) {
    return with_real(args, "target",
                     [&](auto real) { return target_rows<decltype(real)>(env, args); });
  });
  define_function(functions, "verify", [](Napi::Env env, const Napi::Object& args) {
    return with_real(args, "target", [&](auto real) { return verify<decltype(real)>(env, args); });
  });
}

Napi::Object define_lowlevel(Napi::Env env) {
  Napi::Object functions = Napi::Object::New(env);
  define_lowlevel_steps(functions);
  define_lowlevel_laws(functions);
  define_lowlevel_cascades(functions);
  define_lowlevel_formulas(functions);
  define_lowlevel_device(functions);
  define_lowlevel_bench(functions);
  return functions;
}

}  // namespace speccascade::addon
