// Products of many rows. A block makes 64 outputs for 64 rows or, in the wide shape, 128 for 128:
// twice the work for a byte that it reads, and for more rows the fewer blocks. (Of a gated pair
// half the outputs, of both matrices.) Inputs go through shared memory, three stages of 128 bytes a
// row; weights are read as fragments, a stage ahead.
//
// A product has the bits that the skinny kernel gives: the same instructions in the same order over
// the steps of a run, and the runs' sums added in the same order.
#pragma once

#include <type_traits>

#include "ops/gemm_cuda.cuh"
#include "ops/gemm_quads_cuda.cuh"

namespace speccascade {

constexpr int kStages = 3;
constexpr int kStageBytes = 128;
template <typename Type>
constexpr int kStageSteps = kStageBytes / input_step_bytes(Type::kType);

// What a warp makes: kTiles tiles of 16 outputs for kColumns groups of 8 rows. Of a block's warps,
// kTileWarps stand side by side along outputs, kColumnWarps along rows.
template <bool kGated, bool kWide>
struct TiledShape {
  static constexpr int kMatrices = kGated ? 2 : 1;
  static constexpr int kTiles = kWide && !kGated ? 2 : 1;
  static constexpr int kFragments = kTiles * kMatrices;  // of weights, in a step
  static constexpr int kColumns = 8 / (kWide ? 1 : kMatrices);
  static constexpr int kTileWarps = 4, kColumnWarps = kWide ? 2 : 1;
  static constexpr int kThreads = kTileWarps * kColumnWarps * kWarpLanes;
  static constexpr int kBlockTiles = kTileWarps * kTiles;
  static constexpr int kWarpRows = 8 * kColumns, kRows = kWarpRows * kColumnWarps;
};

SC_HOST_DEVICE constexpr int tiled_threads(bool wide) { return wide ? 256 : 128; }
SC_HOST_DEVICE constexpr int tiled_blocks(bool wide, bool larger) {
  return wide ? 1 : larger ? 2 : 3;
}

// kPadding: of rows of sums, which puts them into other banks.
template <bool kGated, bool kWide, int kInputs, int kPadding>
struct TiledShared {
  using Shape = TiledShape<kGated, kWide>;
  static constexpr int kOutputs = Shape::kBlockTiles * kTileOutputs;
  union {
    char inputs[kStages][kInputs][Shape::kRows][kStageBytes];
    // In the end, for the rows of one group of warps at a time: by matrix, row, output; and what
    // sums of a row are multiplied by.
    struct {
      float sums[Shape::kMatrices][Shape::kWarpRows][kOutputs + kPadding];
      float factor[Shape::kRows];
    } finished;
  };
};

// Where a step of a row stands in its stage: steps of rows in a row lie in different banks.
template <typename Type>
SC_DEVICE int step_place(int row, int step) {
  return (step ^ row % kStageSteps<Type>)*input_step_bytes(Type::kType);
}

// Starts copying the steps from `step` on of up to kRows rows from `row` on.
template <typename Type, int kThreads, int kInputs, int kRows>
SC_DEVICE void fetch_stage(const DeviceInputs& inputs, int row, int num_rows, int step,
                           int steps_in_all, char (&stage)[kInputs][kRows][kStageBytes]) {
  constexpr int kPieceBytes = 16, kPieces = kStageBytes / kPieceBytes;
  constexpr int kInputBytes = input_step_bytes(Type::kType);
  constexpr int kStepPieces = kInputBytes / kPieceBytes;
  static_assert(kInputs * kRows * kPieces % kThreads == 0, "every thread has as many");
  SC_UNROLL
  for (int at = 0; at < kInputs * kRows * kPieces; at += kThreads) {
    const int i = at + thread_index();
    const int piece = i % kPieces, r = i / kPieces % kRows, part = i / (kPieces * kRows);
    const bool there = row + r < num_rows && step + piece / kStepPieces < steps_in_all;
    const char* from = inputs.rows + part * inputs.part;
    if (there) from += (row + r) * inputs.stride + step * kInputBytes + piece * kPieceBytes;
    char* to = &stage[part][r][step_place<Type>(r, piece / kStepPieces)];
    copy_async(to + piece % kStepPieces * kPieceBytes, from, there ? kPieceBytes : 0);
  }
}

// The sums of a warp: those of the run under way, and of the runs before it. One chain has one run.
template <int kFragments, int kColumns, bool kOneChain>
class TiledSums {
 public:
  // Those that the fragment's products with the rows' c-th group are added to.
  SC_DEVICE float (&run(int fragment, int c))[4] { return run_[fragment][c]; }
  SC_DEVICE void close_run() {
    if constexpr (!kOneChain) {
      for_each_sum<kFragments, kColumns>([&](int f, int c, int i) {
        total_[f][c][i] = first_ ? run_[f][c][i] : total_[f][c][i] + run_[f][c][i];
        run_[f][c][i] = 0;
      });
      first_ = false;
    }
  }
  // Of a fragment, group of rows and place, after the last run was closed.
  SC_DEVICE float total(int f, int c, int i) const {
    if constexpr (!kOneChain) return total_[f][c][i];
    return run_[f][c][i];
  }

