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

// A warp's run: fragments on their way, then its sums, by matrix and part, output, row.
template <typename Type, bool kGated, int kColumns>
struct RunShared {
  static constexpr int kMatrices = kGated ? 2 : 1;
  // Steps under way: as many as 48 KiB hold for all runs.
  static constexpr int kSteps = 11 / kMatrices;
  static constexpr int kRows = 8 * kColumns;
  union {
    alignas(16) char fragments[kSteps][kMatrices][kFragmentBytes];
    typename Type::Sum sum[kMatrices * Type::kSums][kTileOutputs][kRows];
  };
};

template <typename Type, bool kGated, int kColumns>
struct SkinnyShared {
  static constexpr int kRows = 8 * kColumns;
  RunShared<Type, kGated, kColumns> run[kMaxSplits];
  float factor[kRows];  // that sums of a row are multiplied by
};

// The steps of a run through shared memory. Each lane copies the bytes that it multiplies, and
// waits for its own copies alone.
template <typename Run>
class WeightRing {
 public:
  SC_DEVICE WeightRing(const char* run, int64_t matrix, int steps, Run& memory)
      : from_(run + lane_index() * 16), matrix_(matrix), left_(steps), memory_(memory) {
    SC_UNROLL
    for (int slot = 0; slot < Run::kSteps; ++slot) ask(slot);
  }
  // The next step's fragments.
  SC_DEVICE void take(uint32_t (&a)[Run::kMatrices][4]) {
    wait_copies<Run::kSteps - 1>();
    SC_UNROLL
    for (int m = 0; m < Run::kMatrices; ++m) load_words(own(slot_, m), a[m]);
  }
  // What take() gave was used: its place has the next step that is not under way.
  SC_DEVICE void refill() {
    ask(slot_);
    slot_ = slot_ + 1 == Run::kSteps ? 0 : slot_ + 1;
  }

 private:
  SC_DEVICE char* own(int slot, int m) const {
    return memory_.fragments[slot][m] + lane_index() * 16;
  }
  SC_DEVICE void ask(int slot) {
    if (left_ > 0) {
      SC_UNROLL
      for (int m = 0; m < Run::kMatrices; ++m) copy_async(own(slot, m), from_ + m * matrix_, 16);
      from_ += kFragmentBytes;
      --left_;
    }
    commit_copies();
  }

  const char* from_;
  int64_t matrix_;
  int left_;
  int slot_ = 0;
  Run& memory_;
};

// The lane's part of a step of eight rows from `row` on. A row that is not there has the last
// one's: products of rows do not touch each other, and this one is not written.
SC_DEVICE void load_prepared(const char* rows, int64_t stride, int row, int num_rows, int step,
                             uint32_t (&b)[2]) {
  const int own = row + lane_index() / 4;
  const int64_t place = own < num_rows ? own : num_rows - 1;
  load_words(rows + place * stride + step * kStepBytes + lane_index() % 4 * 8, b);
}

// Rows that were prepared (gemm_inputs_cuda.cuh) or left, as a run reads them: a few steps
// together, those behind them meanwhile. `rows`: that there is memory for, since their number is
// not known yet.
template <int kInputs, int kColumns>
class RunInputs {
 public:
  static constexpr int kLoads = kInputs * kColumns;  // of a step
  static constexpr int kSteps = kLoads == 1 ? 6 : kLoads == 2 ? 3 : kLoads < 8 ? 8 / kLoads : 1;

  SC_DEVICE RunInputs(const DeviceInputs& inputs, int row, int rows, int begin, int end)
      : inputs_(inputs), row_(row), rows_(rows), next_(begin), last_(end - 1) {
    load();
  }
  // Those of kSteps more steps, of which the last may be beyond the run.
  SC_DEVICE void take(uint32_t (&b)[kSteps][kInputs][kColumns][2]) {
    SC_UNROLL
    for (int s = 0; s < kSteps; ++s) {
      SC_UNROLL
      for (int p = 0; p < kInputs; ++p) {
        SC_UNROLL
        for (int c = 0; c < kColumns; ++c) {
          b[s][p][c][0] = ahead_[s][p][c][0];
          b[s][p][c][1] = ahead_[s][p][c][1];
        }
      }
    }
    load();
  }

