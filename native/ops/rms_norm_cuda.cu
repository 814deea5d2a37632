#include <cmath>

#include "base/cuda_launch.h"
#include "ops/ops_cuda.h"

namespace speccascade {

namespace {

constexpr int kThreads = 256;

struct Partial {
  float sum[kThreads / kWarpLanes];
};

// One block per row. The order of a row's sum depends on its width alone.
SC_KERNEL(kThreads) rms_norm_kernel(RmsNormArgs args) {
  const int row = block_index();
  if (row >= *args.num_rows) return;
  const int64_t source = args.in_rows ? args.in_rows[row] : row;
  const float* x = args.x + source * args.width;
  float* out = args.out + static_cast<int64_t>(row) * args.width;
  float own = 0.0f;
  for (int i = thread_index(); i < args.width; i += kThreads) own = fmaf(x[i], x[i], own);
  Partial& partial = shared<Partial>();
  own = warp_sum(own);
  if (lane_index() == 0) partial.sum[warp_index()] = own;
  sync_block();
  float total = 0.0f;
  for (const float part : partial.sum) total += part;
  const float factor = 1.0f / sqrtf(total / static_cast<float>(args.width) + args.epsilon);
  for (int i = thread_index(); i < args.width; i += kThreads) {
    out[i] = x[i] * factor * args.weight[i] * args.scale;
  }
}

}  // namespace

void rms_norm_cuda(const RmsNormArgs& args, void* stream) {
  launch({args.max_rows, kThreads}, stream, rms_norm_kernel, args);
}

}  // namespace speccascade
