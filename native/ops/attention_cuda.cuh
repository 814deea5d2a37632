// The three forms of attention: whose keys a row sees, and where they lie.
//
// The decoder's keys are visited from the row's own position backwards: key e is the one e
// positions before it, whether it lies in the committed prefix or in the tree, so that a row has
// the same bits either way.
#pragma once

#include "base/cuda_intrinsics.h"
#include "ops/attention.h"
#include "ops/attention_head_cuda.cuh"
#include "ops/relative_bias.h"

namespace speccascade {

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
  const Head<float> head = {args.qkv + row * 3 * inner + at,
                            0,
                            1,
                            args.qkv + inner + at,
                            inner,
                            3 * inner,
                            args.offsets[sequence + 1] - first,
                            args.head_dim,
                            args.bias + static_cast<int64_t>(h) * bias_columns(args.max_distance),
                            args.max_distance};
  attend<kEntries, 1, kThreads>(head, SourceKeys{first, row - first},
                                [&](int) { return head_out(args, leaves, row, h); });
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
      SC_UNROLL_BY(1)
      for (int e = 0; e < count && begin + e < open; ++e) {
        rows[e] = base + order[length + *node];
        *node = parents[*node];
      }
    }
    SC_UNROLL_BY(1)
    for (int e = thread_index(); e < count; e += kAttentionThreads) {
      const int32_t committed = read_now(order + position - begin - e);
      if (begin + e >= open) rows[e] = base + committed;
    }
  }
  SC_DEVICE int distance(int e) const { return -e; }
};

// Head h of a row, if the row is there. Entry: of the cache.
template <int kEntries, typename Entry, int kThreads = kAttentionThreads>
SC_DEVICE void attend_own(const SelfAttentionArgs& args, const LeftRows& leaves, int row, int h) {
  // All asked for together; a row that is not there has room, too.
  const int slot = read_now(args.rows.slot + row);
  const int position = read_now(args.rows.position + row);
  int node = read_now(args.rows.node + row);
  if (row >= *args.rows.num_rows) return;
  const int64_t inner = static_cast<int64_t>(args.heads) * args.head_dim;
  const int64_t at = static_cast<int64_t>(h) * args.head_dim;
  const int32_t base = slot * args.table.rows_per_slot;
  const Head<Entry> head = {args.query + row * inner + at,
                            0,
                            1,
                            static_cast<const Entry*>(args.cache) + at,
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
  attend<kEntries, 1, kThreads>(head, keys, [&](int) { return head_out(args, leaves, row, h); });
}

// Head h of `count` rows from `row` on, all of one slot; kRows: at most so many.
template <int kEntries, int kRows, typename Entry, int kThreads = kAttentionThreads>
SC_DEVICE void attend_encoded(const CrossAttentionArgs& args, const LeftRows& leaves, int slot,
                              int row, int count, int h) {
  const int64_t inner = static_cast<int64_t>(args.heads) * args.head_dim;
  const int64_t at = static_cast<int64_t>(h) * args.head_dim;
  const int source = args.slot_source[slot];
  const int first = source * args.max_source;
  const Head<Entry> head = {args.query + row * inner + at,
                            inner,
                            count,
                            static_cast<const Entry*>(args.cache) + at,
                            inner,
                            2 * inner,
                            args.source_length[source],
                            args.head_dim,
                            nullptr,
                            0};
  attend<kEntries, kRows, kThreads>(head, SourceKeys{first, 0},
                                    [&](int r) { return head_out(args, leaves, row + r, h); });
}

// Head h of a row, if the row is there.
template <int kEntries, typename Entry, int kThreads = kAttentionThreads>
SC_DEVICE void attend_encoded(const CrossAttentionArgs& args, const LeftRows& leaves, int row,
                              int h) {
  const int slot = read_now(args.rows.slot + row);
  if (row < *args.rows.num_rows) {
    attend_encoded<kEntries, 1, Entry, kThreads>(args, leaves, slot, row, 1, h);
  }
}

// encoder_attention_cuda.cu
void encoder_matrix_attention_cuda(const EncoderAttentionArgs& args, const LeftRows& leaves,
                                   void* stream);

}  // namespace speccascade
