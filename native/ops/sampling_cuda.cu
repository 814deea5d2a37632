#include "ops/sampling_cuda.cuh"

#include "base/cuda_launch.h"
#include "ops/ops_cuda.h"

namespace speccascade {

namespace {

// A block per row.
SC_KERNEL(kRowBlockThreads, kRowBlocks) distribution_kernel(DistributionArgs args) {
  wait_for_previous();
  const int r = block_index();
  if (r < *args.num_rows) distribute_row(args, r);
}

}  // namespace

void check_vocabulary_cuda(int vocabulary) {
  if (vocabulary <= kMostEntries) return;
  fail(ErrorCode::kDevice, "a vocabulary of ", vocabulary, ": CUDA takes at most ", kMostEntries);
}

void distribution_cuda(const DistributionArgs& args, void* stream) {
  check_vocabulary_cuda(args.vocabulary);
  launch(waiting(args.max_rows, row_block_threads(args.vocabulary)), stream, distribution_kernel,
         args);
}

}  // namespace speccascade
