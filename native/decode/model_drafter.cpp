#include "decode/model_drafter.h"

#include <algorithm>

#include "decode/level_draft.h"

namespace speccascade {

namespace {

LaneLimits with_cache_rows(LaneLimits limits, int more) {
  limits.cache_rows += more;
  return limits;
}

}  // namespace

ModelDrafter::ModelDrafter(const DraftPlan& plan, const Model& model, const DraftContext& context,
                           const Size& size)
    : Drafter(context),
      most_pending_(most_pending(plan, context)),
      lane_(model, with_cache_rows(context.limits, size.cache_rows),
            {context.limits.slots, context.limits.slots * std::max(most_pending_, size.level),
             context.limits.slots * size.level, std::max(most_pending_, size.nodes)},
            context.limits.slots * (size.nodes + 1)),
      lengths_(plan.adaptive, step_costs(*context.target, &model), context.state) {}

void ModelDrafter::encode(const std::vector<const std::vector<int32_t>*>& inputs,
                          const std::vector<int>& sources) {
  lane_.encoder.run(inputs, sources);
}

void ModelDrafter::start(int slot, int source) {
  lane_.start(slot, source);
  lengths_.start(slot);
}

void ModelDrafter::draft() {
  open_drafts(state_, lengths_);
  for (int slot = 0; slot < state_.slots; ++slot) {
    if (is_draft_open(state_, slot))
      lane_.catch_up(state_, slot, state_.length[slot], most_pending_);
  }
  const CacheTable cache = lane_.self.table();
  const DecoderRows& rows = lane_.decoder.rows();
  while (any_draft_open(state_)) {
    append_rows(cache, rows);
    lane_.run(context_.sampling);
    extend(cache, rows);
  }
}

}  // namespace speccascade
