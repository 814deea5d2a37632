// Products of few rows, which stream the weight once: a block makes one tile of 16 outputs for up
// to 8 kColumns rows, its warps one run of K each, and adds the runs up in shared memory.
//
// What a kernel waits for decides how long it takes, more than its bytes: weights are on their way
// before the kernel before has ended, and inputs, their norm and what outputs are added to are
// asked for together.
#pragma once

#include <type_traits>

#include "ops/gemm_cuda.cuh"

namespace speccascade {

constexpr int kSkinnyThreads = kMaxSplits * kWarpLanes;
// Of a block, which has a thread for each output of eight rows.
constexpr int kLeastSkinnyThreads = 128;
// So many blocks fit a multiprocessor: those of this kernel, and of those that wait behind it.
template <int kColumns>
constexpr int kSkinnyBlocks = kColumns == 1 ? 3 : 2;

// Sums by run, matrix and part, output, row; and what those of a row are multiplied by.
template <typename Type, bool kGated, int kColumns>
struct SkinnyShared {
  static constexpr int kRows = 8 * kColumns;
  static constexpr int kSums = (kGated ? 2 : 1) * Type::kSums;
  typename Type::Sum sum[kMaxSplits][kSums][kTileOutputs][kRows];
  float factor[kRows];
};

// A warp's run: weights and inputs in registers, a few steps under way, each of which makes room for
// one behind them. The loop over steps has hardly an instruction beside loads and products: with a
// few warps a multiprocessor every one of them shows.
template <typename Type, bool kGated, int kColumns, int kInputs>
class Run {
 public:
  static constexpr int kMatrices = kGated ? 2 : 1, kParts = Type::kSums;
  using Sums = typename Type::Sum[kMatrices][kParts][kColumns][4];

  // Asks for the first weights; without steps, for none.
  SC_DEVICE Run(const char* fragments, int64_t matrix, int steps) : left_(steps) {
    SC_UNROLL
    for (int m = 0; m < kMatrices; ++m) weights_[m] = fragments + m * matrix + lane_index() * 16;
    SC_UNROLL
    for (int s = 0; s < kAhead; ++s) {
      if (s < left_) ask_weights(s, s);
    }
  }
  // Asks for the first inputs, which were prepared (gemm_inputs_cuda.cuh) or left. A row that is
  // not among the `rows` that there is memory for has the last one's: products of rows do not
  // touch each other, and this one is not written.
  SC_DEVICE void read(const DeviceInputs& inputs, int row, int rows, int begin) {
    SC_UNROLL
    for (int c = 0; c < kColumns; ++c) {
      const int own = row + 8 * c + lane_index() / 4;
      const int64_t place = own < rows ? own : rows - 1;
      inputs_[c] =
          inputs.rows + place * inputs.stride + begin * kStepBytes + lane_index() % 4 * 8;
    }
    part_ = inputs.part;
    SC_UNROLL
    for (int s = 0; s < kAhead; ++s) {
      if (s < left_) ask_inputs(s, s);
    }
  }
  SC_DEVICE void multiply(Sums& sums) {
    while (left_ > 0) {
      SC_UNROLL
      for (int s = 0; s < kAhead; ++s) {
        if (s < left_) multiply_step(s, sums);
        if (s + kAhead < left_) {
          ask_weights(s, s + kAhead);
          ask_inputs(s, s + kAhead);
        }
      }
      left_ -= kAhead;
      SC_UNROLL
      for (int m = 0; m < kMatrices; ++m) weights_[m] += kAhead * kFragmentBytes;
      SC_UNROLL
      for (int c = 0; c < kColumns; ++c) inputs_[c] += kAhead * kStepBytes;
    }
  }

  // Steps under way: as many as there are registers for.
  static constexpr int kStepRegisters = 4 * kMatrices + 2 * kColumns * kInputs;
  static constexpr int kOthers = kMatrices * kParts * kInputs;  // more of them, too
  static constexpr int kRegisters = kColumns > 1 ? 64 : kOthers > 2 ? 24 : kInputs > 1 ? 36 : 48;
  static constexpr int kMostAhead = kRegisters / kStepRegisters;
  static constexpr int kAhead = kMostAhead < 8 ? kMostAhead : 8;

