// Attention by one block per row and head, in all three forms. Lanes work in groups of eight: a
// group takes every kGroups-th key, its lanes share the entries of a head, and it keeps a running
// maximum, sum and weighted value of its own (Milakov and Gimelshein 2018). The groups are merged
// in order.
//
// The decoder's keys are visited from the row's own position backwards: key e is the one e
// positions before it, whether it lies in the committed prefix or in the tree, so that a row has
// the same bits either way.
#pragma once

#include <cmath>

#include "base/cuda_intrinsics.h"
#include "ops/attention.h"
#include "ops/left_rows_cuda.cuh"
#include "ops/relative_bias.h"

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

struct AttentionShared {
  int32_t key_rows[kChunk];
  float max[kGroups];
  float sum[kGroups];
  float out[kGroups][kMaxHeadDim];
};

// One head of one row over `keys` keys.
struct Head {
  const float* query;  // [head_dim]
  const float* keys;   // key e starts at keys + row_of(e) * stride
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

// A lane's entries of the head that begins at `head_at`, zeros beyond it.
template <int kEntries>
SC_DEVICE void ask_for(const float* head_at, int head_dim, float (&entries)[kEntries]) {
  const int first = lane_index() % kGroupLanes, left = head_dim - first;
  const float* own = head_at + first;
  SC_UNROLL
  for (int i = 0; i < kEntries; ++i) {
    entries[i] = i * kGroupLanes < left ? own[i * kGroupLanes] : 0.0f;
  }
}

template <int kEntries>
SC_DEVICE void start(const Head& head, Running<kEntries>& running) {
  ask_for(head.query, head.head_dim, running.query);
  SC_UNROLL
  for (int i = 0; i < kEntries; ++i) running.out[i] = 0.0f;
  running.max = -INFINITY;
  running.sum = 0.0f;
}

SC_DEVICE float bias_of(const Head& head, int distance) {
  if (head.bias == nullptr) return 0.0f;
  int clamped = distance < -head.max_distance ? -head.max_distance : distance;
  clamped = clamped > head.max_distance ? head.max_distance : clamped;
  return head.bias[clamped + head.max_distance];
}

// Keys of a group whose entries are asked for before the first of them is used: one alone would
// make a row wait for memory once a key. Fewer where registers are, in kernels of the largest
// blocks.
template <int kEntries, int kThreads>
SC_HOST_DEVICE constexpr int keys_in_flight() {
  return kThreads > 2 * kAttentionThreads ? 1 : kEntries == kNarrowHead ? 4 : 2;
}

template <int kEntries>
struct Visited {
  float key[kEntries];
  float value[kEntries];
  float bias;
};

// Adds a key; every lane of the warp comes, with one of its group or without.
template <int kEntries>
SC_DEVICE void visit(bool valid, const Visited<kEntries>& key, Running<kEntries>& running) {
  float score = 0.0f;
  SC_UNROLL
  for (int i = 0; i < kEntries; ++i) score = fmaf(running.query[i], key.key[i], score);
  for (int bits = kGroupLanes / 2; bits > 0; bits /= 2) {
    score += shuffle_xor(kAllLanes, score, bits);
  }
  if (!valid) return;
  score += key.bias;
  const float max = score > running.max ? score : running.max;
  const float keep = expf(running.max - max), weight = expf(score - max);
  running.max = max;
  running.sum = fmaf(running.sum, keep, weight);
  SC_UNROLL
  for (int i = 0; i < kEntries; ++i) {
    running.out[i] = fmaf(weight, key.value[i], running.out[i] * keep);
  }
}

template <int kThreads>
SC_DEVICE bool takes_part() {
  return kThreads == kAttentionThreads || thread_index() < kAttentionThreads;
}

template <int kEntries, int kThreads>
SC_DEVICE void merge(const Head& head, const HeadOut& to, const Running<kEntries>& running) {
  AttentionShared& memory = shared<AttentionShared>();
  const int group = thread_index() / kGroupLanes, first = lane_index() % kGroupLanes;
  if (takes_part<kThreads>()) {
    if (first == 0) {
      memory.max[group] = running.max;
      memory.sum[group] = running.sum;
    }
    float* out = memory.out[group] + first;
    SC_UNROLL
    for (int i = 0; i < kEntries; ++i) {
      if (i * kGroupLanes < head.head_dim - first) out[i * kGroupLanes] = running.out[i];
    }
  }
  sync_block();
  const int filled = head.num_keys < kGroups ? head.num_keys : kGroups;
  float max = -INFINITY, sum = 0.0f, keep[kGroups];
  SC_UNROLL
  for (int g = 0; g < kGroups; ++g) {
    if (g < filled) max = memory.max[g] > max ? memory.max[g] : max;
  }
  SC_UNROLL
  for (int g = 0; g < kGroups; ++g) {
    keep[g] = expf(memory.max[g] - max);
    if (g < filled) sum = fmaf(memory.sum[g], keep[g], sum);
  }
  for (int d = thread_index(); d < head.head_dim; d += kAttentionThreads) {
    float out = 0.0f;
    SC_UNROLL
    for (int g = 0; g < kGroups; ++g) {
      if (g < filled) out = fmaf(memory.out[g][d], keep[g], out);
    }
    to.write(d, filled == 0 ? 0.0f : out / sum);
  }
  to.write_padding();
}

// Rows: places of keys. Where they are listed, rows.list(begin, count, list) writes the rows of a
// chunk of keys, called by the block's threads together; else rows.row(e) is that of key e.
// rows.distance(e): from the query to key e. to(): where the result goes, asked in the end: it
// would take registers meanwhile.
template <int kEntries, int kThreads, typename Rows, typename To>
SC_DEVICE void attend(const Head& head, const Rows& rows, const To& to) {
  AttentionShared& memory = shared<AttentionShared>();
  Running<kEntries> running;
  start(head, running);
  const int group = thread_index() / kGroupLanes;
  constexpr int kKeys = keys_in_flight<kEntries, kThreads>(), kStep = kKeys * kGroups;
  for (int begin = 0; begin < head.num_keys; begin += kChunk) {
    const int count = head.num_keys - begin < kChunk ? head.num_keys - begin : kChunk;
    if constexpr (Rows::kListed) {
      rows.list(begin, count, memory.key_rows);
      sync_block();
    }
    for (int base = 0; base < count && takes_part<kThreads>(); base += kStep) {
      // Groups without a key left ask for the chunk's first.
      Visited<kEntries> keys[kKeys];
      const float* key_at[kKeys];
      const int left = count - base - group;
      SC_UNROLL
      for (int k = 0; k < kKeys; ++k) {
        const int e = k * kGroups < left ? base + group + k * kGroups : 0;
        if constexpr (Rows::kListed) {
          key_at[k] = head.keys + head.stride * memory.key_rows[e];
        } else {
          key_at[k] = head.keys + head.stride * rows.row(begin + e);
        }
        keys[k].bias = bias_of(head, rows.distance(begin + e));
      }
      SC_UNROLL
      for (int k = 0; k < kKeys; ++k) {
        ask_for(key_at[k], head.head_dim, keys[k].key);
      }
      SC_UNROLL
      for (int k = 0; k < kKeys; ++k) {
        ask_for(key_at[k] + head.to_values, head.head_dim, keys[k].value);
      }
      SC_UNROLL
      for (int k = 0; k < kKeys; ++k) visit(k * kGroups < left, keys[k], running);
    }
    if constexpr (Rows::kListed) sync_block();
  }
  merge<kEntries, kThreads>(head, to(), running);
}

// Keys that lie in a row.
struct SourceKeys {
  static constexpr bool kListed = false;
  int first;     // row
  int position;  // of the query among them

