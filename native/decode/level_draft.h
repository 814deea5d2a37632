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
#include "decode/level_writer.h"
#include "decode/logit_rows.h"
#include "decode/sequence_state.h"
#include "ops/decoder_rows.h"
#include "ops/sampling.h"

namespace speccascade {

// A draft opens where tokens are left beyond the one that the target adds itself.
// With a rule that reads the drafter, its rows for the token after the draft are
// needed too.
void open_drafts(const SequenceState& state, const AdaptiveLength& adaptive);

bool is_draft_open(const SequenceState& state, int slot);
// The condition of the drafting loop.
bool any_draft_open(const SequenceState& state);

// First round of a step: the committed positions that the drafter has not
// consumed. Later rounds: the nodes of the last level that do not end the sequence.
void draft_rows(const SequenceState& state, const SlotSampling& sampling, const CacheTable& drafter,
                const DecoderRows& rows, const LogitRows& logits);

// Appends a level to every open draft: the shape's number of children below each
// row's node, drawn from the row (at temperature 0 the most probable ones), fewer
// where fewer are possible. A node whose confidence stop is passed gets none: a
// token that was drawn is never dropped. Closes drafts that are complete.
void extend_drafts(const SequenceState& state, const SlotSampling& sampling,
                   const DraftShape& shape, const CacheTable& drafter, const DecoderRows& rows,
                   const LogitRows& logits, const DraftDistributions& drafts,
                   const AdaptiveLength& adaptive);

}  // namespace speccascade
