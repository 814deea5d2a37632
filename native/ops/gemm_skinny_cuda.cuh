// Products of few rows, which stream the weight once: a block makes one tile of 16 outputs for up
// to 8 kColumns rows, its warps one run of K each, and adds the runs up in shared memory.
//
// What a kernel waits for decides how long it takes, more than its bytes: a block has its first
// weights under way, and every address worked out, before the kernel before has ended; then inputs,
// their norm and what outputs are added to are asked for together.
#pragma once

#include <type_traits>

#include "ops/gemm_cuda.cuh"

namespace speccascade {

constexpr int kSkinnyThreads = kMaxSplits * kWarpLanes;
// Of a block, which has a thread for each output of eight rows.
constexpr int kLeastSkinnyThreads = 128;
// Whether a lane of the step's products has so many inputs and weights that two blocks a
// multiprocessor, with more steps under way, are better than three.
template <typename Type, bool kGated, int kColumns, int kInputs>
constexpr bool kManyRegisters = kColumns* kInputs > 2 ||
                                (Type::kInstructions > 1 && kGated && kColumns > 1);

// So many blocks fit a multiprocessor: those of this kernel, and of those that wait behind it.
template <typename Type, bool kGated, int kColumns, int kInputs>
constexpr int kSkinnyBlocks = kManyRegisters<Type, kGated, kColumns, kInputs> ? 2 : 3;

// Sums by run, matrix, row, output; and what those of a row are multiplied by.
template <bool kGated, int kColumns>
struct SkinnyShared {
  static constexpr int kRows = 8 * kColumns;
  static constexpr int kPitch = kTileOutputs + 4;  // a warp's sums go to different banks
  float sum[kMaxSplits][kGated ? 2 : 1][kRows][kPitch];
  float factor[kRows];
};

// A warp's run: weights and inputs in registers, a few steps under way, each of which makes room
// for one behind them. The loop over steps has hardly an instruction beside loads and products:
// with a few warps a multiprocessor every one of them shows.
template <typename Type, bool kGated, int kColumns, int kInputs>
class Run {
 public:
  static constexpr int kMatrices = kGated ? 2 : 1;
  using Sums = float[kMatrices][kColumns][4];

  // Asks for the first weights; without steps, for none.
  SC_DEVICE Run(const char* fragments, int64_t matrix, int steps, const DeviceInputs& inputs)
      : left_(steps), from_(inputs) {
    SC_UNROLL
    for (int m = 0; m < kMatrices; ++m) weights_[m] = fragments + m * matrix + lane_index() * 16;
    for_first([&](int s) { ask_weights(s, s); });
  }
  // Inputs that were prepared (gemm_inputs_cuda.cuh) or left. A row that is not among the `rows`
  // that there is memory for has the last one's: products of rows do not touch each other, and this
  // one is not written.
  SC_DEVICE void place_inputs(int row, int rows, int begin) {
    SC_UNROLL
    for (int c = 0; c < kColumns; ++c) {
      const int own = row + 8 * c + lane_index() / 4;
      const int64_t place = own < rows ? own : rows - 1;
      int64_t offset = place * from_.stride + begin * kInputBytes + lane_input<Type>();
      settle(offset);
      inputs_[c] = from_.rows + offset;
    }
  }
  SC_DEVICE void ask_inputs() {
    for_first([&](int s) { ask_inputs(s, s); });
  }
  SC_DEVICE void multiply(Sums& sums) {
    for (; left_ >= 2 * kAhead; advance()) {
      SC_UNROLL
      for (int s = 0; s < kAhead; ++s) {
        multiply_step<Type>(a_[s], b_[s], sums);
        ask_weights(s, s + kAhead);
        ask_inputs(s, s + kAhead);
      }
    }
    for (; left_ > 0; advance()) {
      SC_UNROLL
      for (int s = 0; s < kAhead; ++s) {
        if (s < left_) multiply_step<Type>(a_[s], b_[s], sums);
        if (s + kAhead < left_) {
          ask_weights(s, s + kAhead);
          ask_inputs(s, s + kAhead);
        }
      }
    }
  }

 private:
  static constexpr int kInputBytes = input_step_bytes(Type::kType);
  // Steps under way: as many as there are registers for.
  static constexpr int kStepRegisters =
      4 * kMatrices + 2 * kColumns * kInputs * Type::kInstructions;
  // Found by trial, without spills at that many blocks a multiprocessor.
  static constexpr bool kWidensPairs = Type::kInstructions > 1 && kGated;
  static constexpr int kRegisters = kColumns * kMatrices > 4                      ? 48
                                    : kColumns > 2                                ? 64
                                    : kWidensPairs&& kColumns > 1                 ? 48
                                    : kColumns* kMatrices* kInputs > 2            ? 24
                                    : kWidensPairs || kInputs > 1 || kColumns > 1 ? 36
                                                                                  : 48;
  static constexpr int kMostAhead = kRegisters / kStepRegisters;
  static constexpr int kAhead = kMostAhead < 8 ? kMostAhead : 8;

  // Of the steps that may be under way; without conditions where all are there, as nearly always.
  template <typename Body>
  SC_DEVICE void for_first(const Body& body) {
    if (left_ >= kAhead) {
      SC_UNROLL
      for (int s = 0; s < kAhead; ++s) body(s);
      return;
    }
    SC_UNROLL
    for (int s = 0; s < kAhead; ++s) {
      if (s < left_) body(s);
    }
  }
  SC_DEVICE void advance() {
    left_ -= kAhead;
    SC_UNROLL
    for (int m = 0; m < kMatrices; ++m) weights_[m] += kAhead * kFragmentBytes;
    SC_UNROLL
    for (int c = 0; c < kColumns; ++c) inputs_[c] += kAhead * kInputBytes;
  }
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
        load_inputs(inputs_[c] + p * from_.part + step * kInputBytes, b_[to][p][c]);
      }
    }
  }
  int left_;
  const char* weights_[kMatrices];
  const DeviceInputs& from_;
  const char* inputs_[kColumns];
  uint32_t a_[kAhead][kMatrices][4], b_[kAhead][kInputs][kColumns][Type::kInstructions][2];
};

