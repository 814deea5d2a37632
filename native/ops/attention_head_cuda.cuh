// Attention by one block for a head of a row, or of a few rows that see the same keys, whatever the
// keys (attention_cuda.cuh). Lanes work in groups of eight: a group takes every kGroups-th key, its
// lanes share the entries of a head, and it keeps for each row a running maximum, sum and weighted
// value of its own (Milakov and Gimelshein 2018), a few keys at a time. The groups of a warp are
// merged first, then the warps in order. A row's bits do not depend on the rows beside it.
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

// Rows that share what a block reads of keys and values: as many as its registers hold.
template <int kEntries>
constexpr int kRowsTogether = kEntries <= kNarrowHead ? 4 : 2;

// Blocks that fit a multiprocessor by their registers.
template <int kEntries, int kRows = 1>
constexpr int kAttentionBlocks = kEntries <= kNarrowHead&& kRows == 1 ? 4 : 3;

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

template <int kRows>
struct AttentionShared {
  float max[kRows][kAttentionWarps];
  float sum[kRows][kAttentionWarps];
  float out[kRows][kAttentionWarps][kMaxHeadDim];
};

struct KeyPlaces {
  int32_t row[kChunk];
};

// One head of some rows over `keys` keys, at the same distances from all of them. Entry: what keys
// and values are kept in, float or, for bf16, uint16_t.
template <typename Entry>
struct Head {
  const float* query;  // [head_dim], of row r at query + r * to_query
  int64_t to_query;
  int num_rows;
  const Entry* keys;  // key e starts at keys + row_of(e) * stride
  int64_t to_values;  // and its value so many entries on
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

// What one access reads, and entry i of it.
template <typename Entry>
struct Access;
template <>
struct Access<float> {
  Values4 four;
  SC_DEVICE void read(const float* from) { four = *reinterpret_cast<const Values4*>(from); }
  SC_DEVICE void set(int i, float entry) { four.value[i] = entry; }
  SC_DEVICE float entry(int i) const { return four.value[i]; }
};
template <>
struct Access<uint16_t> {
  uint32_t pairs[4];
  SC_DEVICE void read(const uint16_t* from) { load_words(from, pairs); }
  SC_DEVICE void set(int i, uint16_t entry) {
    pairs[i / 2] |= static_cast<uint32_t>(entry) << (i % 2 * 16);
  }
  SC_DEVICE float entry(int i) const {
    return bf16_to_float(static_cast<uint16_t>(pairs[i / 2] >> (i % 2 * 16)));
  }
};

template <typename Entry>
constexpr int kAccess = 16 / static_cast<int>(sizeof(Entry));

// A lane's entries of a head, as they are kept: accesses of the group's lanes are consecutive.
template <int kEntries, typename Entry>
struct OwnEntries {
  Access<Entry> at[kEntries / kAccess<Entry>];