 private:
  float run_[kFragments][kColumns][4] = {};
  float total_[kOneChain ? 1 : kFragments][kOneChain ? 1 : kColumns][4] = {};
  bool first_ = true;
};

// The fragments that a warp multiplies, of a few steps at a time. Tiles beyond the matrix have
// those of the last one, and steps beyond the end those of the last.
template <int kTiles, int kMatrices>
class TiledWeights {
 public:
  SC_DEVICE TiledWeights(const Matrix& weight, int tile, int steps)
      : last_(steps - 1), matrix_(static_cast<int64_t>(steps) * kFragmentBytes) {
    SC_UNROLL
    for (int t = 0; t < kTiles; ++t) {
      const int last = tiles_of(weight.n) - 1;
      tile_[t] =
          static_cast<const char*>(weight.data) + lane_index() * 16 +
          tile_offset(tile + t < last ? tile + t : last, 0, weight.k, weight.dtype, kMatrices == 2);
    }
  }
  SC_DEVICE void load(int step, uint32_t (&a)[kTiles * kMatrices][4]) const {
    const int64_t at = static_cast<int64_t>(step < last_ ? step : last_) * kFragmentBytes;
    SC_UNROLL
    for (int t = 0; t < kTiles; ++t) {
      SC_UNROLL
      for (int m = 0; m < kMatrices; ++m)
        load_words(tile_[t] + m * matrix_ + at, a[t * kMatrices + m]);
    }
  }

