#include <cmath>
#include <cstring>

#include "base/cuda_launch.h"
#include "ops/fragment_matrix.h"
#include "ops/ops_cuda.h"

namespace speccascade {

namespace {

constexpr int kThreads = 256;

struct FillShared {
  float largest[kThreads / kWarpLanes];
};

// The largest magnitude of row `row` of the tensor, in all threads.
SC_DEVICE float largest_of_row(const RandomFill& fill, uint64_t first) {
  float own = 0.0f;
  for (int i = thread_index(); i < fill.columns; i += kThreads) {
    own = fmaxf(own, fabsf(random_weight(fill.tensor, first + static_cast<uint64_t>(i))));
  }
  for (int lanes = kWarpLanes / 2; lanes > 0; lanes /= 2) {
    own = fmaxf(own, shuffle_xor(kAllLanes, own, lanes));
  }
  FillShared& memory = shared<FillShared>();
  if (lane_index() == 0) memory.largest[warp_index()] = own;
  sync_block();
  for (const float other : memory.largest) own = fmaxf(own, other);
  return own;
}

// A block per row of the tensor; rounds as pack_device_rows does.
SC_KERNEL(kThreads) fill_kernel(RandomFill fill) {
  const int row = block_index(), output = fill.row_begin + row, k = fill.columns;
  const uint64_t first = static_cast<uint64_t>(row) * static_cast<uint64_t>(k);
  char* out = static_cast<char*>(fill.out);
  float factor = 0.0f;
  if (fill.dtype == DType::kInt8) {
    const float largest = largest_of_row(fill, first);
    factor = largest > 1e-30f ? 127.0f / largest : 0.0f;
    const float scale = factor > 0.0f ? largest / 127.0f : 0.0f;
    const size_t at = scale_offset(output, fill.which, fill.total_rows, k, fill.gated);
    if (thread_index() == 0) *reinterpret_cast<float*>(out + at) = scale;
  }
  for (int i = thread_index(); i < k; i += kThreads) {
    const float value = random_weight(fill.tensor, first + static_cast<uint64_t>(i));
    char* element = out + element_offset(output, i, fill.which, k, fill.dtype, fill.gated);
    if (fill.dtype == DType::kInt8) {
      *element = static_cast<char>(static_cast<int8_t>(rintf(value * factor)));
      continue;
    }
    *reinterpret_cast<uint16_t*>(element) =
        fill.dtype == DType::kBF16 ? float_to_bf16(value) : float_to_f16(value);
  }
}

}  // namespace

void fill_random_cuda(const RandomFill& fill, void* stream) {
  launch({fill.rows, kThreads}, stream, fill_kernel, fill);
}

}  // namespace speccascade
