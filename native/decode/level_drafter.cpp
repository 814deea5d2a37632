#include "decode/level_drafter.h"

#include <algorithm>

#include "decode/level_draft.h"
#include "decode/verify.h"

namespace speccascade {

namespace {

DecoderPass::Limits pass_limits(const DraftPlan& plan, const DraftContext& context) {
  const int pending = most_pending(plan, context);
  const int level = plan.largest_level();
  const int slots = context.limits.slots;
  return {slots, slots * std::max(pending, level), slots * level,
          std::max(pending, plan.max_nodes())};
}

}  // namespace

LevelDrafter::LevelDrafter(const DraftPlan& plan, const Model& model, const DraftContext& context)
    : Drafter(context),
      widths_(plan.widths),
      shape_{widths_.data(),
             plan.replacement ? Siblings::kWithReplacement : Siblings::kWithoutReplacement},
      chain_(plan.is_chain()),
      most_pending_(most_pending(plan, context)),
      lane_(model, context.limits, pass_limits(plan, context),
            context.limits.slots * (context.state.max_nodes + 1)),
      adaptive_(plan.adaptive, step_costs(*context.target, &model), context.state),
      proposal_(static_cast<size_t>(context.limits.slots) *
                static_cast<size_t>(context.state.max_nodes)),
      scratch_(static_cast<size_t>(context.vocabulary)) {
  const int rows = context.limits.slots * (context.state.max_nodes + 1);
  for (int row = 0; row < (context.limits.host_rows ? rows : 0); ++row) {
    reference_.push_back(lane_.prob_row(row));
    reference_unscaled_.push_back(lane_.unscaled_row(row));
  }
}

void LevelDrafter::encode(const std::vector<const std::vector<int32_t>*>& inputs,
                          const std::vector<int>& sources) {
  lane_.encoder.run(inputs, sources);
}

void LevelDrafter::start(int slot, int source) {
  lane_.start(slot, source);
  adaptive_.start(slot);
}

void LevelDrafter::draft() {
  open_drafts(state_, adaptive_);
  for (int slot = 0; slot < state_.slots; ++slot) {
    if (is_draft_open(state_, slot))
      lane_.catch_up(state_, slot, state_.length[slot], most_pending_);
  }
  const CacheTable cache = lane_.self.table();
  const DecoderRows& rows = lane_.decoder.rows();
  while (any_draft_open(state_)) {
    draft_rows(state_, context_.sampling, cache, rows, lane_.logits);
    lane_.run(context_.sampling);
    extend_drafts(
        state_, context_.sampling, shape_, cache, rows, lane_.logits,
        {lane_.decoder.logits(), lane_.probs.data(), lane_.unscaled.data(), lane_.best.data(),
         lane_.status.data(), proposal_.data(), scratch_.data(), context_.vocabulary},
        adaptive_);
  }
}

void LevelDrafter::commit() {
  for (int slot = 0; slot < state_.slots; ++slot) {
    if (state_.active[slot]) adaptive_.learn(state_, slot);
  }
  keep_accepted(state_, lane_.self.table());
}

DraftRows LevelDrafter::rows() const {
  return {reference_.data(), reference_unscaled_.data(), proposal_.data(), shape_.siblings, chain_};
}

size_t LevelDrafter::bytes() const { return lane_.bytes(); }

}  // namespace speccascade