 private:
  const char* tile_[kTiles];
  int last_;
  int64_t matrix_;
};

// Blocks: groups of kBlockTiles tiles x groups of kRows rows. kInputs: parts that inputs come in.
// kOneChain: all of K is one run (GemmArgs::one_chain).
template <typename Type, bool kGated, bool kWide, int kInputs, bool kOneChain>
SC_KERNEL(tiled_threads(kWide), tiled_blocks(kWide, kGated || kInputs != 1))
tiled_kernel(GemmArgs args, DeviceInputs inputs, LeftRows leaves, int row_groups) {
  using Shape = TiledShape<kGated, kWide>;
  constexpr int kSteps = kStageSteps<Type>;
  static_assert(Shape::kThreads == tiled_threads(kWide), "the launch bound");
  const int steps = steps_of(args.weight.k, Type::kType);
  const int block_tile = block_index() / row_groups * Shape::kBlockTiles;
  const int tile_warp = warp_index() % Shape::kTileWarps;
  const int column_warp = warp_index() / Shape::kTileWarps;
  const TiledWeights<Shape::kTiles, Shape::kMatrices> weights(
      args.weight, block_tile + tile_warp * Shape::kTiles, steps);
  uint32_t a[kSteps][Shape::kFragments][4];
  SC_UNROLL
  for (int s = 0; s < kSteps; ++s) weights.load(s, a[s]);

  wait_for_previous();
  const int row = block_index() % row_groups * Shape::kRows, rows = *args.num_rows;
  if (row >= rows) return;
  using Shared = TiledShared<kGated, kWide, kInputs, kOneChain ? kQuadOutputs : 1>;
  Shared& memory = shared<Shared>();
  const auto fetch = [&](int step, int stage) {
    if (step < steps) {
      fetch_stage<Type, Shape::kThreads>(inputs, row, rows, step, steps, memory.inputs[stage]);
    }
    commit_copies();
  };
  SC_UNROLL
  for (int stage = 0; stage < kStages - 1; ++stage) fetch(stage * kSteps, stage);

  TiledSums<Shape::kFragments, Shape::kColumns, kOneChain> sums;
  const int run_steps = kOneChain ? steps : split_of(args.weight.k, Type::kType).steps;
  int left = run_steps;  // of the run under way
  const int own_row = column_warp * Shape::kWarpRows + lane_index() / 4;
  for (int begin = 0, stage = 0; begin < steps; begin += kSteps) {
    wait_copies<kStages - 2>();
    sync_block();  // the stage is there, and nobody reads the one before
    fetch(begin + (kStages - 1) * kSteps, stage == 0 ? kStages - 1 : stage - 1);
    SC_UNROLL
    for (int s = 0; s < kSteps; ++s) {
      if (begin + s >= steps) break;
      if (!kOneChain && left == 0) {
        sums.close_run();
        left = run_steps;
      }
      --left;
      uint32_t fragments[Shape::kFragments][Type::kInstructions][4];
      SC_UNROLL
      for (int f = 0; f < Shape::kFragments; ++f) Type::widen(a[s][f], fragments[f]);
      const int place = step_place<Type>(own_row, s) + lane_input<Type>();
      SC_UNROLL
      for (int c = 0; c < Shape::kColumns; ++c) {
        SC_UNROLL
        for (int p = 0; p < kInputs; ++p) {
          uint32_t b[Type::kInstructions][2];
          load_inputs(&memory.inputs[stage][p][own_row + 8 * c][place], b);
          SC_UNROLL
          for (int i = 0; i < Type::kInstructions; ++i) {
            SC_UNROLL
            for (int f = 0; f < Shape::kFragments; ++f) {
              Type::multiply(sums.run(f, c), fragments[f][i], b[i]);
            }
          }
        }
      }
      weights.load(begin + s + kSteps, a[s]);
    }
    stage = stage + 1 == kStages ? 0 : stage + 1;
  }
  sums.close_run();

  for (int group = 0; group < Shape::kColumnWarps; ++group) {
    sync_block();  // nobody reads the inputs, or the sums of the group before
    if (group == 0) find_factors(inputs, row, rows, memory.finished.factor);
    if (column_warp == group) {
      for_each_sum<Shape::kFragments, Shape::kColumns>([&](int f, int c, int i) {
        const int tile = tile_warp * Shape::kTiles + f / Shape::kMatrices;
        memory.finished.sums[f % Shape::kMatrices][8 * c + row_of_sum(i)]
                            [tile * kTileOutputs + output_of_sum(i)] = sums.total(f, c, i);
      });
    }
    sync_block();
    const int first = row + group * Shape::kWarpRows;
    const float* factors = memory.finished.factor + group * Shape::kWarpRows;
    if constexpr (kOneChain) {
      finish_quads<Type, kGated, Shape::kThreads, Shape::kWarpRows, Shared::kOutputs / kQuadOutputs,
                   4>(args, leaves, factors, first, block_tile * kTileOutputs,
                      [&](int m, int quad, int r) {
                        return whole_quad(&memory.finished.sums[m][r][quad * kQuadOutputs]);
                      });
    } else {
      finish_block<Type, kGated>(
          args, leaves, factors, first, Shape::kWarpRows, block_tile, Shape::kBlockTiles,
          [&](int m, int output, int r) { return memory.finished.sums[m][r][output]; });
    }
  }
}

}  // namespace speccascade