 private:
  SC_DEVICE void load() {
    SC_UNROLL
    for (int s = 0; s < kSteps; ++s) {
      const int step = next_ + s < last_ ? next_ + s : last_;
      SC_UNROLL
      for (int p = 0; p < kInputs; ++p) {
        SC_UNROLL
        for (int c = 0; c < kColumns; ++c) {
          load_prepared(inputs_.rows + p * inputs_.part, inputs_.stride, row_ + 8 * c, rows_, step,
                        ahead_[s][p][c]);
        }
      }
    }
    next_ += kSteps;
  }

  const DeviceInputs& inputs_;
  int row_, rows_, next_, last_;
  uint32_t ahead_[kSteps][kInputs][kColumns][2];
};

// The run's sums, into its memory.
template <typename Type, bool kGated, int kColumns, int kInputs>
SC_DEVICE void multiply_run(WeightRing<RunShared<Type, kGated, kColumns>>& weights,
                            const DeviceInputs& inputs, int row, int rows, int begin, int end,
                            RunShared<Type, kGated, kColumns>& memory) {
  constexpr int kMatrices = kGated ? 2 : 1, kParts = Type::kSums;
  using Inputs = RunInputs<kInputs, kColumns>;
  typename Type::Sum sums[kMatrices][kParts][kColumns][4] = {};
  Inputs ahead(inputs, row, rows, begin, end);
  for (int first = begin; first < end; first += Inputs::kSteps) {
    uint32_t b[Inputs::kSteps][kInputs][kColumns][2];
    ahead.take(b);
    SC_UNROLL
    for (int s = 0; s < Inputs::kSteps; ++s) {
      if (first + s >= end) break;
      uint32_t a[kMatrices][4];
      weights.take(a);
      SC_UNROLL
      for (int c = 0; c < kColumns; ++c) {
        SC_UNROLL
        for (int p = 0; p < kInputs; ++p) {
          SC_UNROLL
          for (int m = 0; m < kMatrices; ++m) {
            // Floating-point parts go into one sum, those of integers stay apart.
            Type::multiply(sums[m][kParts == 1 ? 0 : p][c], a[m], b[s][p][c]);
          }
        }
      }
      weights.refill();
    }
  }
  wait_copies<0>();
  sync_warp(kAllLanes);  // nobody reads fragments where sums go
  for_each_sum<kMatrices, kParts, kColumns>([&](int m, int p, int c, int i) {
    memory.sum[m * kParts + p][output_of_sum(i)][8 * c + row_of_sum(i)] = sums[m][p][c][i];
  });
}

// Where the runs of a tile lie. `ahead`: steps of a run that are prefetched.
template <bool kGated>
SC_DEVICE const char* run_of(const Matrix& weight, int tile, int m, int begin) {
  return static_cast<const char*>(weight.data) +
         tile_offset(tile, m, weight.k, weight.dtype, kGated) +
         static_cast<int64_t>(begin) * kFragmentBytes;
}

// Steps [from, to) of the warp's run come closer.
template <bool kGated>
SC_DEVICE void prefetch_run(const Matrix& weight, int tile, int from, int to) {
  constexpr int kSectorBytes = 32;
  const Split split = split_of(weight.k, weight.dtype);
  const int begin = warp_index() * split.steps, left = split.steps_in_all - begin;
  const int most = split.steps < to ? split.steps : to;
  const int bytes = (left < most ? left : most) * kFragmentBytes;
  for (int m = 0; m < (kGated ? 2 : 1); ++m) {
    const char* run = run_of<kGated>(weight, tile, m, begin);
    for (int at = from * kFragmentBytes + lane_index() * kSectorBytes; at < bytes;
         at += kWarpLanes * kSectorBytes) {
      prefetch(run + at);
    }
  }
}

