// What the rows of a pass's logits belong to, and how decoder rows are appended.
#pragma once

#include <cstdint>

#include "decode/sequence_state.h"
#include "ops/decoder_rows.h"

namespace speccascade {

// Filled together with the decoder rows of a pass.
struct LogitRows {
  int32_t* slot;     // [max_logits]
  int32_t* node;     // [max_logits] drafted node whose successor the row predicts; -1: none yet
  int32_t* output;   // [max_logits] output index of the token that the row predicts
  int32_t* out_row;  // [max_logits] where the row's distribution goes
  int32_t* first;    // [slots] first logit row of the slot (verification)
};

struct LogitRange {
  int begin, end;
};

// A slot's among the `count` logit rows of a pass, where they stand together.
SC_HOST_DEVICE inline LogitRange logits_of_slot(const LogitRows& logits, int count, int slot) {
  LogitRange range = {0, 0};
  while (range.begin < count && logits.slot[range.begin] != slot) ++range.begin;
  range.end = range.begin;
  while (range.end < count && logits.slot[range.end] == slot) ++range.end;
  return range;
}

// Calls body(slot, begin, end) for the slots of a pass's `count` logit rows, one after another.
template <typename Body>
void for_each_slot_run(const LogitRows& logits, int count, const Body& body) {
  for (int begin = 0, end = 0; begin < count; begin = end) {
    const int slot = logits.slot[begin];
    while (end < count && logits.slot[end] == slot) ++end;
    body(slot, begin, end);
  }
}

// Appends a decoder row for cache node `node` below `parent`; returns its index.
SC_HOST_DEVICE inline int append_row(const DecoderRows& rows, int slot, int32_t token, int position,
                                     int node, int parent) {
  const int row = (*rows.num_rows)++;
  rows.tokens[row] = token;
  rows.slot[row] = slot;
  rows.position[row] = position;
  rows.node[row] = node;
  slot_part(rows.node_parent, slot, rows.max_nodes)[node] = parent;
  return row;
}

// Appends the positions from `begin` to `end`, committed ones and behind them those of
// the draft, which is a chain if it is needed; returns the row of the last. Nodes count
// from the positions that the model has consumed.
SC_HOST_DEVICE inline int append_positions(const SequenceState& state, const DecoderRows& rows,
                                           const CacheTable& cache, int slot, int begin, int end) {
  const int32_t* tokens = slot_part(state.tokens, slot, state.capacity);
  const int32_t* drafted = slot_part(state.draft_tokens, slot, state.max_nodes);
  const int length = state.length[slot];
  int row = -1;
  for (int position = begin; position < end; ++position) {
    const int node = position - cache.length[slot];
    const int32_t token = position < length ? tokens[position] : drafted[position - length];
    row = append_row(rows, slot, token, position, node, node - 1);
  }
  return row;
}

// The committed positions that a model has not consumed. There is at least one: the
// last token.
SC_HOST_DEVICE inline int append_pending(const SequenceState& state, const DecoderRows& rows,
                                         const CacheTable& cache, int slot) {
  return append_positions(state, rows, cache, slot, cache.length[slot], state.length[slot]);
}

// Asks for the logits of a decoder row, which predict what follows `node`.
SC_HOST_DEVICE inline void append_logit(const SequenceState& state, const DecoderRows& rows,
                                        const LogitRows& logits, int row, int node, int out_row) {
  const int at = (*rows.num_logits)++;
  const int slot = rows.slot[row];
  rows.logit_rows[at] = row;
  logits.slot[at] = slot;
  logits.node[at] = node;
  logits.output[at] = rows.position[row] + 1 - state.prefix_length[slot];
  logits.out_row[at] = out_row;
}

}  // namespace speccascade
