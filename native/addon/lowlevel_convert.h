// Conversions that the low-level functions share: rows of either type, checked
// against the size that the core will read.
#pragma once

#include <napi.h>

#include <string>
#include <vector>

#include "addon/convert.h"
#include "base/error.h"
#include "decode/step_cpu.h"

namespace speccascade::addon {

int to_int(const Napi::Object& object, const char* key, int min, int max);
RowScaling to_scaling(const Napi::Object& object);
StepVerifier to_verifier(const Napi::Object& object);
Siblings to_siblings(const Napi::Object& object);
// The rule at `rule`.
Rule rule_of(const Napi::Object& object);

Napi::Float64Array from_doubles(Napi::Env env, const std::vector<double>& values);
Napi::Int32Array from_ints(Napi::Env env, const std::vector<int32_t>& values);

constexpr int kMaxVocabulary = 1 << 24;
inline int vocabulary_of(const Napi::Object& object) {
  return to_int(object, "vocabulary", 1, kMaxVocabulary);
}

template <typename Real>
constexpr napi_typedarray_type kArrayType = sizeof(Real) == sizeof(float) ? napi_float32_array
                                                                          : napi_float64_array;

// Whether rows are Float64Array, the double path.
inline bool is_double(const Napi::Value& value) {
  return value.IsTypedArray() &&
         value.As<Napi::TypedArray>().TypedArrayType() == napi_float64_array;
}

// The rows at `key`, at least `count` numbers; null where the property is null.
template <typename Real>
const Real* to_rows(const Napi::Object& object, const char* key, int64_t count) {
  const Napi::Value value = object.Get(key);
  if (value.IsNull() || value.IsUndefined()) return nullptr;
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != kArrayType<Real>) {
    fail(ErrorCode::kInput, key, ": expected rows of the same type as the others");
  }
  const auto array = value.As<Napi::TypedArrayOf<Real>>();
  if (static_cast<int64_t>(array.ElementLength()) < count) {
    fail(ErrorCode::kInput, key, ": expected ", count, " numbers, received ",
         array.ElementLength());
  }
  static const Real kNoRows = 0;
  return array.ElementLength() > 0 ? array.Data() : &kNoRows;
}

// The same where null has no meaning.
template <typename Real>
const Real* need_rows(const Napi::Object& object, const char* key, int64_t count) {
  const Real* rows = to_rows<Real>(object, key, count);
  if (rows == nullptr) fail(ErrorCode::kInput, key, ": expected rows");
  return rows;
}

// Whole rows in the array at `key`.
int64_t row_count(const Napi::Object& object, const char* key, int vocabulary);

template <typename Real>
Napi::TypedArrayOf<Real> new_rows(Napi::Env env, int64_t count) {
  return Napi::TypedArrayOf<Real>::New(env, static_cast<size_t>(count), kArrayType<Real>);
}

// Calls body with a value of the arithmetic that the rows at `key` ask for.
template <typename Body>
auto with_real(const Napi::Object& object, const char* key, const Body& body) {
  return is_double(object.Get(key)) ? body(double{}) : body(float{});
}

// Registers a function of one object argument.
template <typename Body>
void define_function(Napi::Object& functions, const char* name, Body body) {
  functions.Set(name, Napi::Function::New(functions.Env(), [body](const Napi::CallbackInfo& info) {
                  const Napi::Env env = info.Env();
                  return translate(
                      env, [&]() -> Napi::Value { return body(env, info[0].As<Napi::Object>()); });
                }));
}

}  // namespace speccascade::addon