  SC_DEVICE int row(int e) const { return first + e; }
  SC_DEVICE int distance(int e) const { return e - position; }
};

// Head h of a row.
template <int kEntries, int kThreads = kAttentionThreads>
SC_DEVICE void attend_source(const EncoderAttentionArgs& args, const LeftRows& leaves, int row,
                             int h) {
  const int64_t inner = static_cast<int64_t>(args.heads) * args.head_dim;
  const int64_t at = static_cast<int64_t>(h) * args.head_dim;
  const int sequence = args.row_sequence[row];
  const int first = args.offsets[sequence];
  const Head head = {args.qkv + row * 3 * inner + at,
                     args.qkv + inner + at,
                     inner,
                     3 * inner,
                     args.offsets[sequence + 1] - first,
                     args.head_dim,
                     args.bias + static_cast<int64_t>(h) * bias_columns(args.max_distance),
                     args.max_distance};
  attend<kEntries, kThreads>(head, SourceKeys{first, row - first},
                             [&] { return head_out(args, leaves, row, h); });
}

// The places of a row's keys, backwards from its own.
struct OwnKeys {
  static constexpr bool kListed = true;
  const int32_t* order;    // of the slot
  const int32_t* parents;  // of the slot's nodes
  int32_t base;            // the slot's first cache row
  int length;              // committed
  int position;
  int* node;  // the next ancestor, in thread 0 alone

