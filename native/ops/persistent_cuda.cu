#include "ops/persistent_cuda.cuh"

#include "base/cuda_launch.h"
#include "ops/ops_cuda.h"

namespace speccascade {

namespace {

SC_KERNEL(kPersistentThreads, 1) pass_kernel(PersistentPass pass) {
  walk_pass<kPersistentThreads>(pass);
}

}  // namespace

void run_persistent_cuda(const PersistentPass& pass, void* stream) {
  launch({pass.blocks, kPersistentThreads, true}, stream, pass_kernel, pass);
}

bool persistent_fits_cuda() { return fits_multiprocessor(pass_kernel, kPersistentThreads); }

}  // namespace speccascade
