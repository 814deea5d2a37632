// Products of many rows of bf16 on the warpgroups' matrix instructions of compute capability 9.0a:
// every output is one chain of steps over all of K (GemmArgs::one_chain), with the same bits in
// every shape of block.
//
// A warpgroup makes 64 outputs for kRows rows. Weights in bf16 or int8 go straight to its
// registers, as fragments (fragment_matrix.h). Inputs go through shared memory, kStages stages of
// four instructions' depth; all warpgroups of a block multiply with them. Of a gated pair one
// warpgroup has each matrix.
//
// While the instructions of a stage are at work, a warp waits for those of the stage before, turns
// the next fragments into what the instructions take, where those of the stage before stood, and
// asks for the fragments of kHeld stages on.
#pragma once

#include "base/cuda_intrinsics_sm90.h"
#include "ops/gemm_whole_cuda.cuh"

namespace speccascade {

template <typename WeightType, bool kGatedPair, int kWarpgroups, int kRowsOfBlock>
struct EncoderShape {
  using Type = WeightType;
  static_assert(!kGatedPair || kWarpgroups == 2, "a warpgroup has each matrix");
  static constexpr bool kGated = kGatedPair;
  static constexpr int kGroups = kWarpgroups, kRows = kRowsOfBlock;
  static constexpr int kThreads = kGroups * kWarpgroupThreads;
  static constexpr int kGroupOutputs = 64, kOutputs = kGroupOutputs * (kGated ? 1 : kGroups);
  static constexpr int kStages = kRows >= 128 ? 4 : 8;
  static constexpr int kAhead = kStages - 2;          // stages of inputs on their way
  static constexpr int kHeld = kRows == 256 ? 2 : 4;  // of weights, on their way
  static constexpr bool kFew = kRows < 128;  // little to compute: weights are what takes time
  static constexpr int kQuads = kOutputs / kQuadOutputs;
  static constexpr int kPasses = kRows * kQuads / kThreads;
  static constexpr int kAtOnce = kPasses < 4 ? kPasses : 4;
  static constexpr int kSumming = kPasses < 16 ? kPasses : 16;
};

constexpr int kEncoderInstructions = 4;  // of a stage
constexpr int kEncoderStageBytes = 128;  // of a row of inputs
template <typename Type>
constexpr int kEncoderSteps = kEncoderInstructions / Type::kInstructions;  // of weights
constexpr int kPrefetchedStages = 16;                                      // of weights into L2

template <typename Shape>
struct alignas(1024) EncoderShared {
  union {
    char rows[Shape::kStages][Shape::kRows * kEncoderStageBytes];
    // In the end: by warpgroup, row, output. The padding puts rows into other banks.
    float sums[Shape::kGroups][Shape::kRows][Shape::kGroupOutputs + 4];
  };
  float factor[Shape::kRows];
};

// Where a block stands: bands of row groups, in which blocks that run together share weights and
// rows.
struct EncoderGrid {
  int row_groups, output_groups, band;
};
struct EncoderPlace {
  int row_group, output_group;
};

SC_DEVICE EncoderPlace place_of(const EncoderGrid& grid, int block) {
  const int whole = grid.band * grid.output_groups, begin = block / whole * grid.band;
  const int left = grid.row_groups - begin, rows = left < grid.band ? left : grid.band;
  return {begin + block % whole % rows, block % whole / rows};
}

// Instructions take inputs in the order that they lie in, so lane t = lane % 4 of four has to have
// of an output's step the pairs of k t and t + 4 (of eight). What it has are those of
// fragment_matrix.h: 2 t and 2 t + 1.
SC_DEVICE void take_step(const uint32_t (&words)[4], uint32_t (&a)[1][4]) {
  const int t = lane_index() % 4, base = lane_index() - t;
  const bool inner = t == 1 || t == 2;
  const int first = base + (t == 0 ? 0 : t == 1 ? 2 : t == 2 ? 3 : 1);
  const int second = base + (t == 0 ? 2 : t == 1 ? 0 : t == 2 ? 1 : 3);
  SC_UNROLL
  for (int h = 0; h < 2; ++h) {  // outputs of the upper and of the lower half
    const uint32_t even = words[h], odd = words[2 + h];
    const uint32_t x = shuffle(kAllLanes, inner ? odd : even, first);
    const uint32_t y = shuffle(kAllLanes, inner ? even : odd, second);
    a[0][h] = inner ? y : x;
    a[0][2 + h] = inner ? x : y;
  }
}
// Of int8 two steps of the instructions: of their 16 pairs it has four, 4 t and on, and needs t of
// every lane's. Words go to the lane two on, then pairs to the next one.
SC_DEVICE void take_step(const uint32_t (&words)[4], uint32_t (&a)[2][4]) {
  const bool upper = lane_index() % 4 >= 2, odd = lane_index() % 2 == 1;
  // Of a word the first pair is bytes 0 and 2, the second 1 and 3. Sent: one pair of either word.
  // Made of a word and what came: lane 0's pair (or lane 2's) as the first, lane 1's as the second.
  const uint32_t sent = odd ? 0x6420 : 0x7531;
  const uint32_t of_first = odd ? 0x3514 : 0x5240, of_second = odd ? 0x3716 : 0x7260;
  SC_UNROLL
  for (int h = 0; h < 2; ++h) {  // outputs of the upper and of the lower half
    const uint32_t own = upper ? words[2 + h] : words[h];
    const uint32_t other = shuffle_xor(kAllLanes, upper ? words[h] : words[2 + h], 2);
    const uint32_t first = upper ? other : own, second = upper ? own : other;
    const uint32_t came = shuffle_xor(kAllLanes, pick_bytes(first, second, sent), 1);
    widen_integers(pick_bytes(first, came, of_first), a[0][h], a[0][2 + h]);
    widen_integers(pick_bytes(second, came, of_second), a[1][h], a[1][2 + h]);
  }
}

// The weights of a warp, a stage at a time. Tiles beyond the matrix have those of the last one, and
// steps beyond the end those of the last: they are finite, and their inputs are zero.
template <typename Type>
class EncoderWeights {
 public:
  static constexpr int kSteps = kEncoderSteps<Type>;

