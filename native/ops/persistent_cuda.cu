#include "ops/persistent_cuda.cuh"

#include "base/cuda_launch.h"
#include "ops/ops_cuda.h"

namespace speccascade {

namespace {

template <PassTypes kTypes>
SC_KERNEL(kPersistentThreads, 1)
pass_kernel(PersistentPass pass) {
  walk_pass<kTypes>(pass);
}

}  // namespace

void run_persistent_cuda(const PersistentPass& pass, void* stream) {
  const bool bf16 = pass.types == PassTypes::kBf16;
  launch({pass.blocks, kPersistentThreads, true}, stream,
         bf16 ? pass_kernel<PassTypes::kBf16> : pass_kernel<PassTypes::kAll>, pass);
}

bool persistent_fits_cuda() {
  return fits_multiprocessor(pass_kernel<PassTypes::kAll>, kPersistentThreads);
}

}  // namespace speccascade
