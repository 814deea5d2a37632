// Encoder attention on matrix instructions (Dao 2023): a block makes a tile of a sequence's rows
// for one head, a warp 16 of them. Keys come in tiles of 32 through shared memory; scores, a
// running softmax and the sums of values stay in registers.
//
// Scores are the logarithms to base 2 of weights. T5 does not scale them and they get large, so
// queries and keys are multiplied in two parts of bf16 each. Tiles are counted from the sequence's
// first row, so that a row has the same bits in any batch.
#pragma once

#include <cmath>

#include "base/cuda_intrinsics.h"
#include "ops/attention.h"
#include "ops/probability_row.h"
#include "ops/relative_bias.h"

namespace speccascade {

constexpr int kEncoderThreads = 256, kEncoderWarps = kEncoderThreads / kWarpLanes;
constexpr int kTileKeys = 32;
constexpr int kNarrowDim = 64, kWideDim = 128;  // entries of a head, with zeros beyond

constexpr int kWarpRows = 16, kTileRows = kEncoderWarps * kWarpRows;
constexpr int kBiases = kTileRows + kTileKeys;  // of a tile of keys, by distance

// Of heads of up to kDim entries.
template <int kDim>
struct EncoderShape {
  static constexpr int kStages = kDim == kNarrowDim ? 2 : 1;  // tiles of keys in shared memory
  static constexpr int kBlocks = kDim == kNarrowDim ? 2 : 1;  // of a multiprocessor
  static constexpr int kSteps = kDim / 16, kColumns = kDim / 8;
  static constexpr int kStride = kDim + 8;  // entries: an odd number of 16 bytes, so that rows of a
                                            // matrix lie in different banks
};

template <int kDim>
using KeyRows = uint16_t[kTileKeys][EncoderShape<kDim>::kStride];

template <int kDim, int kParts>
struct alignas(16) KeyTile {
  KeyRows<kDim> keys[2], values[kParts];
  float bias[kBiases];
};

// The rows of one head of a sequence.
struct HeadRows {
  const float* first;  // row
  const float* biases;
  uint32_t inner;   // entries of all heads
  uint32_t stride;  // a sequence has fewer entries than 2^32
  int count;
  int head_dim;
  bool by_fours;  // four entries are one aligned load
  int head;
  int first_row;  // of the pass
  int tile_row;   // the block's first, in the sequence
};

template <int kDim, int kParts>
struct EncoderShared {
  KeyTile<kDim, kParts> tiles[EncoderShape<kDim>::kStages];
  HeadRows rows;  // here, for want of registers
};

SC_DEVICE float first_of(uint32_t pair) {
  const uint32_t bits = pair << 16;
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}
SC_DEVICE float second_of(uint32_t pair) {
  const uint32_t bits = pair & 0xffff0000u;
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}
// What rounding left of two values.
SC_DEVICE uint32_t rest_of(float first, float second, uint32_t pair) {
  return bf16_pair(first - first_of(pair), second - second_of(pair));
}

// A thread's share of a tile of keys or values, on its way to shared memory: groups of 4 entries,
// so many at a time: fewer for want of registers.
template <int kDim, int kParts>
struct TileShare {
  static constexpr int kRowGroups = kDim / 4, kGroups = kParts == 1 ? 2 : 1;
  static constexpr int kRows = kEncoderThreads / kRowGroups;  // that the block's threads share
  static constexpr int kTimes = kTileKeys / (kRows * kGroups);
  static constexpr bool kAhead = kTimes == 1;  // it is asked for while the tile before is used
  float entries[kGroups][4];

  static SC_DEVICE int row(int time, int i) {
    return (time * kGroups + i) * kRows + thread_index() / kRowGroups;
  }
  static SC_DEVICE int entry() { return thread_index() % kRowGroups * 4; }

  // Of queries (0), keys or values, the tile of rows from `begin` on. Zeros beyond the head and the
  // sequence: what stands there may be another sequence's and not finite.
  SC_DEVICE void fetch(const HeadRows& rows, int part, int begin, int time = 0) {
    const int first = begin + row(time, 0);
    uint32_t at = static_cast<uint32_t>(first) * rows.stride +
                  static_cast<uint32_t>(part) * rows.inner + static_cast<uint32_t>(entry());
    const int left = rows.count - first, wide = rows.head_dim - entry();
    SC_UNROLL
    for (int i = 0; i < kGroups; ++i) {
      const bool there = i * kRows < left;
      if (rows.by_fours) {
        uint32_t words[4] = {};
        if (there && wide > 0) load_words(rows.first + at, words);
        memcpy(entries[i], words, sizeof(words));
      } else {
        SC_UNROLL
        for (int j = 0; j < 4; ++j) entries[i][j] = there && j < wide ? rows.first[at + j] : 0.0f;
      }
      at += kRows * rows.stride;
    }
  }

