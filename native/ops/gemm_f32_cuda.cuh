// Products of weights in f32, for checking: a warp takes one panel of 32 columns and 8 rows, a lane
// one column, k ascending.
#pragma once

#include "ops/gemm_cuda.cuh"

namespace speccascade {

constexpr int kF32Warps = 4;
constexpr int kF32Threads = kF32Warps * kWarpLanes;
constexpr int kF32Rows = 8;

// Blocks: groups of four panels x groups of eight rows.
SC_KERNEL(kF32Threads) f32_kernel(GemmArgs args, int panels, int row_groups) {
  wait_for_previous();
  const int panel = block_index() / row_groups * kF32Warps + warp_index();
  const int row = block_index() % row_groups * kF32Rows, rows = *args.num_rows;
  if (row >= rows || panel >= panels) return;
  const Matrix& weight = args.weight;
  const int lane = lane_index(), k = weight.k;
  const float* line =
      static_cast<const float*>(weight.data) + static_cast<int64_t>(panel) * k * kPanel + lane;
  const float* x[kF32Rows];
  SC_UNROLL
  for (int r = 0; r < kF32Rows; ++r) {
    const int own = row + r < rows ? row + r : row;
    x[r] = args.x + static_cast<int64_t>(args.in_rows ? args.in_rows[own] : own) * args.ldx;
  }
  float sums[kF32Rows] = {};
  for (int i = 0; i < k; ++i) {
    const float w = line[static_cast<int64_t>(i) * kPanel];
    SC_UNROLL
    for (int r = 0; r < kF32Rows; ++r) sums[r] = fmaf(x[r][i], w, sums[r]);
  }
  const int columns = weight.gated ? kPanel / 2 : kPanel;
  const int n = panel * columns + lane % columns;
  SC_UNROLL
  for (int r = 0; r < kF32Rows; ++r) {
    // The other matrix of a pair is in the upper half of the warp.
    const float second = shuffle_xor(kAllLanes, sums[r], kPanel / 2);
    const bool there = row + r < rows && lane < columns && n < weight.n;
    float value = 0.0f;
    if (there) {
      char* out = output_of_row(args, row + r, n);
      const float before = args.epilogue == Epilogue::kAdd ? output_before(out) : 0.0f;
      value = value_of(args, before, sums[r], second);
      store_output(args, out, value);
    }
    if (args.peaks != nullptr) leave_peak(args, row + r, n, there, value);
  }
}

}  // namespace speccascade
