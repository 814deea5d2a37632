// Rows of x that a product of f16 scales and rounds itself, as it reads them, with the norm before
// it: what is prepared in launches of their own elsewhere (gemm_inputs_cuda.cuh), to the bit.
#pragma once

#include "ops/gemm_inputs_cuda.cuh"
#include "ops/row_ops_cuda.cuh"

namespace speccascade {

constexpr int kOwnRows = 8;  // of a tile

// Of the rows from `row` on; the block has kNormThreads threads or more.
struct OwnRowsShared {
  float squares[kOwnRows][kNormBuckets];
  uint32_t magnitude[kOwnRows][kPrepareWarps];
  float factor[kOwnRows];  // of the norm
  RowScale scale[kOwnRows];
};

struct OwnRows {
  static constexpr int kStepsAhead = 4;

  const GemmArgs& args;
  const RmsNormArgs& norm;
  int row, num_rows;
  OwnRowsShared& memory;

  SC_DEVICE const float* input(int own) const {
    if (norm.x != nullptr) return norm_input(norm, own);
    const int64_t source = args.in_rows ? args.in_rows[own] : own;
    return args.x + source * args.ldx;
  }
  // Entry i of row `row + r`, before it is scaled.
  SC_DEVICE float entry(float x, int r, int i) const {
    return unscaled_entry(DType::kF16, norm, x, memory.factor[r], i);
  }

  // By all threads, before the first load().
  SC_DEVICE void measure() const {
    if (norm.x != nullptr) measure_norms();
    measure_scales();
  }

  // A lane's part of a step.
  SC_DEVICE void load(int part, int, int step, uint32_t (&b)[1][2]) const {
    b[0][0] = b[0][1] = 0;
    const int r = lane_index() / 4;
    if (row + r >= num_rows) return;
    constexpr int kValues = 4;
    const int k = args.weight.k, first = (step * 4 + lane_index() % 4) * kValues;
    const float* x = input(row + r);
    Values4 values = {};
    if (first + kValues <= k && k % kValues == 0) {
      values = *reinterpret_cast<const Values4*>(x + first);
    } else {
      for (int i = 0; i < kValues && first + i < k; ++i) values.value[i] = x[first + i];
    }
    SC_UNROLL
    for (int i = 0; i < kValues; ++i) {
      if (first + i >= k) continue;
      const float value = entry(values.value[i], r, first + i) * memory.scale[r].before;
      const uint32_t bits = part_of(DType::kF16, part, value);
      b[0][i / 2] |= bits << (16 * (i % 2));
    }
  }
  SC_DEVICE void find(float (&factor)[kOwnRows]) const {
    const int r = thread_index();
    if (r >= kOwnRows || row + r >= num_rows) return;
    factor[r] = memory.scale[r].after;
  }

 private:
  // The rows that there are, which the block's first warps measure.
  SC_DEVICE int rows_to_measure() const {
    if (thread_index() >= kNormThreads) return 0;
    return num_rows - row < kOwnRows ? num_rows - row : kOwnRows;
  }

  SC_DEVICE void measure_norms() const {
    const int rows = rows_to_measure(), own = thread_index();
    for (int r = 0; r < rows; ++r) {
      bucket_squares(norm, input(row + r), memory.squares[r]);
    }
    sync_block();
    if (own < rows) memory.factor[own] = norm_factor(norm, memory.squares[own]);
    sync_block();
  }

  SC_DEVICE void measure_scales() const {
    const int rows = rows_to_measure(), own = thread_index();
    for (int r = 0; r < rows; ++r) {
      const float* x = input(row + r);
      uint32_t largest = 0;
      for (int i = own; i < args.weight.k; i += kNormThreads) {
        take_magnitude(largest, entry(x[i], r, i));
      }
      largest = warp_magnitude(largest);
      if (lane_index() == 0) memory.magnitude[r][warp_index()] = largest;
    }
    sync_block();
    if (own < rows) {
      uint32_t largest = 0;
      for (const uint32_t one : memory.magnitude[own]) largest = one > largest ? one : largest;
      memory.scale[own] = row_scale(largest);
    }
    sync_block();
  }
};

}  // namespace speccascade