  SC_DEVICE float entry(int i) const { return at[i / kAccess<Entry>].entry(i % kAccess<Entry>); }
};

// Where a lane's access number f begins in a head.
template <typename Entry>
SC_DEVICE int first_of_access(int f) {
  return (f * kGroupLanes + lane_index() % kGroupLanes) * kAccess<Entry>;
}

// Entries of a head from its entry `first` on, zeros beyond it.
template <typename Entry>
SC_DEVICE Access<Entry> access_of(const Entry* head_at, int first, int head_dim) {
  Access<Entry> access = {};
  if (head_dim % kAccess<Entry> == 0) {
    if (first < head_dim) access.read(head_at + first);
    return access;
  }
  SC_UNROLL
  for (int i = 0; i < kAccess<Entry>; ++i) {
    if (first + i < head_dim) access.set(i, head_at[first + i]);
  }
  return access;
}

template <int kEntries, typename Entry>
SC_DEVICE void ask_for(const Entry* head_at, int head_dim, OwnEntries<kEntries, Entry>& entries) {
  SC_UNROLL
  for (int f = 0; f < kEntries / kAccess<Entry>; ++f) {
    entries.at[f] = access_of(head_at, first_of_access<Entry>(f), head_dim);
  }
}

// The row's query beside the entries that a lane has of keys. Rows that are not there repeat the
// last.
template <int kEntries, typename Entry>
SC_DEVICE void start(const Head<Entry>& head, int row, Running<kEntries>& running) {
  const float* query = head.query + (row < head.num_rows ? row : head.num_rows - 1) * head.to_query;
  SC_UNROLL
  for (int i = 0; i < kEntries; i += kAccess<float>) {
    const int first = first_of_access<Entry>(i / kAccess<Entry>) + i % kAccess<Entry>;
    const Access<float> access = access_of(query, first, head.head_dim);
    SC_UNROLL
    for (int j = 0; j < kAccess<float>; ++j) running.query[i + j] = access.entry(j);
  }
  SC_UNROLL
  for (float& out : running.out) out = 0.0f;
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
template <int kEntries, typename Entry>
SC_DEVICE float product_of(const float (&query)[kEntries], const OwnEntries<kEntries, Entry>& key) {
  float score = 0.0f;
  SC_UNROLL
  for (int i = 0; i < kEntries; ++i) score = fmaf(query[i], key.entry(i), score);
  return score;
}

// Keys of a group that are added together.
constexpr int kKeysTogether = 4;

// Of them, those whose entries are asked for before the first of them is used: one alone would make
// a row wait for memory once a key.
template <int kEntries, int kRows, typename Entry>
constexpr int kKeysInFlight = kEntries == kNarrowHead && (kRows == 1 || sizeof(Entry) == 2)
                                  ? kKeysTogether
                                  : 2;

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

template <int kEntries, int kRows, int kThreads, typename Entry, typename To>
SC_DEVICE void merge(const Head<Entry>& head, const To& to, Running<kEntries> (&running)[kRows]) {
  AttentionShared<kRows>& memory = shared<AttentionShared<kRows>>();
  const int warp = warp_index();
  SC_UNROLL
  for (int r = 0; r < kRows && takes_part<kThreads>(); ++r) {
    merge_groups(running[r]);
    if (lane_index() == 0) {
      memory.max[r][warp] = running[r].max;
      memory.sum[r][warp] = running[r].sum;
    }
    if (lane_index() < kGroupLanes) {
      SC_UNROLL
      for (int i = 0; i < kEntries; i += 4) {
        const int first = first_of_access<Entry>(i / kAccess<Entry>) + i % kAccess<Entry>;
        const float* out = running[r].out + i;
        *reinterpret_cast<Values4*>(memory.out[r][warp] + first) = {out[0], out[1], out[2], out[3]};
      }
    }
  }
  sync_block();
  SC_UNROLL_BY(1)
  for (int r = 0; r < kRows && r < head.num_rows; ++r) {
    const HeadOut row = to(r);
    float max = -INFINITY, sum = 0.0f, keep[kAttentionWarps];
    SC_UNROLL
    for (const float own : memory.max[r]) max = own > max ? own : max;
    SC_UNROLL
    for (int w = 0; w < kAttentionWarps; ++w) {
      keep[w] = kept_of(memory.max[r][w], max);
      sum = fmaf(memory.sum[r][w], keep[w], sum);
    }
    SC_UNROLL_BY(1)
    for (int d = thread_index(); d < head.head_dim; d += kAttentionThreads) {
      float out = 0.0f;
      SC_UNROLL
      for (int w = 0; w < kAttentionWarps; ++w) out = fmaf(memory.out[r][w][d], keep[w], out);
      row.write(d, head.num_keys == 0 ? 0.0f : out / sum);
    }
    row.write_padding();
  }
}

// Keys: their places. Where they are listed, keys.list(begin, count, list) writes the cache rows of
// a chunk of keys, called by the block's threads together; else keys.row(e) is that of key e.
// keys.distance(e): from the queries to key e. to(r): where row r's result goes, asked in the end:
// it would take registers meanwhile.
template <int kEntries, int kRows, int kThreads, typename Entry, typename Keys, typename To>
SC_DEVICE void attend(const Head<Entry>& head, const Keys& keys, const To& to) {
  Running<kEntries> running[kRows];
  SC_UNROLL
  for (int r = 0; r < kRows; ++r) start(head, r, running[r]);
  constexpr int kInFlight = kKeysInFlight<kEntries, kRows, Entry>;
  constexpr bool kAllInFlight = kInFlight == kKeysTogether;
  for (int begin = 0; begin < head.num_keys; begin += kChunk) {
    const int count = head.num_keys - begin < kChunk ? head.num_keys - begin : kChunk;
    if constexpr (Keys::kListed) {
      keys.list(begin, count, shared<KeyPlaces>().row);
      sync_block();
    }
    SC_UNROLL_BY(1)
    for (int base = 0; base < count && takes_part<kThreads>(); base += kKeysTogether * kGroups) {
      // Groups without a key left ask for the chunk's first.
      const int own = base + thread_index() / kGroupLanes, left = count - own;
      const auto key_of = [&](int k) { return k * kGroups < left ? own + k * kGroups : 0; };
      const auto at = [&](int k) {
        if constexpr (Keys::kListed) {
          return head.keys + head.stride * shared<KeyPlaces>().row[key_of(k)];
        } else {
          return head.keys + head.stride * keys.row(begin + key_of(k));
        }
      };
      const auto bias_at = [&](int k) { return bias_of(head, keys.distance(begin + key_of(k))); };
      OwnEntries<kEntries, Entry> key[kInFlight], value[kInFlight];
      const auto ask_for_values = [&](int first) {
        SC_UNROLL
        for (int k = 0; k < kInFlight; ++k) {
          ask_for(at(first + k) + head.to_values, head.head_dim, value[k]);
        }
      };
      float scores[kRows][kKeysTogether], bias[kInFlight];
      SC_UNROLL
      for (int k = 0; k < kInFlight; ++k) bias[k] = bias_at(k);
      SC_UNROLL
      for (int first = 0; first < kKeysTogether; first += kInFlight) {
        SC_UNROLL
        for (int k = 0; k < kInFlight; ++k) ask_for(at(first + k), head.head_dim, key[k]);
        if (kAllInFlight) ask_for_values(0);
        SC_UNROLL
        for (int r = 0; r < kRows; ++r) {
          SC_UNROLL
          for (int k = 0; k < kInFlight; ++k) {
            scores[r][first + k] = product_of(running[r].query, key[k]);
          }
        }
      }
      SC_UNROLL
      for (int r = 0; r < kRows; ++r) {
        sum_of_group(scores[r]);
        SC_UNROLL
        for (int k = 0; k < kKeysTogether; ++k) {
          scores[r][k] += k < kInFlight ? bias[k] : bias_at(k);
        }
        take_scores((left + kGroups - 1) / kGroups, scores[r], running[r]);
      }
      SC_UNROLL
      for (int first = 0; first < kKeysTogether; first += kInFlight) {
        if (!kAllInFlight) ask_for_values(first);
        SC_UNROLL
        for (int r = 0; r < kRows; ++r) {
          SC_UNROLL
          for (int k = 0; k < kInFlight; ++k) {
            SC_UNROLL
            for (int i = 0; i < kEntries; ++i) {
              running[r].out[i] = fmaf(scores[r][first + k], value[k].entry(i), running[r].out[i]);
            }
          }
        }
      }
    }
    if constexpr (Keys::kListed) sync_block();
  }
  merge<kEntries, kRows, kThreads>(head, to, running);
}

}  // namespace speccascade
