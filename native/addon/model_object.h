// NativeModel of lib/native.ts.
#pragma once

#include <napi.h>

#include <memory>

#include "model/model.h"

namespace speccascade::addon {

class ModelObject : public Napi::ObjectWrap<ModelObject> {
 public:
  static Napi::Function define(Napi::Env env);
  // loadModel(config, weights, options, onProgress, cancelled): promise of a NativeModel.
  static Napi::Value load(const Napi::CallbackInfo& info);

  // Takes its model as an external value; made by load() alone.
  explicit ModelObject(const Napi::CallbackInfo& info);
  void Finalize(Napi::BasicEnv env) override;

  // Throws ERR_CLOSED after dispose().
  std::shared_ptr<const Model> model() const;

 private:
  Napi::Value device(const Napi::CallbackInfo& info);
  Napi::Value dtype(const Napi::CallbackInfo& info);
  Napi::Value parameters(const Napi::CallbackInfo& info);
  Napi::Value memory_bytes(const Napi::CallbackInfo& info);
  Napi::Value report(const Napi::CallbackInfo& info);
  Napi::Value encode(const Napi::CallbackInfo& info);
  Napi::Value logits(const Napi::CallbackInfo& info);
  Napi::Value score(const Napi::CallbackInfo& info);
  Napi::Value time_passes(const Napi::CallbackInfo& info);
  Napi::Value time_steps(const Napi::CallbackInfo& info);
  Napi::Value dispose(const Napi::CallbackInfo& info);

  std::shared_ptr<const Model> model_;
};

}  // namespace speccascade::addon
