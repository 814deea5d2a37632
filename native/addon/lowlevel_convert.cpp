#include "addon/lowlevel_convert.h"

#include <algorithm>

namespace speccascade::addon {

int to_int(const Napi::Object& object, const char* key, int min, int max) {
  const double number = to_number(object, key);
  if (!(number >= min && number <= max)) {
    fail(ErrorCode::kInput, key, ": expected ", min, " to ", max, ", received ", number);
  }
  return static_cast<int>(number);
}

RowScaling to_scaling(const Napi::Object& object) {
  const auto from = object.Get("scaling").As<Napi::Object>();
  RowScaling scaling;
  scaling.temperature = to_number(from, "temperature");
  scaling.top_k = to_int(from, "topK", 0, kMaxVocabulary);
  scaling.top_p = to_number(from, "topP");
  scaling.probabilities = from.Get("probabilities").ToBoolean().Value();
  return scaling;
}

StepVerifier to_verifier(const Napi::Object& object) {
  const std::string name = object.Get("verifier").ToString().Utf8Value();
  if (name == "chain") return StepVerifier::kChain;
  if (name == "block") return StepVerifier::kBlock;
  if (name == "tree") return StepVerifier::kTree;
  if (name == "traversal") return StepVerifier::kTraversal;
  fail(ErrorCode::kInput, "verifier: unknown name ", name);
}

Siblings to_siblings(const Napi::Object& object) {
  const std::string name = object.Get("siblings").ToString().Utf8Value();
  if (name == "with") return Siblings::kWithReplacement;
  if (name == "without") return Siblings::kWithoutReplacement;
  if (name == "fixed") return Siblings::kFixed;
  if (name == "given") return Siblings::kGiven;
  fail(ErrorCode::kInput, "siblings: unknown name ", name);
}

Rule rule_of(const Napi::Object& object) { return to_rule(object.Get("rule").As<Napi::Object>()); }

Napi::Float64Array from_doubles(Napi::Env env, const std::vector<double>& values) {
  Napi::Float64Array array = Napi::Float64Array::New(env, values.size());
  std::copy(values.begin(), values.end(), array.Data());
  return array;
}

Napi::Int32Array from_ints(Napi::Env env, const std::vector<int32_t>& values) {
  Napi::Int32Array array = Napi::Int32Array::New(env, values.size());
  std::copy(values.begin(), values.end(), array.Data());
  return array;
}

int64_t row_count(const Napi::Object& object, const char* key, int vocabulary) {
  const Napi::Value value = object.Get(key);
  if (!value.IsTypedArray()) fail(ErrorCode::kInput, key, ": expected rows");
  return static_cast<int64_t>(value.As<Napi::TypedArray>().ElementLength()) / vocabulary;
}

}  // namespace speccascade::addon
