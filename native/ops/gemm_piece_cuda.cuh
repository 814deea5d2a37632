// Products of few rows as pieces of a kernel that does other things, too: weights go through
// registers, a few steps of a run together.
#pragma once

#include "ops/gemm_skinny_cuda.cuh"

namespace speccascade {

// Of a run, that are asked for before the first is used.
constexpr int kPieceSteps = 8;

// Sums by run, matrix, output, row; and what those of a row are multiplied by.
template <bool kGated, int kColumns>
struct PieceShared {
  static constexpr int kRows = 8 * kColumns;
  float sum[kMaxSplits][kGated ? 2 : 1][kTileOutputs][kRows];
  float factor[kRows];
};

// The lane's part of a step of eight rows from `row` on. A row that is not there has the last
// one's: products of rows do not touch each other, and this one is not written.
template <typename Type>
SC_DEVICE void load_prepared(const char* rows, int64_t stride, int row, int num_rows, int step,
                             uint32_t (&b)[Type::kInstructions][2]) {
  const int own = row + lane_index() / 4;
  const int64_t place = own < num_rows ? own : num_rows - 1;
  load_inputs(rows + place * stride + step * input_step_bytes(Type::kType) + lane_input<Type>(), b);
}

template <typename Type, bool kGated, int kColumns, int kInputs, typename Rows>
SC_DEVICE void multiply_run(const Matrix& weight, const Rows& rows, int tile, const Split& split,
                            PieceShared<kGated, kColumns>& memory) {
  constexpr int kMatrices = kGated ? 2 : 1;
  const int run = warp_index();
  const int begin = run * split.steps;
  const int end =
      begin + split.steps < split.steps_in_all ? begin + split.steps : split.steps_in_all;
  const char* fragments = static_cast<const char*>(weight.data) +
                          tile_offset(tile, 0, weight.k, weight.dtype, kGated) + lane_index() * 16;
  const int64_t matrix = static_cast<int64_t>(split.steps_in_all) * kFragmentBytes;
  float sums[kMatrices][kColumns][4] = {};
  // Of several steps all is asked for before the first is used: a warp waits for memory once.
  constexpr int kAhead = Rows::kStepsAhead / (kColumns > 1 ? 2 : 1) / kMatrices;
  static_assert(kAhead > 0, "a step at a time");
  for (int first = begin; first < end; first += kAhead) {
    uint32_t a[kAhead][kMatrices][4], b[kAhead][kInputs][kColumns][Type::kInstructions][2];
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
      multiply_step<Type>(a[s], b[s], sums);
    }
  }
  for_each_sum<kMatrices, kColumns>([&](int m, int c, int i) {
    memory.sum[run][m][output_of_sum(i)][8 * c + row_of_sum(i)] = sums[m][c][i];
  });
}

// A tile of outputs of the rows from `row` on, by all threads of a block: at least a warp for each
// run of K.
template <typename Type, bool kGated, int kColumns, typename Rows>
SC_DEVICE void piece_tile(const GemmArgs& args, const Rows& rows, const LeftRows& leaves, int tile,
                          int row, PieceShared<kGated, kColumns>& memory) {
  const Split split = split_of(args.weight.k, Type::kType);
  if (warp_index() < split.runs) {
    const auto multiply = [&](auto inputs) {
      multiply_run<Type, kGated, kColumns, decltype(inputs)::value>(args.weight, rows, tile, split,
                                                                    memory);
    };
    if (Type::kMostInputs == 1 || args.weight.parts == 1) {
      multiply(std::integral_constant<int, 1>{});
    } else {
      multiply(std::integral_constant<int, Type::kMostInputs>{});
    }
  }
  rows.find(memory.factor);
  sync_block();
  finish_block<Type, kGated>(args, leaves, memory.factor, row, 8 * kColumns, tile, 1,
                             [&](int m, int output, int r) {
                               float sum = memory.sum[0][m][output][r];
                               for (int run = 1; run < split.runs; ++run)
                                 sum += memory.sum[run][m][output][r];
                               return sum;
                             });
}

// Steps of a warp's run come closer.
template <int kMatrices>
SC_DEVICE void prefetch_run(const char* run, int64_t matrix, int steps) {
  constexpr int kSectorBytes = 32;
  SC_UNROLL
  for (int m = 0; m < kMatrices; ++m) {
    const char* at = run + m * matrix + lane_index() * kSectorBytes;
    const char* end = run + m * matrix + static_cast<int64_t>(steps) * kFragmentBytes;
    SC_UNROLL_BY(1)
    for (; at < end; at += kWarpLanes * kSectorBytes) prefetch(at);
  }
}

// What a block begins with when it makes this tile.
template <bool kGated>
SC_DEVICE void prefetch_tile(const Matrix& weight, int tile) {
  constexpr int kMatrices = kGated ? 2 : 1;
  const Split split = split_of(weight.k, weight.dtype);
  const int begin = warp_index() * split.steps, behind = split.steps_in_all - begin;
  const int steps = behind < split.steps ? behind : split.steps;
  prefetch_run<kMatrices>(static_cast<const char*>(weight.data) +
                              tile_offset(tile, 0, weight.k, weight.dtype, kGated) +
                              static_cast<int64_t>(begin) * kFragmentBytes,
                          static_cast<int64_t>(split.steps_in_all) * kFragmentBytes,
                          steps < kPieceSteps ? steps : kPieceSteps);
}

}  // namespace speccascade
