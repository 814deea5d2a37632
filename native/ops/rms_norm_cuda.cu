#include "base/cuda_launch.h"
#include "ops/ops_cuda.h"
#include "ops/row_ops_cuda.cuh"

namespace speccascade {

namespace {

struct Squares {
  float bucket[kNormBuckets];
};

// One block per row.
SC_KERNEL(kNormThreads) rms_norm_kernel(RmsNormArgs args) {
  wait_for_previous();
  const int row = block_index();
  if (row >= *args.num_rows) return;
  const float* x = norm_input(args, row);
  float* out = args.out + static_cast<int64_t>(row) * args.width;
  Squares& squares = shared<Squares>();
  bucket_squares(args, x, squares.bucket);
  sync_block();
  const float factor = norm_factor(args, squares.bucket);
  for (int i = thread_index(); i < args.width; i += kNormThreads) {
    out[i] = normalised(args, x[i], factor, i);
  }
}

}  // namespace

void rms_norm_cuda(const RmsNormArgs& args, void* stream) {
  launch(waiting(args.max_rows, kNormThreads), stream, rms_norm_kernel, args);
}

}  // namespace speccascade
