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
  kLastRows = 2,  // complete; pi of the tokens after it still needs the drafter's rows
};

// How a draft is tested.
enum class Verifier : int32_t {
  kToken = 0,
  kBlock = 1,      // chains
  kKseq = 2,       // trees drawn with replacement
  kTrusted = 3,    // not at all: drafted where the rule keeps the drafter (token cascade)
  kTraversal = 4,  // trees
};

// What adaptive lengths know of a slot's request: adaptive_length.h.
constexpr int kAdaptiveClasses = 8;

struct AdaptiveSlot {
  float tested[kAdaptiveClasses];
  float accepted[kAdaptiveClasses];
  float reach;      // chance that all of the step's draft is accepted
  float tokens;     // emitted so far
  float time;       // spent on them
  float step_time;  // spent on this step
};

struct SequenceState {
  int slots;
  int capacity;   // tokens a slot can hold, prefix included
  int max_input;  // tokens of an input
  int max_nodes;  // drafted nodes of a step
  int max_path;   // levels of a draft

  // What is decoded. `length` counts the prefix; output index = position - prefix.
  int32_t* active;         // [slots]
  int32_t* input_tokens;   // [slots, max_input] what was encoded, for drafters that copy
  int32_t* input_length;   // [slots]
  int32_t* tokens;         // [slots, capacity]
  int32_t* length;         // [slots]
  int32_t* prefix_length;  // [slots]
  int32_t* max_length;     // [slots]
  uint64_t* seed;          // [slots]
  uint32_t* step;          // [slots] target passes of the request so far

  // Whom to trust.
  Rule* rule;                 // [slots]
  int32_t* verifier;          // [slots] Verifier
  float* confidence_stop;     // [slots] nothing is drafted after a position where the
                              // drafter's largest probability is below this; 0: off
  int32_t* draft_wants_rows;  // [slots] SlotSampling::wants_rows, for drafters

  // The draft of this step, level by level: parents before children, siblings
  // together and in the order drawn.
  int32_t* draft_tokens;  // [slots, max_nodes]
  int32_t* draft_parent;  // [slots, max_nodes] -1: the committed sequence
  int32_t* draft_depth;   // [slots, max_nodes] 0: directly after it
  int32_t* draft_count;   // [slots] nodes
  int32_t* draft_limit;   // [slots] levels: tokens left - 1 (all that are left where the draft is
                          // trusted), at most max_path

  // Of lengths chosen step by step; null without.
  AdaptiveSlot* adaptive;  // [slots]
  int32_t* draft_class;    // [slots, max_nodes] class of each drafted token

  // Of drafters that work level by level.
  int32_t* draft_level;     // [slots] levels drafted
  int32_t* level_begin;     // [slots] first node of the last level
  int32_t* draft_consumed;  // [slots] nodes that the drafter has computed keys of
  int32_t* draft_phase;     // [slots] DraftPhase

  // Of drafters.
  int32_t* draft_passes;  // [slots, drafters] that the slot took part in; of copies, proposals
  int32_t* draft_lag;     // [slots] most committed positions that one of the models has not
                          // consumed; 0 before the first step

  // The outcome of this step.
  int32_t* path;          // [slots, max_path] accepted nodes
  int32_t* accepted;      // [slots] length of the path
  int32_t* tested;        // [slots] positions that verification tested
  int32_t* decided;       // [slots] positions whose deferral was asked for, of rules that defer
  float* deferred;        // [slots] deferral summed over them
  int32_t* emitted;       // [slots] tokens appended: accepted, then the target's own
  int32_t* finish;        // [slots] Finish
  int32_t* failure;       // [slots] Failure
  float* token_logprobs;  // [slots, max_path + 1] of the emitted tokens
};

// First element of a slot's part of an array [slots, width].
template <typename T>
SC_HOST_DEVICE inline T* slot_part(T* data, int slot, int width) {
  return data + static_cast<int64_t>(slot) * width;
}

// A drafted token; its parent -1: the committed sequence.
SC_HOST_DEVICE inline void put_node(const SequenceState& state, int slot, int node, int32_t token,
                                    int parent, int depth) {
  slot_part(state.draft_tokens, slot, state.max_nodes)[node] = token;
  slot_part(state.draft_parent, slot, state.max_nodes)[node] = parent;
  slot_part(state.draft_depth, slot, state.max_nodes)[node] = depth;
}

// Of drafters' rows [slots, max_nodes + 1], the one after a node; -1: after the committed sequence.
SC_HOST_DEVICE inline int row_after(const SequenceState& state, int slot, int node) {
  return slot * (state.max_nodes + 1) + 1 + node;
}

SC_HOST_DEVICE inline bool is_trusted(const SequenceState& state, int slot) {
  return static_cast<Verifier>(state.verifier[slot]) == Verifier::kTrusted;
}

// Whether this step asks a drafter about the slot at all: for a draft, or for what a rule reads.
SC_HOST_DEVICE inline bool asks_drafter(const SequenceState& state, int slot) {
  return state.active[slot] != 0 &&
         (state.draft_limit[slot] > 0 || reads_drafter(state.rule[slot].kind));
}

// Passes of `most` committed positions that a model with such a lag makes ahead of its draft, which
// takes the last ones itself.
SC_HOST_DEVICE inline int catch_up_passes(int lag, int most) {
  return lag > most ? (lag - 1) / most : 0;
}

// Whether a trusted draft is the rest of the output, as long as that may become.
SC_HOST_DEVICE inline bool trusted_to_the_end(const SequenceState& state, int slot) {
  return is_trusted(state, slot) &&
         state.length[slot] + state.draft_count[slot] >= state.max_length[slot];
}

// Where the draws for the output token at `position` stand.
SC_HOST_DEVICE inline DrawAddress draw_address(const SequenceState& state, int slot, int position) {
  return {state.seed[slot], 0, static_cast<uint32_t>(position - state.prefix_length[slot]),
          state.step[slot]};
}

}  // namespace speccascade
