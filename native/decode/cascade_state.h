// Where each slot of a session stands in the recursion of a cascade
// (test/laws/cs_draft_schedule.h), and what its models computed: all that a slot's part of the
// drafting reads and writes (cascade_slot.h), in the memory of the CPU or of a GPU.
#pragma once

#include <cstdint>

#include "decode/logit_rows.h"
#include "decode/max_gram.h"
#include "decode/rules.h"
#include "decode/sequence_state.h"
#include "decode/slot_rows.h"
#include "ops/decoder_rows.h"

namespace speccascade {

// One model: caches, and the distributions of its last passes.
struct CascadeLane {
  CacheTable cache;
  const float* probs;     // [slots * (max_nodes + 1), vocabulary]; a slot's row i predicts token i
  const float* unscaled;  // likewise
  float* lenient;         // likewise: what the tokens of a lenient review follow; null: lossless
  const int32_t* best;    // [logit rows]
  const int32_t* status;  // [logit rows]
};

// A draft in the making: tokens from `begin` on, for a reviewer's row of the lengths
// (0: the target, 1 + i: drafter i).
struct CascadeFrame {
  int32_t row;
  int32_t begin;
  int32_t stage;   // -1: before the first
  int32_t wanted;  // tokens by the end of the stage
  int32_t limit;   // draft tokens, from the step's beginning, that this draft may reach
};

struct CascadeTurn {
  int32_t frames;         // in use; the last is worked on
  int32_t waits_for;      // model whose pass is needed; -1: none
  int32_t last_rows;      // the pass is for rules alone
  int32_t copies_wanted;  // tokens that the copy model is asked for
  int32_t reviews;        // of this step: addresses their random draws
  int32_t known_rows;     // leading rows of the first model that are of this draft
  int32_t considered;     // tokens that adaptive length has seen
};

struct Cascade {
  int models;
  int drafters;     // with the copy model
  int copy_length;  // most tokens of a copy
  int most_behind;  // committed positions that a pass may take beside a draft
  int vocabulary;
  double lenience;
  Rule lenient_rule;  // of the reviews below the target
  BigramTable bigrams;
  const int32_t* lengths;    // [drafters, drafters]
  const CascadeLane* lanes;  // [models]
  CascadeFrame* frames;      // [slots, models + 1]
  CascadeTurn* turns;        // [slots]
  int32_t* drawn_by;         // [slots, max_nodes] model, or -1: copied
  const float** proposal;    // [slots, max_nodes] row that a token was drawn from; null: copied
  // A slot's own.
  int32_t* text_lengths;  // [copy_text_size()]
  float* scratch;         // [vocabulary]
  float* one_hot;         // [vocabulary] all zero

  SC_HOST_DEVICE bool lenient() const { return lenience > 1.0; }
};

// The most positions that a pass computes ahead of those it is asked about: usually the last draft,
// committed meanwhile, and what smaller models have added to this one.
SC_HOST_DEVICE constexpr int cascade_most_behind(int max_prefix, int max_nodes) {
  return (max_prefix < max_nodes ? max_nodes : max_prefix) + 1;
}

// The first draft token whose row a slot waits for.
SC_HOST_DEVICE inline int first_place(const Cascade& cascade, int slot) {
  const CascadeTurn& turn = cascade.turns[slot];
  if (turn.last_rows) return turn.known_rows;
  return slot_part(cascade.frames, slot, cascade.models + 1)[turn.frames - 1].begin;
}

SC_HOST_DEVICE inline SlotRows cascade_slot_rows(const SequenceState& state, const Cascade& cascade,
                                                 int model, int slot) {
  if (cascade.turns[slot].waits_for != model) return {0, 0};
  const int count = state.draft_count[slot];
  return {state.length[slot] + count - cascade.lanes[model].cache.length[slot],
          count - first_place(cascade, slot) + 1};
}

// Where a slot waits for the model: the tokens that this one has not consumed, with logits from the
// row that predicts the first place waited for.
SC_HOST_DEVICE inline void append_cascade_slot(const SequenceState& state, const Cascade& cascade,
                                               const DecoderRows& rows, const LogitRows& logits,
                                               int model, int slot) {
  if (cascade.turns[slot].waits_for != model) return;
  const CacheTable cache = cascade.lanes[model].cache;
  const int consumed = cache.length[slot], length = state.length[slot];
  const int count = state.draft_count[slot], first_row = *rows.num_rows;
  append_positions(state, rows, cache, slot, consumed, length + count);
  for (int place = first_place(cascade, slot); place <= count; ++place) {
    // The row that predicts a place is that of the position before it.
    append_logit(state, rows, logits, first_row + length + place - 1 - consumed, place - 1,
                 row_after(state, slot, place - 1));
  }
}

// Whether a model that may be asked has more committed positions to catch up with than a pass takes
// beside a draft. One that is not asked may not even have the slot's input.
SC_HOST_DEVICE inline bool lags(const SequenceState& state, const Cascade& cascade, int model,
                                int slot) {
  const int pending = state.length[slot] - cascade.lanes[model].cache.length[slot];
  return asks_drafter(state, slot) && catch_up_passes(pending, cascade.most_behind) > 0;
}

// A step's outcome stands in the state: models keep what they consumed of what was kept.
SC_HOST_DEVICE inline void commit_cascade_slot(const SequenceState& state, const Cascade& cascade,
                                               int slot) {
  if (!state.active[slot]) return;
  const int kept = state.length[slot] - state.emitted[slot] + state.accepted[slot];
  int lag = 0;
  for (int model = 0; model < cascade.models; ++model) {
    int32_t& consumed = cascade.lanes[model].cache.length[slot];
    if (consumed > kept) consumed = kept;
    if (state.length[slot] - consumed > lag) lag = state.length[slot] - consumed;
  }
  state.draft_lag[slot] = lag;
}

}  // namespace speccascade
