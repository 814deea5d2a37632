// Attention by one block per row and head, whatever the keys (attention_cuda.cuh). Lanes work in
// groups of eight: a group takes every kGroups-th key, its lanes share the entries of a head in
// fours, and it keeps a running maximum, sum and weighted value of its own (Milakov and Gimelshein
// 2018), a few keys at a time. The groups of a warp are merged first, then the warps in order.
#pragma once

#include <cmath>

#include "base/cuda_intrinsics.h"
#include "ops/attention.h"
#include "ops/left_rows_cuda.cuh"
#include "ops/probability_row.h"

namespace speccascade {

// What blocks have beyond them only meets the others; kThreads below is what they have.
constexpr int kAttentionThreads = 128;
constexpr int kGroupLanes = 8;
constexpr int kGroups = kAttentionThreads / kGroupLanes;
constexpr int kChunk = 256;  // keys whose places are looked up together
constexpr int kMaxHeadDim = 128;

// Entries of a head that a lane of a group holds.
constexpr int kNarrowHead = kMaxHeadDim / 2 / kGroupLanes, kWideHead = kMaxHeadDim / kGroupLanes;

// Blocks that fit a multiprocessor by their registers.
template <int kEntries>
constexpr int kAttentionBlocks = kEntries <= kNarrowHead ? 4 : 3;

// Where a head of a row goes.
struct HeadOut {
  float* out;  // [heads * head_dim] of the row
  const LeftRows& leaves;
  int row;
  int64_t first;  // the head's first entry
  bool last;      // of the row's heads