  template <int kOf>
  SC_DEVICE void store(KeyRows<kDim> (&parts)[kOf], int time = 0) const {
    SC_UNROLL
    for (int i = 0; i < kGroups; ++i) {
      const float(&x)[4] = entries[i];
      const uint32_t pairs[2] = {bf16_pair(x[0], x[1]), bf16_pair(x[2], x[3])};
      store_words(&parts[0][row(time, i)][entry()], pairs);
      if constexpr (kOf == 2) {
        const uint32_t rest[2] = {rest_of(x[0], x[1], pairs[0]), rest_of(x[2], x[3], pairs[1])};
        store_words(&parts[1][row(time, i)][entry()], rest);
      }
    }
  }

  // What was asked for or, if it was not, all of it from the beginning.
  template <int kOf>
  SC_DEVICE void bring(const HeadRows& rows, int part, int begin, KeyRows<kDim> (&parts)[kOf]) {
    if constexpr (kAhead) {
      store(parts);
    } else {
      SC_UNROLL_BY(1)
      for (int time = 0; time < kTimes; ++time) {
        fetch(rows, part, begin, time);
        store(parts, time);
      }
    }
  }
};

// The same of the biases, one a thread.
struct BiasShare {
  static_assert(kBiases <= kEncoderThreads, "one a thread");
  float bias;

  // `distance`: that of the first.
  SC_DEVICE void fetch(const HeadRows& rows, int max_distance, int distance) {
    int own = distance + thread_index();
    own = own < -max_distance ? -max_distance : own > max_distance ? max_distance : own;
    bias = rows.biases[own + max_distance];
  }
  SC_DEVICE void store(float (&to)[kBiases]) const {
    if (thread_index() < kBiases) to[thread_index()] = bias * kLog2E;
  }
};

// The 16 rows of a warp. Of a fragment a lane has row lane / 4 and the eighth after it, and of 8
// columns 2 (lane % 4) and the next.
template <int kDim, int kParts>
class EncoderRows {
 public:
  using Shape = EncoderShape<kDim>;

  // `row`: the warp's first, in the sequence.
  SC_DEVICE EncoderRows(const HeadRows& queries, int row) {
    const float* from = queries.first + static_cast<uint32_t>(row) * queries.stride;
    SC_UNROLL
    for (int half = 0; half < 2; ++half) {
      const int r = row_of(half);
      const bool there = row + r < queries.count;
      SC_UNROLL
      for (int i = 0; i < 2 * Shape::kSteps; ++i) {
        const int d = 8 * i + column_of(0);
        const float* at = from + static_cast<uint32_t>(r) * queries.stride + d;
        const float first = there && d < queries.head_dim ? at[0] : 0.0f;
        const float second = there && d + 1 < queries.head_dim ? at[1] : 0.0f;
        uint32_t& pair = query_[i / 2][i % 2 * 2 + half];
        pair = bf16_pair(first, second);
        rest_[i / 2][i % 2 * 2 + half] = rest_of(first, second, pair);
      }
      max_[half] = -INFINITY;
      sum_[half] = 0.0f;
    }
  }

  static SC_DEVICE int row_of(int half) { return 8 * half + lane_index() / 4; }
  static SC_DEVICE int column_of(int i) { return lane_index() % 4 * 2 + i; }

  SC_DEVICE void multiply_keys(const KeyRows<kDim> (&keys)[2]) {
    SC_UNROLL
    for (int n = 0; n < kKeyColumns; ++n) {
      SC_UNROLL
      for (int i = 0; i < 4; ++i) score_[n][i] = 0.0f;
    }
    const int key = lane_index() % 8 + lane_index() / 16 * 8, entry = lane_index() / 8 % 2 * 8;
    SC_UNROLL
    for (int step = 0; step < Shape::kSteps; ++step) {
      uint32_t b[kKeyColumns][2];
      const auto load = [&](int part) {
        SC_UNROLL
        for (int n = 0; n < kKeyColumns; n += 2) {
          load_two(load_matrices, &keys[part][8 * n + key][16 * step + entry], b[n], b[n + 1]);
        }
      };
      const auto multiply = [&](const uint32_t(&queries)[4]) {
        SC_UNROLL
        for (int n = 0; n < kKeyColumns; ++n) mma_bf16(score_[n], queries, b[n]);
      };
      load(0);
      multiply(query_[step]);
      multiply(rest_[step]);
      load(1);
      multiply(query_[step]);
    }
  }

  // Scores become weights, relative to the largest so far. `bias`: of the tile's first key for the
  // warp's first row; `keys`: how many the tile has.
  SC_DEVICE void weigh(const float* bias, int keys) {
    SC_UNROLL
    for (int half = 0; half < 2; ++half) {
      float max = max_[half];
      for_scores(half, [&](int n, int i, int column) {
        float& score = score_[n][i];
        score = fmaf(score, kLog2E, bias[8 * n + column - row_of(half)]);
        if (keys < kTileKeys && 8 * n + column >= keys) score = -INFINITY;
        max = fmaxf(max, score);
      });
      max = fmaxf(max, shuffle_xor(kAllLanes, max, 1));
      max = fmaxf(max, shuffle_xor(kAllLanes, max, 2));
      const float keep = exp2_flushed(max_[half] - max);
      max_[half] = max;
      sum_[half] *= keep;
      SC_UNROLL
      for (int c = 0; c < Shape::kColumns; ++c) {
        out_[c][2 * half] *= keep;
        out_[c][2 * half + 1] *= keep;
      }
      for_scores(half, [&](int n, int i, int) { score_[n][i] = exp2_flushed(score_[n][i] - max); });
    }
  }

