// Products of many rows: a block makes 64 outputs for 64 rows (fewer where a product has several
// sums), each warp one tile of 16 outputs. Inputs go through shared memory, two stages of four
// steps in flight; weights are read as fragments.
//
// A product has the bits that the skinny kernel gives: the same instructions in the same order over
// the steps of a run, and the runs' sums added in the same order.
#pragma once

#include "ops/gemm_cuda.cuh"

namespace speccascade {

constexpr int kTiledWarps = 4;
constexpr int kTiledThreads = kTiledWarps * kWarpLanes;
constexpr int kStageSteps = 4;
// Rows start 32 bytes apart modulo 128: the eight bytes of 16 lanes lie in 32 different banks.
constexpr int kStageStride = kStageSteps * kStepBytes + 32;

template <typename Type, bool kGated>
struct TiledShape {
  static constexpr int kMatrices = kGated ? 2 : 1;
  static constexpr int kColumns = 8 / (kMatrices * Type::kSums);
  static constexpr int kRows = 8 * kColumns;
};

template <typename Type, bool kGated>
struct TiledShared {
  static constexpr int kRows = TiledShape<Type, kGated>::kRows;
  static constexpr int kSums = TiledShape<Type, kGated>::kMatrices * Type::kSums;
  union {
    char inputs[2][2][kRows][kStageStride];  // stage, part
    // In the end: by sum, row, output.
    typename Type::Sum sums[kSums][kRows][kTiledWarps * kTileOutputs + 1];
  };
};

// Starts copying the steps from `step` on of up to kRows rows from `row` on.
template <int kRows>
SC_DEVICE void fetch_stage(const DeviceInputs& inputs, int parts, int row, int num_rows, int step,
                           int steps_in_all, char (&stage)[2][kRows][kStageStride]) {
  constexpr int kPieces = kStageSteps * kStepBytes / 16;
  for (int i = thread_index(); i < parts * kRows * kPieces; i += kTiledThreads) {
    const int piece = i % kPieces, r = i / kPieces % kRows, part = i / (kPieces * kRows);
    const bool there = row + r < num_rows && step + piece / 2 < steps_in_all;
    const char* from = inputs.prepared + part * inputs.part;
    if (there) from += (row + r) * inputs.stride + step * kStepBytes + piece * 16;
    copy_async(&stage[part][r][piece * 16], from, there ? 16 : 0);
  }
}

// Blocks: groups of 64 outputs x groups of kRows rows.
template <typename Type, bool kGated>
SC_KERNEL(kTiledThreads, kGated || Type::kSums != 1 ? 2 : 3)
tiled_kernel(GemmArgs args, int parts, int row_groups) {
  wait_for_previous();
  using Sum = typename Type::Sum;
  using Shape = TiledShape<Type, kGated>;
  constexpr int kMatrices = Shape::kMatrices, kParts = Type::kSums, kColumns = Shape::kColumns;
  const int row = block_index() % row_groups * Shape::kRows, rows = *args.num_rows;
  if (row >= rows) return;
  TiledShared<Type, kGated>& memory = shared<TiledShared<Type, kGated>>();
  const Matrix& weight = args.weight;
  const DeviceInputs inputs = inputs_of(args, parts);
  const Split split = split_of(weight.k, weight.dtype);
  const int tile = block_index() / row_groups * kTiledWarps + warp_index();
  const bool works = tile < tiles_of(weight.n);
  const char* fragments = static_cast<const char*>(weight.data) +
                          tile_offset(works ? tile : 0, 0, weight.k, weight.dtype, kGated) +
                          lane_index() * 16;
  const int64_t matrix = static_cast<int64_t>(split.steps_in_all) * kFragmentBytes;
  // Sums of the run under way, and of the runs before it.
  Sum sums[kMatrices][kParts][kColumns][4] = {}, totals[kMatrices][kParts][kColumns][4] = {};
  const auto close_run = [&](bool first) {
    for_each_sum<kMatrices, kParts, kColumns>([&](int m, int p, int c, int i) {
      totals[m][p][c][i] = first ? sums[m][p][c][i] : totals[m][p][c][i] + sums[m][p][c][i];
      sums[m][p][c][i] = 0;
    });
  };
  int left = split.steps;  // of the run under way
  bool first_run = true;
  fetch_stage(inputs, parts, row, rows, 0, split.steps_in_all, memory.inputs[0]);
  commit_copies();
  for (int begin = 0, stage = 0; begin < split.steps_in_all; begin += kStageSteps, stage ^= 1) {
    const int next = begin + kStageSteps;
    if (next < split.steps_in_all) {
      fetch_stage(inputs, parts, row, rows, next, split.steps_in_all, memory.inputs[stage ^ 1]);
    }
    commit_copies();
    // Asked for before the stage is waited for.
    uint32_t a[kStageSteps][kMatrices][4];
    SC_UNROLL
    for (int s = 0; s < kStageSteps; ++s) {
      const int step = begin + s < split.steps_in_all ? begin + s : begin;
      SC_UNROLL
      for (int m = 0; m < kMatrices; ++m) {
        load_words(fragments + m * matrix + static_cast<int64_t>(step) * kFragmentBytes, a[s][m]);
      }
    }
    wait_copies<1>();
    sync_block();
    SC_UNROLL
    for (int s = 0; s < kStageSteps; ++s) {
      if (begin + s >= split.steps_in_all) break;
      if (left == 0) {
        close_run(first_run);
        first_run = false;
        left = split.steps;
      }
      --left;
      SC_UNROLL
      for (int c = 0; c < kColumns; ++c) {
        for (int p = 0; p < parts; ++p) {
          uint32_t b[2];
          load_words(&memory.inputs[stage][p][8 * c + lane_index() / 4]
                                   [s * kStepBytes + lane_index() % 4 * 8],
                     b);
          SC_UNROLL
          for (int m = 0; m < kMatrices; ++m) {
            if (kParts == 1 || p == 0) {
              Type::multiply(sums[m][0][c], a[s][m], b);
            } else {
              Type::multiply(sums[m][kParts - 1][c], a[s][m], b);
            }
          }
        }
      }
    }
    sync_block();
  }
  close_run(first_run);
  for_each_sum<kMatrices, kParts, kColumns>([&](int m, int p, int c, int i) {
    const int output = warp_index() * kTileOutputs + output_of_sum(i);
    memory.sums[m * kParts + p][8 * c + row_of_sum(i)][output] = totals[m][p][c][i];
  });
  sync_block();
  finish_block<Type, kGated>(
      args, [&](int r) { return inputs.factors[row + r]; }, row, Shape::kRows, tile - warp_index(),
      kTiledWarps, [&](int s, int output, int r) { return memory.sums[s][r][output]; });
}

}  // namespace speccascade