// The sums of a row's output over the runs, in their order; by matrix.
template <bool kGated, int kColumns>
SC_DEVICE void add_runs(const SkinnyShared<kGated, kColumns>& memory, int runs, int row, int output,
                        float (&sums)[kGated ? 2 : 1]) {
  SC_UNROLL
  for (int m = 0; m < (kGated ? 2 : 1); ++m) {
    float sum = memory.sum[0][m][row][output];
    SC_UNROLL
    for (int run = 1; run < kMaxSplits; ++run) {
      if (run < runs) sum += memory.sum[run][m][row][output];
    }
    sums[m] = sum;
  }
}

// A product as blocks have it: what a tile's place follows from, without divisions.
struct SkinnyPlan {
  Split split;
  int row_groups;
};

// A tile of outputs for the rows from `row` on, by all threads of the block.
template <typename Type, bool kGated, int kColumns, int kInputs>
SC_DEVICE void skinny_tile(const GemmArgs& args, const DeviceInputs& inputs, const LeftRows& leaves,
                           const SkinnyPlan& plan, int tile, int row) {
  using TileRun = Run<Type, kGated, kColumns, kInputs>;
  using Memory = SkinnyShared<kGated, kColumns>;
  Memory& memory = shared<Memory>();
  const Split& split = plan.split;
  const int begin = warp_index() * split.steps;
  const int behind = split.steps_in_all - begin;
  const int steps = behind < split.steps ? behind : split.steps;
  const int64_t matrix = static_cast<int64_t>(split.steps_in_all) * kFragmentBytes;
  const char* fragments = static_cast<const char*>(args.weight.data) +
                          tile * ((kGated ? 2 : 1) * matrix) + begin * kFragmentBytes;
  TileRun run(fragments, matrix, steps, inputs);
  run.place_inputs(row, args.max_rows, begin);
  wait_for_previous();
  run.ask_inputs();
  const int num_rows = *args.num_rows;

  // First: products with a norm before them add to nothing, others have hardly a factor.
  find_factors(inputs, row, args.max_rows, memory.factor);
  // This thread's outputs.
  constexpr int kTile = kTileOutputs * 8 * kColumns;
  constexpr int kOwn = kColumns == 1 ? 1 : kColumns / 2;  // of a block of kSkinnyThreads
  Output<Type, kGated> outputs[kOwn];
  SC_UNROLL
  for (int e = 0; e < kOwn; ++e) {
    const int i = thread_index() + e * block_threads();
    outputs[e] =
        output_at<Type, kGated>(args, leaves, i < kTile ? num_rows : 0, row + i / kTileOutputs,
                                tile * kTileOutputs + i % kTileOutputs);
  }

  // Behind what was asked for: their number comes from memory too. A pass may have no row at all.
  if (row >= num_rows) return;
  typename TileRun::Sums sums = {};
  run.multiply(sums);
  if (steps > 0) {
    for_each_sum<TileRun::kMatrices, kColumns>([&](int m, int c, int i) {
      memory.sum[warp_index()][m][8 * c + row_of_sum(i)][output_of_sum(i)] = sums[m][c][i];
    });
  }
  sync_block();
  SC_UNROLL
  for (int e = 0; e < kOwn; ++e) {
    const int i = thread_index() + e * block_threads();
    if (i >= kTile) break;
    const int r = i / kTileOutputs, o = i % kTileOutputs;
    float own[kGated ? 2 : 1];
    add_runs(memory, split.runs, r, o, own);
    finish_output<Type, kGated>(args, leaves, outputs[e], memory.factor[r], own);
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
SC_KERNEL(kSkinnyThreads, kSkinnyBlocks<Type, kGated, kColumns, kInputs>)
skinny_kernel(GemmArgs args, DeviceInputs inputs, LeftRows leaves, SkinnyPlan plan) {
  const SkinnyPlace place = place_of_block<8 * kColumns>(plan.row_groups);
  skinny_tile<Type, kGated, kColumns, kInputs>(args, inputs, leaves, plan, place.tile, place.row);
}

// Two products of the same inputs, which differ in their weights and places: blocks as for one with
// the tiles of both.
template <typename Type, int kColumns>
SC_KERNEL(kSkinnyThreads, kSkinnyBlocks<Type, false, kColumns, 1>)
skinny_pair_kernel(SC_IN_PLACE GemmArgs args, SC_IN_PLACE GemmArgs other, DeviceInputs inputs,
                   SkinnyPlan plan) {
  SkinnyPlace place = place_of_block<8 * kColumns>(plan.row_groups);
  const int tiles = tiles_of(args.weight.n);
  const bool first = place.tile < tiles;
  if (!first) place.tile -= tiles;
  GemmArgs own = args;
  own.weight.data = first ? args.weight.data : other.weight.data;
  own.weight.n = first ? args.weight.n : other.weight.n;
  own.out = first ? args.out : other.out;
  own.out_dtype = first ? args.out_dtype : other.out_dtype;
  own.ldo = first ? args.ldo : other.ldo;
  own.out_rows = first ? args.out_rows : other.out_rows;
  own.epilogue = Epilogue::kStore;  // as it is (is_plain()): code for others would take registers
  own.peaks = nullptr;
  skinny_tile<Type, false, kColumns, 1>(own, inputs, LeftRows{}, plan, place.tile, place.row);
}

}  // namespace speccascade
