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

// Rows of x that were prepared (gemm_inputs_cuda.cuh), from `row` on.
struct PreparedRows {
  DeviceInputs inputs;
  int row, num_rows;

  // The lane's part of a step of 8 rows, the c-th such; zero for rows that are not there.
  SC_DEVICE void load(int part, int c, int step, uint32_t (&b)[2]) const {
    b[0] = b[1] = 0;
    const int own = row + 8 * c + lane_index() / 4;
    if (own >= num_rows) return;
    load_words(inputs.prepared + part * inputs.part + own * inputs.stride + step * kStepBytes +
                   lane_index() % 4 * 8,
               b);
  }
  SC_DEVICE float factor(int r) const { return inputs.factors[row + r]; }
};

template <typename Type, bool kGated, int kColumns, typename Rows>
SC_DEVICE void multiply_run(const Matrix& weight, const Rows& rows, int tile, int parts,
                            const Split& split, SkinnyShared<Type, kGated, kColumns>& memory) {
  using Sum = typename Type::Sum;
  constexpr int kMatrices = kGated ? 2 : 1, kParts = Type::kSums;
  const int run = warp_index();
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
        rows.load(p, c, step, b);
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

// A tile of outputs of the rows from `row` on, by all threads of a block: at least a warp for each
// run of K.
template <typename Type, bool kGated, int kColumns, typename Rows>
SC_DEVICE void skinny_tile(const GemmArgs& args, const Rows& rows, int tile, int row, int parts,
                           SkinnyShared<Type, kGated, kColumns>& memory) {
  const Split split = split_of(args.weight.k, Type::kType);
  if (warp_index() < split.runs) {
    multiply_run<Type, kGated, kColumns>(args.weight, rows, tile, parts, split, memory);
  }
  sync_block();
  finish_block<Type, kGated>(
      args, [&](int r) { return rows.factor(r); }, row, 8 * kColumns, tile, 1,
      [&](int s, int output, int r) {
        typename Type::Sum sum = memory.sum[0][s][output][r];
        for (int run = 1; run < split.runs; ++run) sum += memory.sum[run][s][output][r];
        return sum;
      });
}

// Of each run, while the kernel before ends: enough that its first loads find the cache.
constexpr int kPrefetchedSteps = 8;

template <bool kGated>
SC_DEVICE void prefetch_run(const Matrix& weight, int tile) {
  constexpr int kSectorBytes = 32;
  const Split split = split_of(weight.k, weight.dtype);
  const int begin = warp_index() * split.steps, left = split.steps_in_all - begin;
  const int most = split.steps < kPrefetchedSteps ? split.steps : kPrefetchedSteps;
  const int bytes = (left < most ? left : most) * kFragmentBytes;
  for (int m = 0; m < (kGated ? 2 : 1); ++m) {
    const char* run = static_cast<const char*>(weight.data) +
                      tile_offset(tile, m, weight.k, weight.dtype, kGated) +
                      static_cast<int64_t>(begin) * kFragmentBytes;
    for (int at = lane_index() * kSectorBytes; at < bytes; at += kWarpLanes * kSectorBytes) {
      prefetch(run + at);
    }
  }
}

// Blocks: tiles x groups of 8 kColumns rows.
template <typename Type, bool kGated, int kColumns>
SC_KERNEL(kSkinnyThreads, 2)
skinny_kernel(GemmArgs args, int parts, int row_groups) {
  using Memory = SkinnyShared<Type, kGated, kColumns>;
  const int tile = block_index() / row_groups;
  prefetch_run<kGated>(args.weight, tile);
  wait_for_previous();
  const int row = block_index() % row_groups * Memory::kRows;
  if (row >= *args.num_rows) return;
  skinny_tile(args, PreparedRows{inputs_of(args, parts), row, *args.num_rows}, tile, row, parts,
              shared<Memory>());
}

}  // namespace speccascade
