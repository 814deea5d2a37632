// One step of chain speculation, as ops over the state of all slots. The order of
// a step, for drafts of at most gamma tokens:
//
//   open_drafts
//   while any draft is open:  draft_rows, drafter's decoder pass, distribution, extend_drafts
//   verify_rows, target's decoder pass, distribution, verify_chains, commit
//
// Without a drafter every draft is empty and the step is plain autoregressive
// decoding: one target row per slot, one token drawn from it.
#pragma once

#include <cstdint>

#include "decode/sequence_state.h"
#include "ops/decoder_rows.h"
#include "ops/sampling.h"

namespace speccascade {

// draft_count = 0; a draft opens where tokens are left beyond the one that the
// target adds itself. With a rule that reads the drafter, its row for that token
// is needed too. `drafts` is false without a drafter.
void open_drafts(const SequenceState& state, bool drafts);

// Whether any draft is open: the condition of the drafting loop.
bool any_draft_open(const SequenceState& state);

// What the rows of logits belong to, filled together with the decoder rows.
struct LogitRows {
  int32_t* slot;      // [max_logits]
  int32_t* output;    // [max_logits] output index of the token that the row predicts
  int32_t* out_row;   // [max_logits] where the row's distribution goes
  int32_t* first;     // [slots] first logit row of the slot (verification)
};

// The positions of open drafts that the drafter has not consumed: one, or a few
// where it lags behind. Logits of the last one of each slot.
void draft_rows(const SequenceState& state, const CacheTable& drafter, const DecoderRows& rows,
                const LogitRows& logits);

// The drafter's distributions of this step.
struct DraftDistributions {
  const float* probs;         // [slots * (max_draft + 1), vocabulary]
  const float* unscaled;      // likewise
  const int32_t* best;        // [logit rows]
  const int32_t* row_status;  // [logit rows]
  int vocabulary;
};

// Appends a token to every open draft, drawn from its row (greedy: the argmax),
// and closes drafts that are full or ended. A draft whose confidence stop is
// passed closes before the draw: a token that was drawn is never dropped.
void extend_drafts(const SequenceState& state, const SlotSampling& sampling,
                   const CacheTable& drafter, const DecoderRows& rows, const LogitRows& logits,
                   const DraftDistributions& drafts);

// The last committed token and the draft of every active slot (and whatever the
// target has not consumed yet: the prefix, at first). Logits from the last
// committed token on.
void verify_rows(const SequenceState& state, const CacheTable& target, const DecoderRows& rows,
                 const LogitRows& logits);

struct VerifyArgs {
  SequenceState state;
  SlotSampling sampling;
  int vocabulary;
  LogitRows logits;
  const float* target_logits;   // [logit rows, vocabulary], edited
  const float* target_probs;    // [logit rows, vocabulary]
  const int32_t* target_best;   // [logit rows]
  const int32_t* target_status; // [logit rows] RowStatus
  const float* target_log_sum;  // [logit rows]
  const float* target_unscaled; // [logit rows, vocabulary]
  const float* draft_probs;     // [slots * (max_draft + 1), vocabulary]
  const float* draft_unscaled;  // likewise
  float* pi;                    // [logit rows, vocabulary] scratch for rules
  float* deferral;              // [logit rows] scratch for rules
  float* scratch;               // [slots, vocabulary]
};

// Computes pi, accepts, draws the token after the accepted ones, and appends them
// all to `tokens`; sets tested, accepted, deferred, emitted, finish, failure and
// token_logprobs.
void verify_chains(const VerifyArgs& args, int threads);

// Caches follow the accepted tokens: the target's length is what it consumed of
// the sequence, the drafter's at most that. Counts the step.
void commit(const SequenceState& state, const CacheTable& target, const CacheTable* drafter);

}  // namespace speccascade
