#include "test/laws/laws_module.h"

static Napi::Object init_laws(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new speccascade::addon::Instance);
  exports.Set("setErrorClass", Napi::Function::New(env, speccascade::addon::set_error_class));
  speccascade::laws::define_operations(exports);
  speccascade::laws::define_laws(exports);
  speccascade::laws::define_cascades(exports);
  return exports;
}

NODE_API_MODULE(speccascade_laws, init_laws)
