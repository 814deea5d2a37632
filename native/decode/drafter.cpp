#include "decode/drafter.h"

#include <algorithm>

#include "decode/cascade_drafter.h"
#include "decode/copy_drafter.h"
#include "decode/dynamic_tree_drafter.h"
#include "decode/level_drafter.h"

namespace speccascade {

void empty_drafts(const SequenceState& state) {
  for (int slot = 0; slot < state.slots; ++slot) {
    const int left = state.max_length[slot] - state.length[slot];
    state.draft_count[slot] = 0;
    // Where the rule has to see the target's row, a trusted draft is empty.
    const bool trusted = is_trusted(state, slot);
    const bool blind = trusted && !decides_alone(state.rule[slot].kind);
    // A token follows every draft, but one that is trusted may be the rest of the output.
    const int most = trusted ? left : left - 1;
    state.draft_limit[slot] = blind ? 0 : std::clamp(most, 0, state.max_path);
  }
}

int most_pending(const DraftPlan& plan, const DraftContext& context) {
  return std::max(context.max_prefix, plan.may_lag() ? kLaggingPass : 2);
}

std::unique_ptr<Drafter> make_drafter(const DraftPlan& plan,
                                      const std::vector<const Model*>& models,
                                      const DraftContext& context) {
  switch (plan.kind) {
    case DraftKind::kNone:
      return nullptr;
    case DraftKind::kLevels:
      return std::make_unique<LevelDrafter>(plan, *models[0], context);
    case DraftKind::kDynamicTree:
      return std::make_unique<DynamicTreeDrafter>(plan, *models[0], context);
    case DraftKind::kCopy:
      return std::make_unique<CopyDrafter>(plan, context);
    case DraftKind::kCascade:
      return std::make_unique<CascadeDrafter>(plan, models, context);
  }
  return nullptr;
}

}  // namespace speccascade