  SC_DEVICE void multiply_values(const KeyRows<kDim> (&values)[kParts]) {
    const int key = lane_index() % 16, entry = lane_index() / 16 * 8;
    SC_UNROLL
    for (int step = 0; step < kTileKeys / 16; ++step) {
      uint32_t weights[kParts][4];
      round_weights(step, weights);
      SC_UNROLL
      for (int c = 0; c < Shape::kColumns; c += 2) {
        SC_UNROLL
        for (int p = 0; p < kParts; ++p) {
          uint32_t b[2][2];
          load_two(load_transposed, &values[p][16 * step + key][8 * c + entry], b[0], b[1]);
          SC_UNROLL
          for (int w = 0; w < kParts - p; ++w) {  // the product of the rests is left out
            SC_UNROLL
            for (int i = 0; i < 2; ++i) mma_bf16(out_[c + i], weights[w], b[i]);
          }
        }
      }
    }
  }

  // leave(row, d, value): of the warp's rows, all entries that there are.
  template <typename Leave>
  SC_DEVICE void finish(const Leave& leave) const {
    SC_UNROLL
    for (int half = 0; half < 2; ++half) {
      float sum = sum_[half];
      sum += shuffle_xor(kAllLanes, sum, 1);
      sum += shuffle_xor(kAllLanes, sum, 2);
      const float factor = 1.0f / sum;
      SC_UNROLL
      for (int c = 0; c < Shape::kColumns; ++c) {
        SC_UNROLL
        for (int i = 0; i < 2; ++i) {
          leave(row_of(half), 8 * c + column_of(i), out_[c][2 * half + i] * factor);
        }
      }
    }
  }

 private:
  static constexpr int kKeyColumns = kTileKeys / 8;

  // Two operands of 8 columns at once.
  template <typename Load>
  static SC_DEVICE void load_two(const Load& load, const uint16_t* row, uint32_t (&first)[2],
                                 uint32_t (&second)[2]) {
    uint32_t words[4];
    load(row, words);
    SC_UNROLL
    for (int i = 0; i < 2; ++i) {
      first[i] = words[i];
      second[i] = words[2 + i];
    }
  }

  // body(n, i, column) for the scores of a lane's row.
  template <typename Body>
  static SC_DEVICE void for_scores(int half, const Body& body) {
    SC_UNROLL
    for (int n = 0; n < kKeyColumns; ++n) {
      SC_UNROLL
      for (int i = 0; i < 2; ++i) body(n, 2 * half + i, column_of(i));
    }
  }

  // The weights of 16 keys as an operand, and their sums: of what they are rounded to, where that
  // is all of them.
  SC_DEVICE void round_weights(int step, uint32_t (&weights)[kParts][4]) {
    SC_UNROLL
    for (int word = 0; word < 4; ++word) {
      const int half = word % 2;
      const float(&scores)[4] = score_[2 * step + word / 2];
      const float first = scores[2 * half], second = scores[2 * half + 1];
      const uint32_t pair = bf16_pair(first, second);
      weights[0][word] = pair;
      if constexpr (kParts == 2) {
        weights[1][word] = rest_of(first, second, pair);
        sum_[half] += first + second;
      } else {
        sum_[half] += first_of(pair) + second_of(pair);
      }
    }
  }

  uint32_t query_[Shape::kSteps][4], rest_[Shape::kSteps][4];
  float score_[kKeyColumns][4];
  float out_[Shape::kColumns][4] = {};
  float max_[2], sum_[2];
};

// A tile of a sequence's rows.
struct RowTile {
  int sequence;  // -1: none
  int row;       // its first, in the sequence
};

// Tiles have numbers that ascend with the sequences: the rows before one, by whole tiles, and the
// sequences before its own. Not every number has a tile. By whole warps.
SC_DEVICE RowTile find_tile(const EncoderAttentionArgs& args, int number) {
  const int rows = *args.num_rows;
  RowTile found = {-1, 0};
  for (int base = 0; base < args.max_sequences; base += kWarpLanes) {
    const int s = base + lane_index();
    const int first = s < args.max_sequences ? args.offsets[s] : rows;
    // What stands behind the end is of another pass.
    const uint32_t ended = ballot(kAllLanes, first >= rows);
    const int own = first / kTileRows + s;
    uint32_t before = ballot(kAllLanes, own <= number);
    if (ended != 0) before &= (1u << lowest_bit(ended)) - 1;
    if (before == 0) break;
    const int lane = highest_bit(before);
    found = {base + lane, (number - shuffle(kAllLanes, own, lane)) * kTileRows};
    if (ended != 0) break;
  }
  return found;
}

}  // namespace speccascade
