// Products of few rows, which stream the weight once: a block makes one tile of 16 outputs for up
// to 8 kColumns rows, its warps one run of K each, and adds the runs up in shared memory.
#pragma once

#include "ops/gemm_cuda.cuh"

namespace speccascade {

constexpr int kSkinnyThreads = kMaxSplits * kWarpLanes;

// Sums by run, matrix and part, output, row.
template <typename Type, bool kGated, int kColumns>
struct SkinnyShared {
  static constexpr int kRows = 8 * kColumns;
  static constexpr int kSums = (kGated ? 2 : 1) * Type::kSums;
  typename Type::Sum sum[kMaxSplits][kSums][kTileOutputs][kRows];
};

// The lane's part of a step of 8 rows from `row` on; zero for rows that are not there.
SC_DEVICE void load_inputs(const char* rows, int64_t stride, int row, int num_rows, int step,
                           uint32_t (&b)[2]) {
  b[0] = b[1] = 0;
  const int own = row + lane_index() / 4;
  if (own >= num_rows) return;
  memcpy(b, rows + own * stride + step * kStepBytes + lane_index() % 4 * 8, sizeof(b));
}

template <typename Type, bool kGated, int kColumns>
SC_DEVICE void multiply_run(const GemmArgs& args, int tile, int row, int parts,
                            SkinnyShared<Type, kGated, kColumns>& memory) {
  using Sum = typename Type::Sum;
  constexpr int kMatrices = kGated ? 2 : 1, kParts = Type::kSums;
  const Matrix& weight = args.weight;
  const DeviceInputs inputs = inputs_of(args, parts);
  const Split split = split_of(weight.k, weight.dtype);
  const int run = warp_index(), rows = *args.num_rows;
  const int begin = run * split.steps;
  const int end =
      begin + split.steps < split.steps_in_all ? begin + split.steps : split.steps_in_all;
  const char* fragments = static_cast<const char*>(weight.data) +
                          tile_offset(tile, 0, weight.k, weight.dtype, kGated) + lane_index() * 16;
  const int64_t matrix = static_cast<int64_t>(split.steps_in_all) * kFragmentBytes;
  Sum sums[kMatrices][kParts][kColumns][4] = {};
  SC_UNROLL_BY(kColumns == 1 ? 4 : 2)
  for (int step = begin; step < end; ++step) {
    uint32_t a[kMatrices][4];
    SC_UNROLL
    for (int m = 0; m < kMatrices; ++m) {
      const Words4 words =
          load_streaming(fragments + m * matrix + static_cast<int64_t>(step) * kFragmentBytes);
      SC_UNROLL
      for (int i = 0; i < 4; ++i) a[m][i] = words.word[i];
    }
    SC_UNROLL
    for (int c = 0; c < kColumns; ++c) {
      for (int p = 0; p < parts; ++p) {
        uint32_t b[2];
        load_inputs(inputs.prepared + p * inputs.part, inputs.stride, row + 8 * c, rows, step, b);
        SC_UNROLL
        for (int m = 0; m < kMatrices; ++m) {
          // Floating-point parts go into one sum, those of integers stay apart.
          if (kParts == 1 || p == 0) {
            Type::multiply(sums[m][0][c], a[m], b);
          } else {
            Type::multiply(sums[m][kParts - 1][c], a[m], b);
          }
        }
      }
    }
  }
  for_each_sum<kMatrices, kParts, kColumns>([&](int m, int p, int c, int i) {
    memory.sum[run][m * kParts + p][output_of_sum(i)][8 * c + row_of_sum(i)] = sums[m][p][c][i];
  });
}

// Blocks: tiles x groups of 8 kColumns rows. Threads: one warp for each run of K.
template <typename Type, bool kGated, int kColumns>
SC_KERNEL(kSkinnyThreads, 2)
skinny_kernel(GemmArgs args, int parts, int row_groups) {
  using Memory = SkinnyShared<Type, kGated, kColumns>;
  const int tile = block_index() / row_groups;
  const int row = block_index() % row_groups * Memory::kRows;
  if (row >= *args.num_rows) return;
  Memory& memory = shared<Memory>();
  multiply_run<Type, kGated, kColumns>(args, tile, row, parts, memory);
  sync_block();
  const int runs = block_threads() / kWarpLanes;
  finish_block<Type, kGated>(args, inputs_of(args, parts), row, Memory::kRows, tile, 1,
                             [&](int s, int output, int r) {
                               typename Type::Sum sum = memory.sum[0][s][output][r];
                               for (int run = 1; run < runs; ++run) {
                                 sum += memory.sum[run][s][output][r];
                               }
                               return sum;
                             });
}

}  // namespace speccascade