  SC_DEVICE EncoderWeights(const Matrix& weight, int tile, int which, int steps)
      : last_(steps - 1), begin_(static_cast<const char*>(weight.data)) {
    const int last = tiles_of(weight.n) - 1;
    begin_ += tile_offset(tile < last ? tile : last, which, weight.k, weight.dtype, weight.gated);
  }
  SC_DEVICE void load(int stage, uint32_t (&a)[kSteps][4]) const {
    SC_UNROLL
    for (int s = 0; s < kSteps; ++s) {
      const int step = stage * kSteps + s, known = step < last_ ? step : last_;
      const Words4 words = load_here(begin_ + known * kFragmentBytes + lane_index() * 16);
      SC_UNROLL
      for (int w = 0; w < 4; ++w) a[s][w] = words.word[w];
    }
  }
  // By one lane: `count` stages from `stage` on.
  SC_DEVICE void prefetch(int stage, int count) const {
    const int first = stage * kSteps, end = first + count * kSteps;
    const int steps = (end <= last_ ? end : last_ + 1) - first;
    if (steps > 0) prefetch_range(begin_ + first * kFragmentBytes, steps * kFragmentBytes);
  }

 private:
  int last_;
  const char* begin_;
};

// A thread's pieces of a block's rows, one of every kRowsAtOnce rows. Those beyond the rows and
// beyond K become zero.
template <typename Shape>
class EncoderRows {
 public:
  SC_DEVICE EncoderRows(const DeviceInputs& inputs, int row, int rows, int steps)
      : first_(inputs.rows + static_cast<int64_t>(row + thread_index() / kPieces) * inputs.stride +
               thread_index() % kPieces * kPieceBytes),
        jump_(kRowsAtOnce * inputs.stride),
        rows_(rows - row - thread_index() / kPieces),
        stages_((steps - thread_index() % kPieces * kPieceBytes / kInputBytes + kSteps - 1) /
                kSteps),
        place_(swizzled(thread_index() / kPieces, thread_index() % kPieces)) {}

  // Starts copying the pieces of a stage.
  SC_DEVICE void fetch(int stage, char (&memory)[Shape::kRows * kEncoderStageBytes]) const {
    const char* from = first_ + stage * kEncoderStageBytes;
    const int there = stage < stages_ ? rows_ : 0;
    SC_UNROLL
    for (int r = 0; r < Shape::kRows; r += kRowsAtOnce) {
      copy_async(memory + place_ + r * kEncoderStageBytes, from, r < there ? kPieceBytes : 0);
      from += jump_;
    }
  }

 private:
  static constexpr int kSteps = kEncoderSteps<typename Shape::Type>;
  static constexpr int kInputBytes = kEncoderStageBytes / kSteps;  // of a step
  static constexpr int kPieceBytes = 16, kPieces = kEncoderStageBytes / kPieceBytes;
  static constexpr int kRowsAtOnce = Shape::kThreads / kPieces;
  static_assert(kRowsAtOnce % 8 == 0 && Shape::kRows % kRowsAtOnce == 0, "a piece has its place");

