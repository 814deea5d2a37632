// Products of few rows, which stream the weight once: a block makes one tile of 16 outputs for up
// to 8 kColumns rows, its warps one run of K each, and adds the runs up in shared memory.
#pragma once

#include <type_traits>

#include "ops/gemm_cuda.cuh"

namespace speccascade {

constexpr int kSkinnyThreads = kMaxSplits * kWarpLanes;

// Sums by run, matrix and part, output, row; and what those of a row are multiplied by.
template <typename Type, bool kGated, int kColumns>
struct SkinnyShared {
  static constexpr int kRows = 8 * kColumns;
  static constexpr int kSums = (kGated ? 2 : 1) * Type::kSums;
  typename Type::Sum sum[kMaxSplits][kSums][kTileOutputs][kRows];
  float factor[kRows];
};

// The lane's part of a step of eight rows from `row` on. A row that is not there has the last
// one's: products of rows do not touch each other, and this one is not written.
SC_DEVICE void load_prepared(const char* rows, int64_t stride, int row, int num_rows, int step,
                             uint32_t (&b)[2]) {
  const int own = row + lane_index() / 4;
  const int64_t place = own < num_rows ? own : num_rows - 1;
  load_words(rows + place * stride + step * kStepBytes + lane_index() % 4 * 8, b);
}

// Rows of x that were prepared (gemm_inputs_cuda.cuh) or left, from `row` on.
struct PreparedRows {
  static constexpr int kStepsAhead = 8;

  DeviceInputs inputs;
  int row, num_rows;

  // Of the c-th eight rows.
  SC_DEVICE void load(int part, int c, int step, uint32_t (&b)[2]) const {
    load_prepared(inputs.rows + part * inputs.part, inputs.stride, row + 8 * c, num_rows, step, b);
  }
  template <int kRows>
  SC_DEVICE void find(float (&factor)[kRows]) const {
    find_factors(inputs, row, num_rows, factor);
  }
};

template <typename Type, bool kGated, int kColumns, int kInputs, typename Rows>
SC_DEVICE void multiply_run(const Matrix& weight, const Rows& rows, int tile, const Split& split,
                            SkinnyShared<Type, kGated, kColumns>& memory) {
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
  // Of several steps all is asked for before the first is used: a warp waits for memory once.
  constexpr int kAhead = Rows::kStepsAhead / (kColumns > 1 ? 2 : 1) / kMatrices;
  static_assert(kAhead > 0, "a step at a time");
  for (int first = begin; first < end; first += kAhead) {
    uint32_t a[kAhead][kMatrices][4], b[kAhead][kInputs][kColumns][2];
    const auto step_at = [=](int s) { return first + s < end ? first + s : end - 1; };
    SC_UNROLL
    for (int s = 0; s < kAhead; ++s) {
      SC_UNROLL
      for (int m = 0; m < kMatrices; ++m) {
        const Words4 words = load_streaming(fragments + m * matrix +
                                            static_cast<int64_t>(step_at(s)) * kFragmentBytes);
        SC_UNROLL
        for (int i = 0; i < 4; ++i) a[s][m][i] = words.word[i];
      }
    }
    SC_UNROLL
    for (int s = 0; s < kAhead; ++s) {
      SC_UNROLL
      for (int p = 0; p < kInputs; ++p) {
        SC_UNROLL
        for (int c = 0; c < kColumns; ++c) rows.load(p, c, step_at(s), b[s][p][c]);
      }
    }
    SC_UNROLL
    for (int s = 0; s < kAhead; ++s) {
      if (first + s >= end) break;
      SC_UNROLL
      for (int c = 0; c < kColumns; ++c) {
        SC_UNROLL
        for (int p = 0; p < kInputs; ++p) {
          SC_UNROLL
          for (int m = 0; m < kMatrices; ++m) {
            // Floating-point parts go into one sum, those of integers stay apart.
            Type::multiply(sums[m][kParts == 1 ? 0 : p][c], a[s][m], b[s][p][c]);
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
SC_DEVICE void skinny_tile(const GemmArgs& args, const Rows& rows, const LeftRows& leaves, int tile,
                           int row, int parts, SkinnyShared<Type, kGated, kColumns>& memory) {
  const Split split = split_of(args.weight.k, Type::kType);
  if (warp_index() < split.runs) {
    const auto multiply = [&](auto inputs) {
      multiply_run<Type, kGated, kColumns, decltype(inputs)::value>(args.weight, rows, tile, split,
                                                                    memory);
    };
    if constexpr (Type::kLeastInputs == Type::kMostInputs) {
      multiply(std::integral_constant<int, Type::kMostInputs>{});
    } else if (parts == 1) {
      multiply(std::integral_constant<int, 1>{});
    } else {
      multiply(std::integral_constant<int, 2>{});
    }
  }
  rows.find(memory.factor);
  sync_block();
  finish_block<Type, kGated>(args, leaves, memory.factor, row, 8 * kColumns, tile, 1,
                             [&](int s, int output, int r) {
                               typename Type::Sum sum = memory.sum[0][s][output][r];
                               for (int run = 1; run < split.runs; ++run)
                                 sum += memory.sum[run][s][output][r];
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
skinny_kernel(GemmArgs args, DeviceInputs inputs, LeftRows leaves, int parts, int row_groups) {
  using Memory = SkinnyShared<Type, kGated, kColumns>;
  const int tile = block_index() / row_groups;
  prefetch_run<kGated>(args.weight, tile);
  wait_for_previous();
  const int row = block_index() % row_groups * Memory::kRows;
  if (row >= *args.num_rows) return;
  skinny_tile(args, PreparedRows{inputs, row, *args.num_rows}, leaves, tile, row, parts,
              shared<Memory>());
}

// Two products of the same inputs, which differ in their weights and places: blocks as for one with
// the tiles of both.
template <typename Type, int kColumns>
SC_KERNEL(kSkinnyThreads, 2)
skinny_pair_kernel(GemmArgs args, GemmArgs other, DeviceInputs inputs, int row_groups) {
  using Memory = SkinnyShared<Type, false, kColumns>;
  int tile = block_index() / row_groups;
  const int tiles = tiles_of(args.weight.n);
  if (tile >= tiles) {
    tile -= tiles;
    args.weight.data = other.weight.data;
    args.weight.n = other.weight.n;
    args.out = other.out;
    args.ldo = other.ldo;
    args.out_rows = other.out_rows;
  }
  prefetch_run<false>(args.weight, tile);
  wait_for_previous();
  const int row = block_index() % row_groups * Memory::kRows;
  if (row >= *args.num_rows) return;
  skinny_tile(args, PreparedRows{inputs, row, *args.num_rows}, LeftRows{}, tile, row, 1,
              shared<Memory>());
}

}  // namespace speccascade
