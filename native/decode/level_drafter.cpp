#include "decode/level_drafter.h"

#include "decode/level_draft.h"
#include "decode/verify.h"

namespace speccascade {

LevelDrafter::LevelDrafter(const DraftPlan& plan, const Model& model, const DraftContext& context)
    : ModelDrafter(plan, model, context, {plan.largest_level(), plan.max_nodes(), 0}),
      widths_(plan.widths),
      shape_{widths_.data(),
             plan.replacement ? Siblings::kWithReplacement : Siblings::kWithoutReplacement},
      chain_(plan.is_chain()),
      proposal_(area(context.limits.slots, context.state.max_nodes)),
      scratch_(static_cast<size_t>(context.vocabulary)) {
  const int rows = context.limits.slots * (context.state.max_nodes + 1);
  for (int row = 0; row < (context.limits.host_rows ? rows : 0); ++row) {
    reference_.push_back(lane_.prob_row(row));
    reference_unscaled_.push_back(lane_.unscaled_row(row));
  }
}

void LevelDrafter::append_rows(const CacheTable& cache, const DecoderRows& rows) {
  draft_rows(state_, context_.sampling, cache, rows, lane_.logits);
}

void LevelDrafter::extend(const CacheTable& cache, const DecoderRows& rows) {
  extend_drafts(
      state_, context_.sampling, shape_, cache, rows, lane_.logits,
      {lane_.decoder.logits(), lane_.probs.data(), lane_.unscaled.data(), lane_.best.data(),
       lane_.status.data(), proposal_.data(), scratch_.data(), context_.vocabulary},
      lengths_);
}

void LevelDrafter::commit() {
  for (int slot = 0; slot < state_.slots; ++slot) {
    if (state_.active[slot]) lengths_.learn(state_, slot);
  }
  keep_accepted(state_, lane_.self.table());
}

DraftRows LevelDrafter::rows() const {
  return {reference_.data(), reference_unscaled_.data(), proposal_.data(), shape_.siblings, chain_};
}

}  // namespace speccascade
