// Registers the surface of lib/native.ts.
#include <napi.h>

#include "addon/convert.h"
#include "addon/lowlevel.h"
#include "addon/model_object.h"
#include "addon/session_object.h"
#include "base/device.h"
#include "base/philox.h"

namespace speccascade::addon {

namespace {

Napi::Value devices(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return translate(env, [&]() -> Napi::Value {
    const std::vector<DeviceInfo> list = list_devices();
    Napi::Array array = Napi::Array::New(env, list.size());
    for (uint32_t i = 0; i < list.size(); ++i) {
      const DeviceInfo& device = list[i];
      Napi::Object object = Napi::Object::New(env);
      object.Set("name", device.name);
      object.Set("kind", device.kind);
      object.Set("memoryBytes", static_cast<double>(device.memory_bytes));
      if (!device.compute_capability.empty()) {
        object.Set("computeCapability", device.compute_capability);
      }
      object.Set("features", from_strings(env, device.features));
      if (!device.note.empty()) object.Set("note", device.note);
      array.Set(i, object);
    }
    return array;
  });
}

// philox(seed, counter[4]): the four words of the block.
Napi::Value philox_words(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  bool lossless = true;
  const uint64_t seed = info[0].As<Napi::BigInt>().Uint64Value(&lossless);
  const auto counter = info[1].As<Napi::Uint32Array>();
  PhiloxBlock block = {};
  for (size_t i = 0; i < 4 && i < counter.ElementLength(); ++i) block.word[i] = counter[i];
  block = philox(block, static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
  Napi::Uint32Array words = Napi::Uint32Array::New(env, 4);
  for (size_t i = 0; i < 4; ++i) words[i] = block.word[i];
  return words;
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  auto* state = new Instance;
  env.SetInstanceData(state);
  state->model_class = Napi::Persistent(ModelObject::define(env));
  state->session_class = Napi::Persistent(SessionObject::define(env));
  exports.Set("setErrorClass", Napi::Function::New(env, set_error_class));
  exports.Set("loadModel", Napi::Function::New(env, ModelObject::load));
  exports.Set("createSession", Napi::Function::New(env, SessionObject::create));
  exports.Set("devices", Napi::Function::New(env, devices));
  exports.Set("philox", Napi::Function::New(env, philox_words));
  exports.Set("lowlevel", define_lowlevel(env));
  return exports;
}

}  // namespace

}  // namespace speccascade::addon

static Napi::Object init_addon(Napi::Env env, Napi::Object exports) {
  return speccascade::addon::init(env, exports);
}

NODE_API_MODULE(speccascade, init_addon)
