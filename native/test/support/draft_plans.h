// Plans of every kind of draft.
#pragma once

#include <utility>
#include <vector>

#include "decode/draft_plan.h"
#include "test/support/engine_rig.h"

namespace speccascade::test {

// No widths: no draft.
inline DraftPlan levels(const Widths& widths, bool replacement = false) {
  DraftPlan plan;
  plan.kind = widths.empty() ? DraftKind::kNone : DraftKind::kLevels;
  plan.widths = widths;
  plan.replacement = replacement;
  return plan;
}

inline DraftPlan dynamic_tree(int nodes, int depth) {
  DraftPlan plan;
  plan.kind = DraftKind::kDynamicTree;
  plan.nodes = nodes;
  plan.depth = depth;
  return plan;
}

inline DraftPlan copies(const Widths& widths, std::vector<int32_t> bigrams = {}) {
  DraftPlan plan = levels(widths);
  plan.kind = DraftKind::kCopy;
  plan.bigrams = std::move(bigrams);
  return plan;
}

inline DraftPlan cascade(std::vector<int32_t> lengths, bool with_copies, double lenience = 1.0) {
  DraftPlan plan;
  plan.kind = DraftKind::kCascade;
  plan.lengths = std::move(lengths);
  plan.copies = with_copies;
  plan.lenience = lenience;
  return plan;
}

}  // namespace speccascade::test
