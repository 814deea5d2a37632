#include "decode/copy_drafter.h"

namespace speccascade {

CopyDrafter::CopyDrafter(const DraftPlan& plan, const DraftContext& context)
    : Drafter(context),
      widths_(plan.widths),
      bigrams_(plan.bigrams),
      shape_{widths_.data(), plan.is_chain(), {bigrams_.data(), static_cast<int>(bigrams_.size())}},
      lanes_(context.state),
      adaptive_(plan.adaptive, step_costs(*context.target, nullptr), context.state),
      proposal_(static_cast<size_t>(context.limits.slots) *
                static_cast<size_t>(context.state.max_nodes)),
      lengths_(static_cast<size_t>(copy_text_size(context.state))),
      path_(static_cast<size_t>(context.state.max_path)) {}

void CopyDrafter::draft() {
  for (int slot = 0; slot < state_.slots; ++slot) {
    CopyWriter<HostLanes>(state_, context_.sampling, shape_, {lengths_.data(), path_.data()},
                          lanes_, adaptive_, slot)
        .draft();
  }
}

void CopyDrafter::commit() {
  for (int slot = 0; slot < state_.slots; ++slot) {
    if (state_.active[slot]) adaptive_.learn(state_, slot);
  }
}

DraftRows CopyDrafter::rows() const {
  return {nullptr, nullptr, proposal_.data(), Siblings::kFixed, shape_.chain};
}

}  // namespace speccascade
