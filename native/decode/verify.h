// Verification and commit: the second half of a step (draft.h).
#pragma once

#include <cstdint>

#include "decode/draft_shape.h"
#include "decode/logit_rows.h"
#include "decode/sequence_state.h"
#include "ops/decoder_rows.h"
#include "ops/sampling.h"

namespace speccascade {

// The drafted nodes of every active slot, below the committed positions that the
// target has not consumed. Logits of the last committed position, then of each
// node, in order.
void verify_rows(const SequenceState& state, const CacheTable& target, const DecoderRows& rows,
                 const LogitRows& logits);

struct VerifyArgs {
  SequenceState state;
  SlotSampling sampling;
  DraftShape shape;
  int vocabulary;
  LogitRows logits;
  const float* target_logits;    // [logit rows, vocabulary], edited
  const float* target_probs;     // [logit rows, vocabulary]
  const float* target_unscaled;  // [logit rows, vocabulary]
  const int32_t* target_best;    // [logit rows]
  const int32_t* target_status;  // [logit rows] RowStatus
  const float* target_log_sum;   // [logit rows]
  const float* draft_probs;      // [slots * (max_nodes + 1), vocabulary]
  const float* draft_unscaled;   // likewise
  float* pi;                     // [logit rows, vocabulary], for rules
  float* deferral;               // [logit rows], for rules
  float* scratch;                // [2 * slots, vocabulary]
};

// Computes pi, walks the draft, draws the token after the accepted path, and
// appends them all to `tokens`; sets path, accepted, tested, deferred, emitted,
// finish, failure and token_logprobs.
void verify(const VerifyArgs& args, int threads);

// Caches keep the accepted path and drop the rest. Counts the step. `drafter` is
// null without one.
void commit(const SequenceState& state, const CacheTable& target, const CacheTable* drafter);

}  // namespace speccascade
