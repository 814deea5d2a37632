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
constexpr int kChunk = 64;  // keys whose places are looked up together
constexpr int kMaxHeadDim = 128;

// Entries of a head that a lane of a group holds.
constexpr int kNarrowHead = kMaxHeadDim / 2 / kGroupLanes, kWideHead = kMaxHeadDim / kGroupLanes;

// Where a head of a row goes.
struct HeadOut {
  float* out;  // [heads * head_dim] of the row
  const LeftRows& leaves;
  int row;
  int64_t first;  // the head's first entry
  bool last;      // of the row's heads

  SC_DEVICE void write(int d, float value) const {
    if (leaves.alone == 0) out[first + d] = value;
    if (leaves.rows != nullptr) leave_entry(leaves, row, static_cast<int>(first) + d, value);
  }
  // By all threads: the end of a row that is left.
  SC_DEVICE void write_padding() const {
    const int padded = static_cast<int>(leaves.stride / static_cast<int64_t>(sizeof(uint16_t)));
    for (int n = leaves.width + thread_index(); last && n < padded; n += block_threads()) {
      leave_entry(leaves, row, n, 0.0f);
    }
  }
};

struct AttentionShared {
  int32_t key_rows[kChunk];
  float max[kGroups];
  float sum[kGroups];
  float out[kGroups][kMaxHeadDim];
};

// One head of one row over `keys` keys.
struct Head {
  const float* query;   // [head_dim]
  const float* keys;    // key e starts at keys + row_of(e) * stride
  const float* values;  // likewise
  int64_t stride;
  int num_keys;
  int head_dim;
  const float* bias;  // [bias_columns(max_distance)] or null
  int max_distance;
  HeadOut out;
};

template <int kEntries>
struct Running {
  float query[kEntries];
  float out[kEntries];
  float max;
  float sum;
};

template <int kEntries>
SC_DEVICE void start(const Head& head, Running<kEntries>& running) {
  const int first = lane_index() % kGroupLanes;
  SC_UNROLL
  for (int i = 0; i < kEntries; ++i) {
    const int d = first + i * kGroupLanes;
    running.query[i] = d < head.head_dim ? head.query[d] : 0.0f;
    running.out[i] = 0.0f;
  }
  running.max = -INFINITY;
  running.sum = 0.0f;
}

SC_DEVICE float bias_of(const Head& head, int distance) {
  if (head.bias == nullptr) return 0.0f;
  int clamped = distance < -head.max_distance ? -head.max_distance : distance;
  clamped = clamped > head.max_distance ? head.max_distance : clamped;
  return head.bias[clamped + head.max_distance];
}

// Adds the key at `row`, `distance` positions on from the query; every lane of the warp comes, with
// a key of its group or without.
template <int kEntries>
SC_DEVICE void visit(const Head& head, bool valid, int64_t row, int distance,
                     Running<kEntries>& running) {
  const int first = lane_index() % kGroupLanes;
  const float* key = head.keys + row * head.stride;
  float score = 0.0f;
  SC_UNROLL
  for (int i = 0; i < kEntries; ++i) {
    const int d = first + i * kGroupLanes;
    if (valid && d < head.head_dim) score = fmaf(running.query[i], key[d], score);
  }
  for (int bits = kGroupLanes / 2; bits > 0; bits /= 2) {
    score += shuffle_xor(kAllLanes, score, bits);
  }
  if (!valid) return;
  score += bias_of(head, distance);
  const float* value = head.values + row * head.stride;
  const float max = score > running.max ? score : running.max;
  const float keep = expf(running.max - max), weight = expf(score - max);
  running.max = max;
  running.sum = fmaf(running.sum, keep, weight);
  SC_UNROLL
  for (int i = 0; i < kEntries; ++i) {
    const int d = first + i * kGroupLanes;
    if (d < head.head_dim) running.out[i] = fmaf(weight, value[d], running.out[i] * keep);
  }
}

template <int kThreads>
SC_DEVICE bool takes_part() {
  return kThreads == kAttentionThreads || thread_index() < kAttentionThreads;
}

template <int kEntries, int kThreads>
SC_DEVICE void merge(const Head& head, const Running<kEntries>& running) {
  AttentionShared& memory = shared<AttentionShared>();
  const int group = thread_index() / kGroupLanes, first = lane_index() % kGroupLanes;
  if (takes_part<kThreads>()) {
    if (first == 0) {
      memory.max[group] = running.max;
      memory.sum[group] = running.sum;
    }
    SC_UNROLL
    for (int i = 0; i < kEntries; ++i) {
      const int d = first + i * kGroupLanes;
      if (d < head.head_dim) memory.out[group][d] = running.out[i];
    }
  }
  sync_block();
  const int filled = head.num_keys < kGroups ? head.num_keys : kGroups;
  float max = -INFINITY;
  for (int g = 0; g < filled; ++g) max = memory.max[g] > max ? memory.max[g] : max;
  float sum = 0.0f;
  for (int g = 0; g < filled; ++g) sum = fmaf(memory.sum[g], expf(memory.max[g] - max), sum);
  for (int d = thread_index(); d < head.head_dim; d += kAttentionThreads) {
    float out = 0.0f;
    for (int g = 0; g < filled; ++g) {
      out = fmaf(memory.out[g][d], expf(memory.max[g] - max), out);
    }
    head.out.write(d, filled == 0 ? 0.0f : out / sum);
  }
  head.out.write_padding();
}

