// One slot's part of the bookkeeping of a step: which rows its passes compute, and what its caches
// keep. For the CPU's loops over slots and for a GPU's threads.
#pragma once

#include <cstdint>

#include "base/host_device.h"
#include "decode/logit_rows.h"
#include "decode/sequence_state.h"
#include "ops/decoder_rows.h"
#include "ops/sampling.h"

namespace speccascade {

SC_HOST_DEVICE inline DraftPhase phase_of(const SequenceState& state, int slot) {
  return static_cast<DraftPhase>(state.draft_phase[slot]);
}

// What a slot adds to a pass.
struct SlotRows {
  int rows;
  int logits;
};

// Whether the slot's output ends with its draft, which nothing of the target's is asked about.
SC_HOST_DEVICE inline bool spares_target(const SequenceState& state, const SlotSampling& sampling,
                                         int slot) {
  const int nodes = state.draft_count[slot];
  if (!is_trusted(state, slot) || nodes == 0 || sampling.wants_logprobs[slot] != 0) return false;
  const int32_t last = slot_part(state.draft_tokens, slot, state.max_nodes)[nodes - 1];
  return trusted_to_the_end(state, slot) || ends_sequence(sampling, slot, last);
}

// Leading logits that verification does without: a trusted draft needs its last row alone.
SC_HOST_DEVICE inline int skipped_logits(const SequenceState& state, const SlotSampling& sampling,
                                         int slot) {
  const bool last_alone = is_trusted(state, slot) && sampling.wants_logprobs[slot] == 0;
  return last_alone ? state.draft_count[slot] : 0;
}

SC_HOST_DEVICE inline SlotRows verify_slot_rows(const SequenceState& state,
                                                const CacheTable& target,
                                                const SlotSampling& sampling, int slot) {
  if (!state.active[slot] || spares_target(state, sampling, slot)) return {0, 0};
  const int nodes = state.draft_count[slot];
  return {state.length[slot] - target.length[slot] + nodes,
          nodes + 1 - skipped_logits(state, sampling, slot)};
}

// verify_rows() of one slot, behind the rows that are there.
SC_HOST_DEVICE inline void append_verify_slot(const SequenceState& state, const CacheTable& target,
                                              const DecoderRows& rows, const LogitRows& logits,
                                              const SlotSampling& sampling, int slot) {
  if (!state.active[slot] || spares_target(state, sampling, slot)) return;
  const int pending = state.length[slot] - target.length[slot];
  const int skipped = skipped_logits(state, sampling, slot);
  logits.first[slot] = *rows.num_logits - skipped;
  const int last = append_pending(state, rows, target, slot);
  if (skipped == 0) append_logit(state, rows, logits, last, -1, *rows.num_logits);
  const int32_t* tokens = slot_part(state.draft_tokens, slot, state.max_nodes);
  const int32_t* parents = slot_part(state.draft_parent, slot, state.max_nodes);
  const int32_t* depths = slot_part(state.draft_depth, slot, state.max_nodes);
  for (int node = 0; node < state.draft_count[slot]; ++node) {
    const int row = append_row(rows, slot, tokens[node], state.length[slot] + depths[node],
                               pending + node, pending + parents[node]);
    if (node + 1 >= skipped) append_logit(state, rows, logits, row, node, *rows.num_logits);
  }
}

SC_HOST_DEVICE inline SlotRows draft_slot_rows(const SequenceState& state,
                                               const SlotSampling& sampling,
                                               const CacheTable& drafter, int slot) {
  if (phase_of(state, slot) == DraftPhase::kClosed) return {0, 0};
  if (state.draft_level[slot] == 0) return {state.length[slot] - drafter.length[slot], 1};
  const int32_t* tokens = slot_part(state.draft_tokens, slot, state.max_nodes);
  int nodes = 0;
  for (int node = state.level_begin[slot]; node < state.draft_count[slot]; ++node) {
    nodes += ends_sequence(sampling, slot, tokens[node]) ? 0 : 1;
  }
  return {nodes, nodes};
}

// draft_rows() of one slot, behind the rows that are there.
SC_HOST_DEVICE inline void append_draft_slot(const SequenceState& state,
                                             const SlotSampling& sampling,
                                             const CacheTable& drafter, const DecoderRows& rows,
                                             const LogitRows& logits, int slot) {
  if (phase_of(state, slot) == DraftPhase::kClosed) return;
  if (state.draft_level[slot] == 0) {
    const int last = append_pending(state, rows, drafter, slot);
    append_logit(state, rows, logits, last, -1, row_after(state, slot, -1));
    return;
  }
  const int32_t* tokens = slot_part(state.draft_tokens, slot, state.max_nodes);
  const int32_t* parents = slot_part(state.draft_parent, slot, state.max_nodes);
  const int32_t* depths = slot_part(state.draft_depth, slot, state.max_nodes);
  for (int node = state.level_begin[slot]; node < state.draft_count[slot]; ++node) {
    if (ends_sequence(sampling, slot, tokens[node])) continue;
    const int position = state.length[slot] + depths[node];
    const int row = append_row(rows, slot, tokens[node], position, node, parents[node]);
    append_logit(state, rows, logits, row, node, row_after(state, slot, node));
  }
}

// Positions that a drafter whose draft is open consumes ahead of it, `most` in a pass, as long as
// it lags by more.
SC_HOST_DEVICE inline SlotRows catch_up_slot_rows(const SequenceState& state,
                                                  const CacheTable& drafter, int most, int slot) {
  const bool open = phase_of(state, slot) != DraftPhase::kClosed;
  const int passes = catch_up_passes(state.length[slot] - drafter.length[slot], most);
  return {open && passes > 0 ? most : 0, 0};
}

SC_HOST_DEVICE inline void append_catch_up_slot(const SequenceState& state,
                                                const CacheTable& drafter, int most,
                                                const DecoderRows& rows, int slot) {
  if (catch_up_slot_rows(state, drafter, most, slot).rows == 0) return;
  const int consumed = drafter.length[slot];
  append_positions(state, rows, drafter, slot, consumed, consumed + most);
}

// Moves the first `kept` nodes of a path, which lie `offset` nodes behind the committed
// ones, to the front of the free rows. Nodes rise along the path.
SC_HOST_DEVICE inline void keep_path(const CacheTable& cache, int slot, int offset,
                                     const int32_t* path, int kept) {
  int32_t* order = slot_part(cache.order, slot, cache.rows_per_slot) + cache.length[slot] + offset;
  for (int i = 0; i < kept; ++i) {
    const int32_t moved = order[path[i]];
    order[path[i]] = order[i];
    order[i] = moved;
  }
}

// commit() of one slot.
SC_HOST_DEVICE inline void commit_slot(const SequenceState& state, const CacheTable& target,
                                       int slot) {
  if (!state.active[slot]) return;
  const int before = state.length[slot] - state.emitted[slot];
  const int accepted = state.accepted[slot];
  keep_path(target, slot, before - target.length[slot], slot_part(state.path, slot, state.max_path),
            accepted);
  target.length[slot] = before + accepted;
  ++state.step[slot];
}

// Accepted nodes that a drafter has computed keys of.
SC_HOST_DEVICE inline int accepted_and_consumed(const SequenceState& state, int slot) {
  const int32_t* path = slot_part(state.path, slot, state.max_path);
  int consumed = 0;
  while (consumed < state.accepted[slot] && path[consumed] < state.draft_consumed[slot]) {
    ++consumed;
  }
  return consumed;
}

// Whether a drafter was asked in this step: its cache ended where the draft began. Else it stays
// behind.
SC_HOST_DEVICE inline bool drafted(const SequenceState& state, const CacheTable& drafter,
                                   int slot) {
  return drafter.length[slot] == state.length[slot] - state.emitted[slot];
}

// Of a path of its draft a drafter's cache keeps the first `kept` nodes.
SC_HOST_DEVICE inline void keep_drafted(const CacheTable& drafter, int slot, const int32_t* path,
                                        int kept) {
  keep_path(drafter, slot, 0, path, kept);
  drafter.length[slot] += kept;
}

SC_HOST_DEVICE inline void write_lag(const SequenceState& state, const CacheTable& drafter,
                                     int slot) {
  state.draft_lag[slot] = state.length[slot] - drafter.length[slot];
}

// keep_accepted() of one slot.
SC_HOST_DEVICE inline void keep_accepted_slot(const SequenceState& state, const CacheTable& drafter,
                                              int slot) {
  if (!state.active[slot]) return;
  if (drafted(state, drafter, slot)) {
    keep_drafted(drafter, slot, slot_part(state.path, slot, state.max_path),
                 accepted_and_consumed(state, slot));
  }
  write_lag(state, drafter, slot);
}

}  // namespace speccascade
