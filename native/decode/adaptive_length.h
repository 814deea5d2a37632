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
#include <vector>

#include "decode/draft_plan.h"
#include "decode/sequence_state.h"
#include "model/model.h"

namespace speccascade {

// In units of the target's pass over one position.
struct StepCosts {
  float draft;     // a drafter's pass over one position; a copy: 0
  float position;  // a further position of the target's pass
};

// From what the passes read and compute, not from the clock: results must not depend on
// the machine. `drafter` is null for copies.
StepCosts step_costs(const Model& target, const Model* drafter);

class AdaptiveLength {
 public:
  // Classes of tokens: by the drafter's confidence where they were drawn; copies.
  static constexpr int kClasses = 8;
  static constexpr int kCopyClass = kClasses - 1;

  // `costs`: of the drafter that a further token needs.
  AdaptiveLength(const AdaptivePlan& plan, const StepCosts& costs, int slots, int max_nodes);

  bool on() const { return plan_.on; }
  int limit(int limit) const { return on() && plan_.max < limit ? plan_.max : limit; }
  // Below it nothing is drafted; 0: off.
  float confidence() const { return plan_.confidence; }

  void start(int slot);
  // A step begins: nothing is drafted.
  void open(int slot);
  // Whether the step's draft should grow.
  bool goes_on(int slot) const;
  // Token `node` was drafted; `confidence` is the largest probability of its row.
  void add(int slot, int node, float confidence);
  void add_copy(int slot, int node) { add_class(slot, node, kCopyClass); }
  // A pass of the drafter was spent on the step.
  void count_pass(int slot) { slots_[static_cast<size_t>(slot)].step_time += costs_.draft; }
  // The outcome of the step stands in the state.
  void learn(const SequenceState& state, int slot);

 private:
  struct Slot {
    float tested[kClasses];
    float accepted[kClasses];
    float reach;      // P
    float tokens;     // emitted so far
    float time;       // spent on them
    float step_time;  // spent on this step
  };

  float chance(const Slot& slot, int kind) const;
  float mean_chance(const Slot& slot) const;
  void add_class(int slot, int node, int kind);

  AdaptivePlan plan_;
  StepCosts costs_;
  int max_nodes_;
  std::vector<Slot> slots_;
  std::vector<int32_t> kinds_;  // [slots, max_nodes]
};

}  // namespace speccascade
