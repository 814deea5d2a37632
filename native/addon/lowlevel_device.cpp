// The low-level function that runs on a GPU.
#include "addon/lowlevel.h"
#include "addon/lowlevel_convert.h"
#include "decode/position_cuda.h"

namespace speccascade::addon {

namespace {

Napi::Value device_position(Napi::Env env, const Napi::Object& args) {
  const int vocabulary = to_int(args, "vocabulary", 1, kMaxVocabulary);
  const RowScaling scaling = to_scaling(args);
  DevicePosition position;
  position.vocabulary = vocabulary;
  position.target = need_rows<float>(args, "target", vocabulary);
  position.drafter = to_rows<float>(args, "drafter", vocabulary);
  position.target_unscaled = to_rows<float>(args, "targetUnscaled", vocabulary);
  position.drafter_unscaled = to_rows<float>(args, "drafterUnscaled", vocabulary);
  position.temperature = static_cast<float>(scaling.temperature);
  position.top_k = scaling.top_k;
  position.top_p = static_cast<float>(scaling.top_p);
  position.rule = rule_of(args);
  const bool unscaled = position.target_unscaled != nullptr;
  if (reads_drafter(position.rule.kind) &&
      (position.drafter == nullptr || (position.drafter_unscaled != nullptr) != unscaled)) {
    fail(ErrorCode::kInput, "drafter: expected rows of the target's form");
  }
  const DevicePositionRows rows = position_on_cuda(to_int(args, "device", 0, 999), position);
  const auto row = [&](const std::vector<float>& values) {
    auto array = new_rows<float>(env, vocabulary);
    std::copy(values.begin(), values.end(), array.Data());
    return array;
  };
  Napi::Object object = Napi::Object::New(env);
  object.Set("target", row(rows.target));
  object.Set("pi", row(rows.pi));
  object.Set("deferral", rows.deferral);
  return object;
}

}  // namespace

void define_lowlevel_device(Napi::Object& functions) {
  define_function(functions, "devicePosition", device_position);
}

}  // namespace speccascade::addon
