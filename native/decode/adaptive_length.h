// How long to draft, step by step: drafting goes on while the next token is expected
// to be worth its time.
//
//   a(c)    chance that a drafted token of class c is accepted given that those before
//           it were: running counts of the request, over a prior
//   P       product of a over the tokens drafted in this step
//   a'      mean chance over the classes seen: the next token's is not known yet
//   R       tokens per unit of time of the request so far, over a prior
//   go on   while P a' > R (c + v)
//
// with c the drafter's pass and v a further position of the target's, in units of the
// target's pass over one position. A token adds P a' tokens and c + v time, so that is
// where the rate R would begin to fall (SpecDec++ and goodput, arXiv 2406.14066, choose
// by similar expectations).
//
// Exact: what a step drafts depends on earlier steps and on tokens that stay in the
// draft, and no drawn token is dropped. Reproducible: counts are the request's own,
// costs those of the models' shapes.
#pragma once

#include <cstdint>

#include "base/host_device.h"
#include "decode/draft_plan.h"
#include "decode/sequence_state.h"
#include "model/model.h"

namespace speccascade {

// Rows of a pass over bf16 weights whose arithmetic takes as long as reading the weights, where
// nothing was measured.
constexpr double kRowsPerRead = 16.0;

// In units of the target's pass over one position.
struct StepCosts {
  float draft;     // a drafter's pass over one position; a copy: 0
  float position;  // a further position of the target's pass
};

// From what the passes read and compute, not from the clock: results must not depend on
// the machine. `drafter` is null for copies.
StepCosts step_costs(const Model& target, const Model* drafter);

// Over the state's records of slots and nodes, for the CPU and for a GPU's threads.
class AdaptiveLength {
 public:
  // Classes of tokens: by the drafter's confidence where they were drawn; copies.
  static constexpr int kClasses = kAdaptiveClasses;
  static constexpr int kCopyClass = kClasses - 1;

  // `costs`: of the drafter that a further token needs. `state` has the records if the plan is on.
  AdaptiveLength(const AdaptivePlan& plan, const StepCosts& costs, const SequenceState& state)
      : plan_(plan),
        costs_(costs),
        max_nodes_(state.max_nodes),
        slots_(state.adaptive),
        kinds_(state.draft_class) {}

  // The same over another state's records.
  AdaptiveLength over(const SequenceState& state) const { return {plan_, costs_, state}; }

  SC_HOST_DEVICE bool on() const { return plan_.on; }
  SC_HOST_DEVICE int limit(int limit) const {
    return on() && plan_.max < limit ? plan_.max : limit;
  }
  // Below it nothing is drafted; 0: off.
  SC_HOST_DEVICE float confidence() const { return plan_.confidence; }

  // A sample begins.
  SC_HOST_DEVICE void start(int slot) const {
    if (!on()) return;
    AdaptiveSlot& own = slots_[slot];
    for (int kind = 0; kind < kClasses; ++kind) {
      own.tested[kind] = prior_weight();
      own.accepted[kind] = prior_weight() * prior(kind);
    }
    own.tokens = own.time = prior_steps();
    open(slot);
  }

  // A step begins: nothing is drafted.
  SC_HOST_DEVICE void open(int slot) const {
    if (!on()) return;
    slots_[slot].reach = 1.0f;
    slots_[slot].step_time = 1.0f;
  }

  // Whether the step's draft should grow.
  SC_HOST_DEVICE bool goes_on(int slot) const {
    return !on() || is_worth(slots_[slot], slots_[slot].reach);
  }
  // Whether it should be begun, said before open().
  SC_HOST_DEVICE bool begins(int slot) const { return !on() || is_worth(slots_[slot], 1.0f); }

  // Token `node` was drafted; `confidence` is the largest probability of its row.
  SC_HOST_DEVICE void add(int slot, int node, float confidence) const {
    add_class(slot, node, class_of(confidence));
  }
  SC_HOST_DEVICE void add_copy(int slot, int node) const { add_class(slot, node, kCopyClass); }
  // A pass of the drafter was spent on the step.
  SC_HOST_DEVICE void count_pass(int slot) const {
    if (on()) slots_[slot].step_time += costs_.draft;
  }

  // The outcome of the step stands in the state.
  SC_HOST_DEVICE void learn(const SequenceState& state, int slot) const {
    if (!on()) return;
    AdaptiveSlot& own = slots_[slot];
    for (int kind = 0; kind < kClasses; ++kind) {
      const float rest = own.tested[kind] - prior_weight();
      const float right = own.accepted[kind] - prior_weight() * prior(kind);
      own.tested[kind] = prior_weight() + memory() * rest;
      own.accepted[kind] = prior_weight() * prior(kind) + memory() * right;
    }
    const int32_t* kinds = slot_part(kinds_, slot, max_nodes_);
    for (int i = 0; i < state.tested[slot]; ++i) {
      ++own.tested[kinds[i]];
      if (i < state.accepted[slot]) ++own.accepted[kinds[i]];
    }
    own.tokens = memory() * own.tokens + static_cast<float>(state.emitted[slot]);
    own.time = memory() * own.time + own.step_time;
  }

 private:
  // Before anything is known: calibrated drafters are right as often as they are sure.
  SC_HOST_DEVICE static float prior(int kind) {
    switch (kind) {
      case 0:
        return 0.25f;
      case 1:
        return 0.4f;
      case 2:
        return 0.6f;
      case 3:
        return 0.75f;
      case 4:
        return 0.88f;
      case 5:
        return 0.95f;
      case 6:
        return 0.98f;
      default:
        return 0.4f;  // copies
    }
  }
  SC_HOST_DEVICE static int class_of(float confidence) {
    return (confidence >= 0.3f ? 1 : 0) + (confidence >= 0.5f ? 1 : 0) +
           (confidence >= 0.7f ? 1 : 0) + (confidence >= 0.85f ? 1 : 0) +
           (confidence >= 0.95f ? 1 : 0) + (confidence >= 0.99f ? 1 : 0);
  }
  SC_HOST_DEVICE static constexpr float prior_weight() { return 6.0f; }
  // What was learned fades, so that a class that was given up is tried again.
  SC_HOST_DEVICE static constexpr float memory() { return 0.97f; }
  // A prior for the rate: this many steps of plain decoding.
  SC_HOST_DEVICE static constexpr float prior_steps() { return 2.0f; }

  SC_HOST_DEVICE bool is_worth(const AdaptiveSlot& own, float reach) const {
    return reach * mean_chance(own) * own.time > own.tokens * (costs_.draft + costs_.position);
  }

  // Over what was tested; before that, over a prior of 0.7.
  SC_HOST_DEVICE static float mean_chance(const AdaptiveSlot& slot) {
    float tested = prior_weight(), accepted = prior_weight() * 0.7f;
    for (int kind = 0; kind < kClasses; ++kind) {
      tested += slot.tested[kind] - prior_weight();
      accepted += slot.accepted[kind] - prior_weight() * prior(kind);
    }
    return accepted / tested;
  }

  SC_HOST_DEVICE void add_class(int slot, int node, int kind) const {
    if (!on()) return;
    AdaptiveSlot& own = slots_[slot];
    slot_part(kinds_, slot, max_nodes_)[node] = kind;
    own.reach *= own.accepted[kind] / own.tested[kind];
    own.step_time += costs_.position;
  }

  AdaptivePlan plan_;
  StepCosts costs_;
  int max_nodes_;
  AdaptiveSlot* slots_;
  int32_t* kinds_;
};

}  // namespace speccascade
