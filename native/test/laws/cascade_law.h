// Cascade drafting laid open: the law of one target step by enumeration, and whole
// greedy outputs, through CascadeSchedule.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "ops/row_math.h"
#include "test/laws/cs_draft_schedule.h"
#include "test/laws/exact_law.h"

namespace speccascade::laws {

struct CascadeLaw {
  std::vector<double> length;                      // chance that n + 1 tokens are emitted
  std::vector<double> calls;                       // [drafters] expected
  std::map<std::vector<int32_t>, double> emitted;  // chance of each output
};

namespace cascade_detail {

// Below the target every draw goes on: all of its outcomes are enumerated.
struct ForkedDraws {
  ForkingChoices& choices;

  template <typename Real>
  bool accept(Real probability, int place) {
    return choices.accept(probability, place);
  }
  template <typename Real>
  int32_t draw(const Real* weights, int count, Real /*total*/, int /*place*/) {
    return choices.pick(weights, count);
  }
};

}  // namespace cascade_detail

// One step of the target, under `rule`, after the empty prefix.
template <typename Models>
CascadeLaw cascade_law(const CascadeShape& shape, const Rule& rule, Models& models) {
  using Math = RowMath<typename Models::Real>;
  CascadeLaw law;
  law.calls.resize(static_cast<size_t>(shape.drafters));
  ForkingChoices choices;
  while (choices.next_run()) {
    cascade_detail::ForkedDraws below = {choices};
    CascadeSchedule<Math, Models, cascade_detail::ForkedDraws> schedule(shape, models, below);
    std::vector<int32_t> prefix;
    const auto draft = schedule.draft(prefix);
    std::vector<int32_t> tokens = schedule.review_by_target(rule, prefix, draft, choices).tokens;
    if (law.length.size() < tokens.size()) law.length.resize(tokens.size());
    law.length[tokens.size() - 1] += choices.probability();
    for (int32_t next = 0; next < shape.vocabulary; ++next) {
      const double chance = choices.probability() * choices.final_row()[static_cast<size_t>(next)];
      if (!(chance > 0.0)) continue;
      tokens.back() = next;
      law.emitted[tokens] += chance;
    }
    for (size_t i = 0; i < law.calls.size(); ++i) {
      law.calls[i] += choices.probability() * static_cast<double>(schedule.calls()[i]);
    }
  }
  return law;
}

struct CascadeOutput {
  std::vector<int32_t> tokens;
  std::vector<int32_t> steps;  // tokens per target call
  std::vector<int64_t> calls;  // [drafters]
};

// Target steps until at least `count` tokens are out; for rows of temperature 0.
template <typename Models>
CascadeOutput cascade_greedy(const CascadeShape& shape, Models& models, size_t count) {
  using Math = RowMath<typename Models::Real>;
  ForkingChoices choices;
  choices.next_run();
  cascade_detail::ForkedDraws draws = {choices};
  CascadeSchedule<Math, Models, cascade_detail::ForkedDraws> schedule(shape, models, draws);
  CascadeOutput output;
  while (output.tokens.size() < count) {
    const auto draft = schedule.draft(output.tokens);
    const auto emitted = schedule.review_by_target(Rule{}, output.tokens, draft, draws);
    output.tokens.insert(output.tokens.end(), emitted.tokens.begin(), emitted.tokens.end());
    output.steps.push_back(static_cast<int32_t>(emitted.tokens.size()));
  }
  output.calls = schedule.calls();
  return output;
}

}  // namespace speccascade::laws