  const char* first_;
  int64_t jump_;
  int rows_, stages_, place_;
};

// find_factors for all rows of a block, whose squares are read at the same time. Blocks of many
// rows are given factors.
template <typename Shape>
SC_DEVICE void find_row_factors(const DeviceInputs& inputs, int row, int num_rows,
                                float (&factor)[Shape::kRows]) {
  if (!Shape::kFew || inputs.squares == nullptr) {
    for (int r = thread_index(); r < Shape::kRows; r += Shape::kThreads) {
      const bool given = inputs.factors != nullptr && row + r < num_rows;
      factor[r] = given ? inputs.factors[row + r] : 1.0f;
    }
    return;
  }
  constexpr int kRowsAtOnce = Shape::kThreads / kNormBuckets;
  constexpr int kPasses = Shape::kFew ? Shape::kRows / kRowsAtOnce : 1;
  const int tiles = tiles_of(inputs.width), bucket = lane_index() % kNormBuckets;
  const int first = thread_index() / kNormBuckets;
  float own[kPasses] = {};
  SC_UNROLL_BY(2)
  for (int t = bucket; t < tiles; t += kNormBuckets) {
    SC_UNROLL
    for (int p = 0; p < kPasses; ++p) {
      const int r = row + first + p * kRowsAtOnce;
      if (r < num_rows) own[p] += inputs.squares[static_cast<int64_t>(r) * tiles + t];
    }
  }
  float squares = 0.0f;  // of the bucket-th of the rows
  SC_UNROLL
  for (int p = 0; p < kPasses; ++p) {
    float total = 0.0f;
    SC_UNROLL
    for (int b = 0; b < kNormBuckets; ++b) {
      total += shuffle(kAllLanes, own[p], lane_index() - bucket + b);
    }
    if (bucket == p) squares = total;
  }
  if (bucket >= kPasses) return;
  factor[first + bucket * kRowsAtOnce] =
      factor_of_squares(squares, inputs.width, inputs.epsilon) * inputs.scale;
}

// Lays a warpgroup's sums out by row.
template <typename Shape>
SC_DEVICE void stage_sums(const float (&sums)[Shape::kRows / 2],
                          float (&staged)[Shape::kRows][Shape::kGroupOutputs + 4]) {
  const int output = warp_index() % 4 * kTileOutputs;
  SC_UNROLL
  for (int c = 0; c < Shape::kRows / 8; ++c) {
    SC_UNROLL
    for (int i = 0; i < 4; ++i) {
      staged[8 * c + row_of_sum(i)][output + output_of_sum(i)] = sums[4 * c + i];
    }
  }
}

// The weights of the stages that are multiplied, and of kHeld on their way.
template <typename Shape>
struct EncoderFragments {
  using Type = typename Shape::Type;
  static constexpr int kSteps = kEncoderSteps<Type>;
  uint32_t used[2][kSteps][Type::kInstructions][4];
  uint32_t held[Shape::kHeld][kSteps][4];
};

// What was loaded of a stage, as it is multiplied.
template <int kSteps, int kInstructions>
SC_DEVICE void take_fragments(const uint32_t (&from)[kSteps][4],
                              uint32_t (&to)[kSteps][kInstructions][4]) {
  SC_UNROLL
  for (int s = 0; s < kSteps; ++s) {
    SC_UNROLL
    for (int i = 0; i < kInstructions; ++i) hold(to[s][i]);
    take_step(from[s], to[s]);
  }
}

// The sums of a warpgroup over all stages. fetch(stage): starts copying the rows of a stage, those
// of the first kAhead are on their way.
template <typename Shape, typename Fetch>
SC_DEVICE void sum_stages(const EncoderWeights<typename Shape::Type>& weights,
                          EncoderFragments<Shape>& fragments,
                          const char (&rows)[Shape::kStages][Shape::kRows * kEncoderStageBytes],
                          int stages, bool prefetches, const Fetch& fetch,
                          float (&sums)[Shape::kRows / 2]) {
  constexpr int kInstructions = Shape::Type::kInstructions;
  take_fragments(fragments.held[0], fragments.used[0]);
  weights.load(Shape::kHeld, fragments.held[0]);
  // A number of stages that is no multiple of kHeld ends with empty ones: where the loop ends must
  // not depend on t, or the compiler does not let two stages overlap.
  for (int begin = 0; begin < stages; begin += Shape::kHeld) {
    SC_UNROLL
    for (int t = 0; t < Shape::kHeld; ++t) {
      const int stage = begin + t;
      wait_copies<Shape::kAhead - 1>();
      fence_shared();
      sync_block();  // the stage is there, and nobody reads the one before the last
      const SharedTile tile = shared_tile(rows[stage % Shape::kStages]);
      warpgroup_fence();
      SC_UNROLL
      for (int i = 0; i < kEncoderInstructions; ++i) {
        warpgroup_multiply(sums, fragments.used[t % 2][i / kInstructions][i % kInstructions],
                           tile_step(tile, i), stage + i > 0);
      }
      warpgroup_commit();
      fetch(stage + Shape::kAhead);
      warpgroup_wait<1>();  // those of the stage before have ended, and read no registers
      auto& next = fragments.held[(t + 1) % Shape::kHeld];
      take_fragments(next, fragments.used[(t + 1) % 2]);
      weights.load(stage + 1 + Shape::kHeld, next);
      if (prefetches) weights.prefetch(stage + kPrefetchedStages, 1);
    }
  }
  warpgroup_wait<0>();
  hold(sums);
}

// What a block adds to comes into L2 while it multiplies.
template <typename Shape>
SC_DEVICE void prefetch_sums(const GemmArgs& args, int row, int rows, int n) {
  if (args.epilogue != Epilogue::kAdd || args.out_rows != nullptr) return;
  if (n + Shape::kOutputs > args.weight.n || !takes_quads(args.out, args.ldo)) return;
  for (int r = row + thread_index(); r < row + Shape::kRows && r < rows; r += Shape::kThreads) {
    prefetch_range(output_place(args, r, n), Shape::kOutputs * static_cast<int>(sizeof(float)));
  }
}

template <typename Shape>
SC_KERNEL(SC_WARPGROUP_THREADS(Shape::kThreads))
encoder_product_kernel(GemmArgs args, DeviceInputs inputs, LeftRows leaves, EncoderGrid grid) {
  if constexpr (!kHasWarpgroups) return wait_for_previous();
  constexpr int kGroupTiles = Shape::kGroupOutputs / kTileOutputs;
  const EncoderPlace place = place_of(grid, block_index());
  const int row = place.row_group * Shape::kRows, n = place.output_group * Shape::kOutputs;
  using Type = typename Shape::Type;
  const int group = warp_index() / 4, steps = steps_of(args.weight.k, Type::kType);
  const int tile = n / kTileOutputs + (Shape::kGated ? 0 : group * kGroupTiles) + warp_index() % 4;
  const EncoderWeights<Type> weights(args.weight, tile, Shape::kGated ? group : 0, steps);
  const bool prefetches = Shape::kFew && place.row_group == 0 && lane_index() == 0;
  if (prefetches) weights.prefetch(0, kPrefetchedStages);
  EncoderFragments<Shape> fragments;
  SC_UNROLL
  for (int h = 0; h < Shape::kHeld; ++h) weights.load(h, fragments.held[h]);

  wait_for_previous();
  EncoderShared<Shape>& memory = dynamic_shared<EncoderShared<Shape>>();
  // Stages beyond the last are zero. Rows beyond their number stand there too, up to the bound, and
  // nothing is made of them: neither copies nor factors that are given wait for the number.
  const EncoderRows<Shape> block_rows(inputs, row, args.max_rows, steps);
  const auto fetch = [&](int stage) {
    block_rows.fetch(stage, memory.rows[stage % Shape::kStages]);
    commit_copies();
  };
  SC_UNROLL
  for (int stage = 0; stage < Shape::kAhead; ++stage) fetch(stage);
  const int rows = *args.num_rows;
  if (!Shape::kFew) find_row_factors<Shape>(inputs, row, args.max_rows, memory.factor);
  if (row >= rows) return wait_copies<0>();
  if (Shape::kFew) find_row_factors<Shape>(inputs, row, rows, memory.factor);
  prefetch_sums<Shape>(args, row, rows, n);

  float sums[Shape::kRows / 2] = {};
  const int stages = (steps + kEncoderSteps<Type> - 1) / kEncoderSteps<Type>;
  sum_stages<Shape>(weights, fragments, memory.rows, stages, prefetches, fetch, sums);
  wait_copies<0>();
  sync_block();  // nobody reads the inputs, and none are on their way
  stage_sums<Shape>(sums, memory.sums[group]);
  sync_block();
  const auto sums_at = [&](int matrix, int quad, int r) {
    constexpr int kGroupQuads = Shape::kGroupOutputs / kQuadOutputs;
    const int from = Shape::kGated ? matrix : quad / kGroupQuads;
    return whole_quad(&memory.sums[from][r][quad % kGroupQuads * kQuadOutputs]);
  };
  if (whole_block(args, leaves, n + Shape::kOutputs)) {
    return finish_whole<Type, Shape::kGated, Shape::kThreads, Shape::kRows, Shape::kQuads,
                        Shape::kSumming, Shape::kAtOnce>(args, leaves, memory.factor, row,
                                                         rows - row, n, sums_at);
  }
  finish_quads<Type, Shape::kGated, Shape::kThreads, Shape::kRows, Shape::kQuads, Shape::kAtOnce>(
      args, leaves, memory.factor, row, n, sums_at);
}

}  // namespace speccascade