  SC_DEVICE void write(int d, float value) const {
    if (leaves.alone == 0) out[first + d] = value;
    if (leaves.rows != nullptr) store_left(leaves, row, static_cast<int>(first) + d, value);
  }
  // By all threads.
  SC_DEVICE void write_padding() const {
    if (last) leave_padding(leaves, row, thread_index(), block_threads());
  }
};

template <typename Args>
SC_DEVICE HeadOut head_out(const Args& args, const LeftRows& leaves, int row, int h) {
  const int64_t inner = static_cast<int64_t>(args.heads) * args.head_dim;
  const int64_t first = static_cast<int64_t>(h) * args.head_dim;
  return {args.out + row * inner, leaves, row, first, h == args.heads - 1};
}

constexpr int kAttentionWarps = kAttentionThreads / kWarpLanes;

struct AttentionShared {
  int32_t key_rows[kChunk];
  float max[kAttentionWarps];
  float sum[kAttentionWarps];
  float out[kAttentionWarps][kMaxHeadDim];
};

// One head of one row over `keys` keys. Entry: what keys and values are kept in, float or, for
// bf16, uint16_t.
template <typename Entry>
struct Head {
  const float* query;  // [head_dim]
  const Entry* keys;   // key e starts at keys + row_of(e) * stride
  int64_t to_values;   // and its value so many entries on
  int64_t stride;
  int num_keys;
  int head_dim;
  const float* bias;  // [bias_columns(max_distance)] or null
  int max_distance;
};

template <int kEntries>
struct Running {
  float query[kEntries];
  float out[kEntries];
  float max;
  float sum;
};

// The first of a lane's four entries from entry `four` times 32 on.
SC_DEVICE int entry_of_lane(int four) {
  return (four * kGroupLanes + lane_index() % kGroupLanes) * 4;
}

SC_DEVICE float widened(float entry) { return entry; }
SC_DEVICE float widened(uint16_t entry) { return bf16_to_float(entry); }

SC_DEVICE Values4 load_four(const float* at) { return *reinterpret_cast<const Values4*>(at); }
SC_DEVICE Values4 load_four(const uint16_t* at) {
  uint32_t pairs[2];
  load_words(at, pairs);
  return {bf16_to_float(static_cast<uint16_t>(pairs[0])),
          bf16_to_float(static_cast<uint16_t>(pairs[0] >> 16)),
          bf16_to_float(static_cast<uint16_t>(pairs[1])),
          bf16_to_float(static_cast<uint16_t>(pairs[1] >> 16))};
}

// A lane's entries of the head that begins at `head_at`, zeros beyond it.
template <int kEntries, typename Entry>
SC_DEVICE void ask_for(const Entry* head_at, int head_dim, float (&entries)[kEntries]) {
  SC_UNROLL
  for (int f = 0; f < kEntries / 4; ++f) {
    const int first = entry_of_lane(f);
    Values4 four = {};
    if (head_dim % 4 == 0) {
      if (first < head_dim) four = load_four(head_at + first);
    } else {
      SC_UNROLL
      for (int i = 0; i < 4; ++i) {
        four.value[i] = first + i < head_dim ? widened(head_at[first + i]) : 0.0f;
      }
    }
    SC_UNROLL
    for (int i = 0; i < 4; ++i) entries[4 * f + i] = four.value[i];
  }
}

template <int kEntries, typename Entry>
SC_DEVICE void start(const Head<Entry>& head, Running<kEntries>& running) {
  ask_for(head.query, head.head_dim, running.query);
  SC_UNROLL
  for (int i = 0; i < kEntries; ++i) running.out[i] = 0.0f;
  running.max = -INFINITY;
  running.sum = 0.0f;
}

template <typename Entry>
SC_DEVICE float bias_of(const Head<Entry>& head, int distance) {
  if (head.bias == nullptr) return 0.0f;
  int clamped = distance < -head.max_distance ? -head.max_distance : distance;
  clamped = clamped > head.max_distance ? head.max_distance : clamped;
  return head.bias[clamped + head.max_distance];
}

// A lane's part of a key's score.
template <int kEntries>
SC_DEVICE float product_of(const float (&query)[kEntries], const float (&key)[kEntries]) {
  float score = 0.0f;
  SC_UNROLL
  for (int i = 0; i < kEntries; ++i) score = fmaf(query[i], key[i], score);
  return score;
}

// Keys of a group that are added together.
constexpr int kKeysTogether = 4;

// Of them, those whose entries are asked for before the first of them is used: one alone would make
// a row wait for memory once a key.
template <int kEntries>
constexpr int kKeysInFlight = kEntries == kNarrowHead ? kKeysTogether : 2;

SC_DEVICE float exp_of(float x) { return exp2_flushed(x * kLog2E); }

// The sum over the lanes of a group of what each has for each key.
SC_DEVICE void sum_of_group(float (&scores)[kKeysTogether]) {
  for (int bits = kGroupLanes / 2; bits > 0; bits /= 2) {
    SC_UNROLL
    for (float& score : scores) score += shuffle_xor(kAllLanes, score, bits);
  }
}

// Scores become weights beside a maximum that takes them in, and what there was is scaled to it.
// Keys from `valid` on are none.
template <int kEntries>
SC_DEVICE void take_scores(int valid, float (&scores)[kKeysTogether], Running<kEntries>& running) {
  float max = running.max;
  SC_UNROLL
  for (int k = 0; k < kKeysTogether; ++k) {
    if (k < valid) max = scores[k] > max ? scores[k] : max;
  }
  const float keep = valid > 0 ? exp_of(running.max - max) : 1.0f;
  running.max = max;
  running.sum *= keep;
  SC_UNROLL
  for (int k = 0; k < kKeysTogether; ++k) {
    scores[k] = k < valid ? exp_of(scores[k] - max) : 0.0f;
    running.sum += scores[k];
  }
  SC_UNROLL
  for (int i = 0; i < kEntries; ++i) running.out[i] *= keep;
}

template <int kThreads>
SC_DEVICE bool takes_part() {
  return kThreads == kAttentionThreads || thread_index() < kAttentionThreads;
}

// What is left of a sum when its maximum becomes `max`; nothing of none.
SC_DEVICE float kept_of(float own_max, float max) {
  return max == -INFINITY ? 1.0f : exp_of(own_max - max);
}

// The groups of a warp become one, in all of them.
template <int kEntries>
SC_DEVICE void merge_groups(Running<kEntries>& running) {
  SC_UNROLL
  for (int bits = kGroupLanes; bits < kWarpLanes; bits *= 2) {
    const float other = shuffle_xor(kAllLanes, running.max, bits);
    const float max = other > running.max ? other : running.max;
    const float keep = kept_of(running.max, max);
    running.max = max;
    running.sum *= keep;
    running.sum += shuffle_xor(kAllLanes, running.sum, bits);
    SC_UNROLL
    for (float& out : running.out) {
      out *= keep;
      out += shuffle_xor(kAllLanes, out, bits);
    }
  }
}

template <int kEntries, int kThreads, typename Entry>
SC_DEVICE void merge(const Head<Entry>& head, const HeadOut& to, Running<kEntries>& running) {
  AttentionShared& memory = shared<AttentionShared>();
  const int warp = warp_index();
  if (takes_part<kThreads>()) {
    merge_groups(running);
    if (lane_index() == 0) {
      memory.max[warp] = running.max;
      memory.sum[warp] = running.sum;
    }
    if (lane_index() < kGroupLanes) {
      SC_UNROLL
      for (int f = 0; f < kEntries / 4; ++f) {
        const Values4 four = {running.out[4 * f], running.out[4 * f + 1], running.out[4 * f + 2],
                              running.out[4 * f + 3]};
        *reinterpret_cast<Values4*>(memory.out[warp] + entry_of_lane(f)) = four;
      }
    }
  }
  sync_block();
  float max = -INFINITY, sum = 0.0f, keep[kAttentionWarps];
  SC_UNROLL
  for (const float own : memory.max) max = own > max ? own : max;
  SC_UNROLL
  for (int w = 0; w < kAttentionWarps; ++w) {
    keep[w] = kept_of(memory.max[w], max);
    sum = fmaf(memory.sum[w], keep[w], sum);
  }
  SC_UNROLL_BY(1)
  for (int d = thread_index(); d < head.head_dim; d += kAttentionThreads) {
    float out = 0.0f;
    SC_UNROLL
    for (int w = 0; w < kAttentionWarps; ++w) out = fmaf(memory.out[w][d], keep[w], out);
    to.write(d, head.num_keys == 0 ? 0.0f : out / sum);
  }
  to.write_padding();
}

// Rows: places of keys. Where they are listed, rows.list(begin, count, list) writes the rows of a
// chunk of keys, called by the block's threads together; else rows.row(e) is that of key e.
// rows.distance(e): from the query to key e. to(): where the result goes, asked in the end: it
// would take registers meanwhile.
template <int kEntries, int kThreads, typename Entry, typename Rows, typename To>
SC_DEVICE void attend(const Head<Entry>& head, const Rows& rows, const To& to) {
  AttentionShared& memory = shared<AttentionShared>();
  Running<kEntries> running;
  start(head, running);
  constexpr int kKeys = kKeysInFlight<kEntries>;
  for (int begin = 0; begin < head.num_keys; begin += kChunk) {
    const int count = head.num_keys - begin < kChunk ? head.num_keys - begin : kChunk;
    if constexpr (Rows::kListed) {
      rows.list(begin, count, memory.key_rows);
      sync_block();
    }
    SC_UNROLL_BY(1)
    for (int base = 0; base < count && takes_part<kThreads>(); base += kKeysTogether * kGroups) {
      // Groups without a key left ask for the chunk's first.
      const int own = base + thread_index() / kGroupLanes, left = count - own;
      const auto key_of = [&](int k) { return k * kGroups < left ? own + k * kGroups : 0; };
      const auto at = [&](int e) {
        if constexpr (Rows::kListed) {
          return head.keys + head.stride * memory.key_rows[e];
        } else {
          return head.keys + head.stride * rows.row(begin + e);
        }
      };
      const auto bias_at = [&](int k) { return bias_of(head, rows.distance(begin + key_of(k))); };
      float scores[kKeysTogether], values[kKeys][kEntries], bias[kKeys];
      SC_UNROLL
      for (int k = 0; k < kKeys; ++k) bias[k] = bias_at(k);
      SC_UNROLL
      for (int first = 0; first < kKeysTogether; first += kKeys) {
        float keys[kKeys][kEntries];
        SC_UNROLL
        for (int k = 0; k < kKeys; ++k) ask_for(at(key_of(first + k)), head.head_dim, keys[k]);
        if (kKeys == kKeysTogether) {
          SC_UNROLL
          for (int k = 0; k < kKeys; ++k) {
            ask_for(at(key_of(k)) + head.to_values, head.head_dim, values[k]);
          }
        }
        SC_UNROLL
        for (int k = 0; k < kKeys; ++k) scores[first + k] = product_of(running.query, keys[k]);
      }
      sum_of_group(scores);
      SC_UNROLL
      for (int k = 0; k < kKeysTogether; ++k) scores[k] += k < kKeys ? bias[k] : bias_at(k);
      take_scores((left + kGroups - 1) / kGroups, scores, running);
      SC_UNROLL
      for (int first = 0; first < kKeysTogether; first += kKeys) {
        if (kKeys < kKeysTogether) {
          SC_UNROLL
          for (int k = 0; k < kKeys; ++k) {
            ask_for(at(key_of(first + k)) + head.to_values, head.head_dim, values[k]);
          }
        }
        SC_UNROLL
        for (int k = 0; k < kKeys; ++k) {
          SC_UNROLL
          for (int i = 0; i < kEntries; ++i) {
            running.out[i] = fmaf(scores[first + k], values[k][i], running.out[i]);
          }
        }
      }
    }
    if constexpr (Rows::kListed) sync_block();
  }
  merge<kEntries, kThreads>(head, to(), running);
}

}  // namespace speccascade
