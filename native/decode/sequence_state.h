// The state of every slot of a session as a struct of arrays. Ops of a step read
// and write it where they run; the host reads a step's outcome from it and
// nothing else.
#pragma once

#include <cstdint>

#include "base/host_device.h"
#include "base/philox.h"
#include "decode/rules.h"

namespace speccascade {

enum class Finish : int32_t { kNone = 0, kEos = 1, kStop = 2, kLength = 3 };

// Why a slot cannot go on; the others of its batch are not affected.
enum class Failure : int32_t {
  kNone = 0,
  kTargetNotFinite = 1,
  kDrafterNotFinite = 2,
  kNoTokenLeft = 3,
};

enum class DraftPhase : int32_t {
  kClosed = 0,
  kDrafting = 1,
  kLastRow = 2,  // complete; pi of the token after it still needs the drafter's row
};

struct SequenceState {
  int slots;
  int capacity;   // tokens a slot can hold, prefix included
  int max_draft;  // gamma, the longest draft of a step

  // What is decoded. `length` counts the prefix; output index = position - prefix.
  int32_t* active;         // [slots]
  int32_t* tokens;         // [slots, capacity]
  int32_t* length;         // [slots]
  int32_t* prefix_length;  // [slots]
  int32_t* max_length;     // [slots]
  uint64_t* seed;          // [slots]
  uint32_t* step;          // [slots] target passes of the request so far

  // Whom to trust.
  Rule* rule;               // [slots]
  int32_t* block;           // [slots] block verification instead of token-wise
  float* confidence_stop;   // [slots] drafting stops before a position where the
                            // drafter's largest probability is below this; 0: never

  // The draft of this step.
  int32_t* draft_tokens;  // [slots, max_draft]
  int32_t* draft_count;   // [slots]
  int32_t* draft_limit;   // [slots] tokens left - 1, at most max_draft
  int32_t* draft_open;    // [slots] DraftPhase

  // The outcome of this step.
  int32_t* tested;        // [slots] drafted positions that verification looked at
  int32_t* accepted;      // [slots] of these, accepted
  float* deferred;        // [slots] deferral summed over the tested positions
  int32_t* emitted;       // [slots] tokens appended: accepted, then the target's own
  int32_t* finish;        // [slots] Finish
  int32_t* failure;       // [slots] Failure
  float* token_logprobs;  // [slots, max_draft + 1] of the emitted tokens
};

// The token at an absolute position: committed, or drafted in this step.
SC_HOST_DEVICE inline int32_t token_at(const SequenceState& state, int slot, int position) {
  const int ahead = position - state.length[slot];
  return ahead < 0 ? state.tokens[static_cast<int64_t>(slot) * state.capacity + position]
                   : state.draft_tokens[static_cast<int64_t>(slot) * state.max_draft + ahead];
}

// Where the draws for the output token at `position` stand.
SC_HOST_DEVICE inline DrawAddress draw_address(const SequenceState& state, int slot,
                                               int position) {
  return {state.seed[slot], 0, static_cast<uint32_t>(position - state.prefix_length[slot]),
          state.step[slot]};
}

}  // namespace speccascade
