// Verification and commit: the second half of a step, whose first is drafting
// (drafter.h):
//
//   verify_rows, the target's decoder pass and distribution, verify, commit
//
// An empty draft makes it plain autoregressive decoding: one target row per slot, one
// token drawn from it.
#pragma once

#include <cstdint>

#include "decode/draft_rows.h"
#include "decode/logit_rows.h"
#include "decode/rules.h"
#include "decode/sequence_state.h"
#include "ops/decoder_rows.h"
#include "ops/probability_row.h"
#include "ops/sampling.h"

namespace speccascade {

// The drafted nodes of every active slot, below the committed positions that the
// target has not consumed. Logits of the last committed position, then of each
// node, in order; of a trusted draft the last alone, unless log-probabilities are wanted.
void verify_rows(const SequenceState& state, const CacheTable& target, const DecoderRows& rows,
                 const LogitRows& logits, const SlotSampling& sampling);

// A row of the target as its kernel leaves it for the walk; pi follows from it and from the
// drafter's rows.
struct MadeTarget {
  ProbabilityRow probs;
  float unscaled_factor;  // of the softmax at temperature 1, for rules
  RuleDecision<float> decision;
};
struct TargetRow : MadeTarget {
  double part_sum[kMaxRowParts];  // of a softmax's parts, but for its factor
};

struct VerifyArgs {
  SequenceState state;
  SlotSampling sampling;
  DraftRows drafts;
  int vocabulary;
  LogitRows logits;
  const float* target_logits;    // [logit rows, vocabulary], edited
  const float* target_probs;     // [logit rows, vocabulary]
  const float* target_unscaled;  // [logit rows, vocabulary]
  const int32_t* target_best;    // [logit rows]
  const int32_t* target_status;  // [logit rows] RowStatus
  const float* target_log_sum;   // [logit rows]
  float* pi;                     // [logit rows, vocabulary], for rules
  float* deferral;               // [logit rows], for rules
  float* scratch;                // [slots * scratch_rows, vocabulary]
  float* one_hot;                // [slots, vocabulary], zero
  // On devices, [logit rows]: instead of target_probs, target_unscaled and pi.
  TargetRow* target = nullptr;
  int scratch_rows = 2;
  float* weights = nullptr;  // [slots, max_path] for traversal, whose sessions plan for it
};

// Computes pi, walks the draft, draws the token after the accepted path, and
// appends them all to `tokens`; sets path, accepted, tested, decided, deferred,
// emitted, finish, failure and token_logprobs.
void verify(const VerifyArgs& args, int threads);

// The target's cache keeps the accepted path and drops the rest. Counts the step.
void commit(const SequenceState& state, const CacheTable& target);

// The same for the cache of a drafter that computed the nodes of the draft in order.
void keep_accepted(const SequenceState& state, const CacheTable& drafter);

// What a row that is not ok means for the slot; `not_finite`: whose rows they are.
SC_HOST_DEVICE inline Failure failure_of(RowStatus status, Failure not_finite) {
  switch (status) {
    case RowStatus::kOk:
      return Failure::kNone;
    case RowStatus::kNotFinite:
      return not_finite;
    case RowStatus::kNoTokenLeft:
      return Failure::kNoTokenLeft;
  }
  return not_finite;
}

}  // namespace speccascade
