#include "addon/lowlevel.h"

#include "addon/lowlevel_convert.h"
#include "addon/lowlevel_given_step.h"

namespace speccascade::addon {

namespace {

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

template <typename Real>
Napi::Value verify(Napi::Env env, const Napi::Object& args) {
  return from_step(env, verify_step(GivenStep<Real>(args).step()));
}

}  // namespace

void define_lowlevel_steps(Napi::Object& functions) {
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
  define_lowlevel_formulas(functions);
  define_lowlevel_device(functions);
  define_lowlevel_bench(functions);
  return functions;
}

}  // namespace speccascade::addon
