#include "base/cuda_launch.h"
#include "ops/ops_cuda.h"
#include "ops/row_ops_cuda.cuh"

namespace speccascade {

namespace {

constexpr int kThreads = 128;

// One block per row.
SC_KERNEL(kThreads) embed_kernel(EmbedArgs args, LeftRows leaves) {
  wait_for_previous();
  if (block_index() < *args.num_rows) embed_row(args, leaves, block_index());
}

}  // namespace

void embed_cuda(const EmbedArgs& args, const LeftRows& leaves, void* stream) {
  launch(waiting(args.max_rows, kThreads), stream, embed_kernel, args, leaves);
}

}  // namespace speccascade
