// In place of program_cuda.cu in builds without nvcc.
#include "base/cuda_device.h"
#include "base/error.h"
#include "ops/ops_cuda.h"

namespace speccascade {

const Backend& cuda_backend() {
  static const Backend backend = {nullptr,          nullptr, nullptr, nullptr,
                                  open_cuda_device, nullptr, nullptr, nullptr};
  return backend;
}

void distribution_cuda(const DistributionArgs&, void*) {
  fail(ErrorCode::kDevice, "this build has no kernels for GPUs");
}

}  // namespace speccascade
