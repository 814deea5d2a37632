// In place of program_cuda.cu in builds without nvcc.
#include "base/cuda_device.h"
#include "ops/ops_cuda.h"

namespace speccascade {

const Backend& cuda_backend() {
  static const Backend backend = {nullptr, nullptr, nullptr, open_cuda_device, nullptr};
  return backend;
}

}  // namespace speccascade