  SC_DEVICE void list(int begin, int count, int32_t* rows) const {
    const int open = position + 1 - length;  // keys that are not committed
    if (thread_index() == 0) {
      for (int e = 0; e < count && begin + e < open; ++e) {
        rows[e] = base + order[length + *node];
        *node = parents[*node];
      }
    }
    for (int e = thread_index(); e < count; e += kAttentionThreads) {
      const int32_t committed = order[position - begin - e];  // read before `open` is known
      if (begin + e >= open) rows[e] = base + committed;
    }
  }
  SC_DEVICE int distance(int e) const { return -e; }
};

// Head h of a row, if the row is there; so below.
template <int kEntries, int kThreads = kAttentionThreads>
SC_DEVICE void attend_own(const SelfAttentionArgs& args, const LeftRows& leaves, int row, int h) {
  // All asked for together; a row that is not there has room, too.
  const bool there = row < *args.rows.num_rows;
  const int slot = args.rows.slot[row], position = args.rows.position[row];
  int node = args.rows.node[row];
  if (!there) return;
  const int64_t inner = static_cast<int64_t>(args.heads) * args.head_dim;
  const int64_t at = static_cast<int64_t>(h) * args.head_dim;
  const int32_t base = slot * args.table.rows_per_slot;
  const Head head = {args.query + row * inner + at,
                     args.cache + at,
                     inner,
                     2 * inner,
                     position + 1,
                     args.head_dim,
                     args.bias + static_cast<int64_t>(h) * bias_columns(args.max_distance),
                     args.max_distance};
  const OwnKeys keys = {args.table.order + base,
                        args.rows.node_parent + static_cast<int64_t>(slot) * args.rows.max_nodes,
                        base,
                        args.table.length[slot],
                        position,
                        &node};
  attend<kEntries, kThreads>(head, keys, [&] { return head_out(args, leaves, row, h); });
}

template <int kEntries, int kThreads = kAttentionThreads>
SC_DEVICE void attend_encoded(const CrossAttentionArgs& args, const LeftRows& leaves, int row,
                              int h) {
  const bool there = row < *args.rows.num_rows;
  const int slot = args.rows.slot[row];
  if (!there) return;
  const int64_t inner = static_cast<int64_t>(args.heads) * args.head_dim;
  const int64_t at = static_cast<int64_t>(h) * args.head_dim;
  const int source = args.slot_source[slot];
  const int first = source * args.max_source;
  const Head head = {args.query + row * inner + at, args.cache + at, inner,   2 * inner,
                     args.source_length[source],    args.head_dim,   nullptr, 0};
  attend<kEntries, kThreads>(head, SourceKeys{first, 0},
                             [&] { return head_out(args, leaves, row, h); });
}

// encoder_attention_cuda.cu
void encoder_matrix_attention_cuda(const EncoderAttentionArgs& args, const LeftRows& leaves,
                                   void* stream);

}  // namespace speccascade