// A tile of outputs for the rows from `row` on, by all threads of the block. `ahead`: of a run,
// the steps that are to be on their way before the kernel before has ended.
template <typename Type, bool kGated, int kColumns, int kInputs>
SC_DEVICE void skinny_tile(const GemmArgs& args, const DeviceInputs& inputs, const LeftRows& leaves,
                           int tile, int row, int ahead,
                           SkinnyShared<Type, kGated, kColumns>& memory) {
  using Run = RunShared<Type, kGated, kColumns>;
  using Sum = typename Type::Sum;
  constexpr int kSums = (kGated ? 2 : 1) * Type::kSums;
  const Split split = split_of(args.weight.k, Type::kType);
  const int run = warp_index(), begin = run * split.steps;
  const int steps = split.steps_in_all - begin < split.steps ? split.steps_in_all - begin
                                                             : split.steps;
  const bool runs = run < split.runs;
  WeightRing<Run> weights(run_of<kGated>(args.weight, tile, 0, begin),
                          static_cast<int64_t>(split.steps_in_all) * kFragmentBytes,
                          runs ? steps : 0, memory.run[run]);
  if (runs) prefetch_run<kGated>(args.weight, tile, Run::kSteps, ahead);
  wait_for_previous();
  const int num_rows = *args.num_rows;
  if (row > 0 && row >= num_rows) return;

  // Of this thread's outputs, if they are few: with more there are not the registers.
  constexpr int kTile = kTileOutputs * Run::kRows, kEarly = kColumns <= 2 ? kColumns : 0;
  Output<Type, kGated> outputs[kEarly > 0 ? kEarly : 1];
  const auto output_of = [&](int i) {
    return output_at<Type, kGated>(args, i < kTile ? num_rows : 0, row + i / kTileOutputs,
                                   tile * kTileOutputs + i % kTileOutputs);
  };
  SC_UNROLL
  for (int e = 0; e < kEarly; ++e) outputs[e] = output_of(thread_index() + e * block_threads());
  if (runs) {
    multiply_run<Type, kGated, kColumns, kInputs>(weights, inputs, row, args.max_rows, begin,
                                                  begin + steps, memory.run[run]);
  }
  find_factors(inputs, row, args.max_rows, memory.factor);
  sync_block();
  const auto finish_at = [&](int i, const Output<Type, kGated>& output) {
    const int o = i % kTileOutputs, r = i / kTileOutputs;
    Sum sums[kGated ? 2 : 1][Type::kSums];
    SC_UNROLL
    for (int s = 0; s < kSums; ++s) {
      Sum sum = memory.run[0].sum[s][o][r];
      for (int from = 1; from < split.runs; ++from) sum += memory.run[from].sum[s][o][r];
      sums[s / Type::kSums][s % Type::kSums] = sum;
    }
    finish_output<Type, kGated>(args, leaves, output, memory.factor[r], sums);
  };
  SC_UNROLL
  for (int e = 0; e < kColumns; ++e) {
    const int i = thread_index() + e * block_threads();
    if (i >= kTile) break;
    finish_at(i, kEarly > 0 ? outputs[kEarly > 0 ? e : 0] : output_of(i));
  }
}

// Blocks: tiles x groups of 8 kColumns rows.
template <typename Type, bool kGated, int kColumns, int kInputs>
SC_KERNEL(kSkinnyThreads, kSkinnyBlocks<kColumns>)
skinny_kernel(GemmArgs args, DeviceInputs inputs, LeftRows leaves, int row_groups, int ahead) {
  using Memory = SkinnyShared<Type, kGated, kColumns>;
  skinny_tile<Type, kGated, kColumns, kInputs>(
      args, inputs, leaves, block_index() / row_groups,
      block_index() % row_groups * Memory::kRows, ahead, shared<Memory>());
}

// Two products of the same inputs, which differ in their weights and places: blocks as for one with
// the tiles of both.
template <typename Type, int kColumns>
SC_KERNEL(kSkinnyThreads, kSkinnyBlocks<kColumns>)
skinny_pair_kernel(GemmArgs args, GemmArgs other, DeviceInputs inputs, int row_groups, int ahead) {
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
  skinny_tile<Type, false, kColumns, 1>(args, inputs, LeftRows{}, tile,
                                        block_index() % row_groups * Memory::kRows, ahead,
                                        shared<Memory>());
}

}  // namespace speccascade
