// Drafting by a model, level by level, as ops over the state of all slots:
//
//   open_drafts
//   while any draft is open:  draft_rows, drafter's decoder pass, distribution, extend_drafts
//
// Each round of the loop drafts one level of every slot's tree in one pass of the
// drafter.
#pragma once

#include <cstdint>

#include "decode/adaptive_length.h"
#include "decode/draft_shape.h"
#include "decode/logit_rows.h"
#include "decode/sequence_state.h"
#include "ops/decoder_rows.h"
#include "ops/sampling.h"

namespace speccascade {

// A draft opens where tokens are left beyond the one that the target adds itself.
// With a rule that reads the drafter, its rows for the token after the draft are
// needed too.
void open_drafts(const SequenceState& state, AdaptiveLength& adaptive);

bool is_draft_open(const SequenceState& state, int slot);
// The condition of the drafting loop.
bool any_draft_open(const SequenceState& state);

// First round of a step: the committed positions that the drafter has not
// consumed. Later rounds: the nodes of the last level that do not end the sequence.
void draft_rows(const SequenceState& state, const SlotSampling& sampling, const CacheTable& drafter,
                const DecoderRows& rows, const LogitRows& logits);

// The drafter's distributions of this round. Rows of a slot: 0 follows the
// committed sequence, 1 + n follows node n.
struct DraftDistributions {
  const float* logits;        // [logit rows, vocabulary], edited
  const float* probs;         // [slots * (max_nodes + 1), vocabulary]
  const float* unscaled;      // likewise
  const int32_t* best;        // [logit rows]
  const int32_t* row_status;  // [logit rows]
  const float** proposal;     // [slots * max_nodes] receives the row each token is drawn from
  float* scratch;             // [vocabulary]
  int vocabulary;
};

// Appends a level to every open draft: the shape's number of children below each
// row's node, drawn from the row (at temperature 0 the most probable ones), fewer
// where fewer are possible. A node whose confidence stop is passed gets none: a
// token that was drawn is never dropped. Closes drafts that are complete.
void extend_drafts(const SequenceState& state, const SlotSampling& sampling,
                   const DraftShape& shape, const CacheTable& drafter, const DecoderRows& rows,
                   const LogitRows& logits, const DraftDistributions& drafts,
                   AdaptiveLength& adaptive);

}  // namespace speccascade