 private:
  SC_DEVICE void ask_weights(int to, int step) {
    SC_UNROLL
    for (int m = 0; m < kMatrices; ++m) {
      const Words4 words = load_streaming(weights_[m] + step * kFragmentBytes);
      SC_UNROLL
      for (int i = 0; i < 4; ++i) a_[to][m][i] = words.word[i];
    }
  }
  SC_DEVICE void ask_inputs(int to, int step) {
    SC_UNROLL
    for (int p = 0; p < kInputs; ++p) {
      SC_UNROLL
      for (int c = 0; c < kColumns; ++c) {
        load_words(inputs_[c] + p * part_ + step * kStepBytes, b_[to][p][c]);
      }
    }
  }
  SC_DEVICE void multiply_step(int at, Sums& sums) {
    SC_UNROLL
    for (int c = 0; c < kColumns; ++c) {
      SC_UNROLL
      for (int p = 0; p < kInputs; ++p) {
        SC_UNROLL
        for (int m = 0; m < kMatrices; ++m) {
          // Floating-point parts go into one sum, those of integers stay apart.
          Type::multiply(sums[m][kParts == 1 ? 0 : p][c], a_[at][m], b_[at][p][c]);
        }
      }
    }
  }

  int left_;
  const char* weights_[kMatrices];
  const char* inputs_[kColumns];
  int64_t part_;
  uint32_t a_[kAhead][kMatrices][4], b_[kAhead][kInputs][kColumns][2];
};

// Steps [from, to) of a warp's run come closer.
template <int kMatrices>
SC_DEVICE void prefetch_run(const char* run, int64_t matrix, int from, int to) {
  constexpr int kSectorBytes = 32;
  SC_UNROLL
  for (int m = 0; m < kMatrices; ++m) {
    const char* end = run + m * matrix + static_cast<int64_t>(to) * kFragmentBytes;
    const char* at = run + m * matrix + from * kFragmentBytes + lane_index() * kSectorBytes;
    SC_UNROLL_BY(1)
    for (; at < end; at += kWarpLanes * kSectorBytes) prefetch(at);
  }
}

// A product as blocks have it: what a tile's place follows from, without divisions.
struct SkinnyPlan {
  Split split;
  int row_groups;
  int ahead;  // of a run, the steps that are to be under way before the kernel before has ended
};

// A tile of outputs for the rows from `row` on, by all threads of the block.
template <typename Type, bool kGated, int kColumns, int kInputs>
SC_DEVICE void skinny_tile(const GemmArgs& args, const DeviceInputs& inputs, const LeftRows& leaves,
                           const SkinnyPlan& plan, int tile, int row,
                           SkinnyShared<Type, kGated, kColumns>& memory) {
  using Memory = SkinnyShared<Type, kGated, kColumns>;
  using Sum = typename Type::Sum;
  using TileRun = Run<Type, kGated, kColumns, kInputs>;
  const Split& split = plan.split;
  const int begin = warp_index() * split.steps;
  const int behind = split.steps_in_all - begin;
  const int steps = behind < split.steps ? behind : split.steps;
  const int64_t matrix = static_cast<int64_t>(split.steps_in_all) * kFragmentBytes;
  const char* fragments = static_cast<const char*>(args.weight.data) +
                          tile * ((kGated ? 2 : 1) * matrix) + begin * kFragmentBytes;
  TileRun run(fragments, matrix, steps);
  prefetch_run<TileRun::kMatrices>(fragments, matrix, TileRun::kAhead,
                                   steps < plan.ahead ? steps : plan.ahead);
  wait_for_previous();
  run.read(inputs, row, args.max_rows, begin);
  const int num_rows = *args.num_rows;

  // Of this thread's outputs, if they are few: with more there are not the registers.
  constexpr int kTile = kTileOutputs * Memory::kRows, kEarly = kColumns <= 2 ? kColumns : 0;
  Output<Type, kGated> outputs[kEarly > 0 ? kEarly : 1];
  const auto output_of = [&](int i) {
    return output_at<Type, kGated>(args, leaves, i < kTile ? num_rows : 0, row + i / kTileOutputs,
                                   tile * kTileOutputs + i % kTileOutputs);
  };
  SC_UNROLL
  for (int e = 0; e < kEarly; ++e) outputs[e] = output_of(thread_index() + e * block_threads());
  find_factors(inputs, row, args.max_rows, memory.factor);

  typename TileRun::Sums sums = {};
  run.multiply(sums);
  if (steps > 0) {
    for_each_sum<TileRun::kMatrices, Type::kSums, kColumns>([&](int m, int p, int c, int i) {
      memory.sum[warp_index()][m * Type::kSums + p][output_of_sum(i)][8 * c + row_of_sum(i)] =
          sums[m][p][c][i];
    });
  }
  sync_block();
  const auto finish_at = [&](int i, const Output<Type, kGated>& output) {
    const int o = i % kTileOutputs, r = i / kTileOutputs;
    Sum products[kGated ? 2 : 1][Type::kSums];
    SC_UNROLL
    for (int s = 0; s < Memory::kSums; ++s) {
      Sum sum = memory.sum[0][s][o][r];
      SC_UNROLL
      for (int from = 1; from < kMaxSplits; ++from) {
        if (from < split.runs) sum += memory.sum[from][s][o][r];
      }
      products[s / Type::kSums][s % Type::kSums] = sum;
    }
    finish_output<Type, kGated>(args, leaves, output, memory.factor[r], products);
  };
  SC_UNROLL
  for (int e = 0; e < kColumns; ++e) {
    const int i = thread_index() + e * block_threads();
    if (i >= kTile) break;
    finish_at(i, kEarly > 0 ? outputs[kEarly > 0 ? e : 0] : output_of(i));
  }
}

// Of a block: its tile, and the first of its rows.
struct SkinnyPlace {
  int tile, row;
};
template <int kRows>
SC_DEVICE SkinnyPlace place_of_block(int row_groups) {
  if (row_groups == 1) return {block_index(), 0};
  return {block_index() / row_groups, block_index() % row_groups * kRows};
}

// Blocks: tiles x groups of 8 kColumns rows.
template <typename Type, bool kGated, int kColumns, int kInputs>
SC_KERNEL(kSkinnyThreads, kSkinnyBlocks<kColumns>)
skinny_kernel(GemmArgs args, DeviceInputs inputs, LeftRows leaves, SkinnyPlan plan) {
  using Memory = SkinnyShared<Type, kGated, kColumns>;
  const SkinnyPlace place = place_of_block<Memory::kRows>(plan.row_groups);
  skinny_tile<Type, kGated, kColumns, kInputs>(args, inputs, leaves, plan, place.tile, place.row,
                                               shared<Memory>());
}

// Two products of the same inputs, which differ in their weights and places: blocks as for one with
// the tiles of both.
template <typename Type, int kColumns>
SC_KERNEL(kSkinnyThreads, kSkinnyBlocks<kColumns>)
skinny_pair_kernel(GemmArgs args, GemmArgs other, DeviceInputs inputs, SkinnyPlan plan) {
  using Memory = SkinnyShared<Type, false, kColumns>;
  SkinnyPlace place = place_of_block<Memory::kRows>(plan.row_groups);
  const int tiles = tiles_of(args.weight.n);
  if (place.tile >= tiles) {
    place.tile -= tiles;
    args.weight.data = other.weight.data;
    args.weight.n = other.weight.n;
    args.out = other.out;
    args.ldo = other.ldo;
    args.out_rows = other.out_rows;
  }
  skinny_tile<Type, false, kColumns, 1>(args, inputs, LeftRows{}, plan, place.tile, place.row,
                                        shared<Memory>());
}

}  // namespace speccascade
