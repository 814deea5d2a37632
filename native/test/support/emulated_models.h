// Models whose passes run on the emulated device: the CUDA kernels and executor over its memory.
#pragma once

#include <memory>

#include "model/model.h"
#include "ops/ops_cuda.h"

namespace speccascade::test {

// Like random_model of tiny_models.h.
inline std::shared_ptr<const Model> emulated_model(const T5Config& config, uint64_t seed,
                                                   const char* dtype,
                                                   Executor executor = Executor::kKernels) {
  ModelSource source;
  source.seed = seed;
  ModelOptions options;
  options.device = "cuda";
  options.dtype = dtype;
  options.threads = 1;
  options.backend = &cuda_backend();
  options.executor = executor;
  return load_model(config, source, options, {});
}

}  // namespace speccascade::test