// find_row(e, chunk): the row of key e, called by the threads of the block for the keys of a chunk
// in turn; distance(e): from the query to key e.
template <int kEntries, int kThreads, typename FindRow, typename Distance>
SC_DEVICE void attend(const Head& head, const FindRow& find_rows, const Distance& distance) {
  AttentionShared& memory = shared<AttentionShared>();
  Running<kEntries> running;
  start(head, running);
  const int group = thread_index() / kGroupLanes;
  for (int begin = 0; begin < head.num_keys; begin += kChunk) {
    const int count = head.num_keys - begin < kChunk ? head.num_keys - begin : kChunk;
    find_rows(begin, count, memory.key_rows);
    sync_block();
    for (int base = 0; base < count && takes_part<kThreads>(); base += kGroups) {
      const bool valid = base + group < count;
      const int e = valid ? base + group : 0;
      visit(head, valid, memory.key_rows[e], distance(begin + e), running);
    }
    sync_block();
  }
  merge<kEntries, kThreads>(head, running);
}

// Head h of a row, here and below.
template <int kEntries, int kThreads = kAttentionThreads>
SC_DEVICE void attend_source(const EncoderAttentionArgs& args, const LeftRows& leaves, int row,
                             int h) {
  const int64_t inner = static_cast<int64_t>(args.heads) * args.head_dim;
  const int64_t at = static_cast<int64_t>(h) * args.head_dim;
  const int sequence = args.row_sequence[row];
  const int first = args.offsets[sequence];
  const float* keys = args.qkv + inner + at;
  const Head head = {args.qkv + row * 3 * inner + at,
                     keys,
                     keys + inner,
                     3 * inner,
                     args.offsets[sequence + 1] - first,
                     args.head_dim,
                     args.bias + static_cast<int64_t>(h) * bias_columns(args.max_distance),
                     args.max_distance,
                     {args.out + row * inner, leaves, row, at, h == args.heads - 1}};
  attend<kEntries, kThreads>(
      head,
      [=](int begin, int count, int32_t* rows) {
        for (int e = thread_index(); e < count; e += kAttentionThreads) rows[e] = first + begin + e;
      },
      [=](int e) { return e - (row - first); });
}

// The places of a row's keys, backwards from its own.
struct OwnKeys {
  const int32_t* order;    // of the slot
  const int32_t* parents;  // of the slot's nodes
  int32_t base;            // the slot's first cache row
  int length;              // committed
  int position;
  int* node;  // the next ancestor, in thread 0 alone

  SC_DEVICE void operator()(int begin, int count, int32_t* rows) const {
    const int open = position + 1 - length;  // keys that are not committed
    if (thread_index() == 0) {
      for (int e = 0; e < count && begin + e < open; ++e) {
        rows[e] = base + order[length + *node];
        *node = parents[*node];
      }
    }
    for (int e = thread_index(); e < count; e += kAttentionThreads) {
      if (begin + e >= open) rows[e] = base + order[position - begin - e];
    }
  }
};

template <int kEntries, int kThreads = kAttentionThreads>
SC_DEVICE void attend_own(const SelfAttentionArgs& args, const LeftRows& leaves, int row, int h) {
  const int64_t inner = static_cast<int64_t>(args.heads) * args.head_dim;
  const int64_t at = static_cast<int64_t>(h) * args.head_dim;
  const int slot = args.rows.slot[row];
  const int32_t base = slot * args.table.rows_per_slot;
  const int position = args.rows.position[row];
  int node = args.rows.node[row];
  const Head head = {args.query + row * inner + at,
                     args.cache + at,
                     args.cache + inner + at,
                     2 * inner,
                     position + 1,
                     args.head_dim,
                     args.bias + static_cast<int64_t>(h) * bias_columns(args.max_distance),
                     args.max_distance,
                     {args.out + row * inner, leaves, row, at, h == args.heads - 1}};
  const OwnKeys keys = {args.table.order + base,
                        args.rows.node_parent + static_cast<int64_t>(slot) * args.rows.max_nodes,
                        base,
                        args.table.length[slot],
                        position,
                        &node};
  attend<kEntries, kThreads>(head, keys, [](int e) { return -e; });
}

template <int kEntries, int kThreads = kAttentionThreads>
SC_DEVICE void attend_encoded(const CrossAttentionArgs& args, const LeftRows& leaves, int row,
                              int h) {
  const int64_t inner = static_cast<int64_t>(args.heads) * args.head_dim;
  const int64_t at = static_cast<int64_t>(h) * args.head_dim;
  const int source = args.slot_source[args.rows.slot[row]];
  const int first = source * args.max_source;
  const Head head = {args.query + row * inner + at,
                     args.cache + at,
                     args.cache + inner + at,
                     2 * inner,
                     args.source_length[source],
                     args.head_dim,
                     nullptr,
                     0,
                     {args.out + row * inner, leaves, row, at, h == args.heads - 1}};
  attend<kEntries, kThreads>(
      head,
      [=](int begin, int count, int32_t* rows) {
        for (int e = thread_index(); e < count; e += kAttentionThreads) rows[e] = first + begin + e;
      },
      [](int) { return 0; });
}

}  // namespace speccascade
