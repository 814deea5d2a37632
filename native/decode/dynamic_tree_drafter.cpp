#include "decode/dynamic_tree_drafter.h"

#include <algorithm>

#include "decode/dynamic_tree_writer.h"
#include "decode/level_draft.h"
#include "ops/row_math.h"

namespace speccascade {

namespace {

LaneLimits lane_limits(const DraftPlan& plan, LaneLimits limits) {
  limits.cache_rows += tree_computed_nodes(plan.nodes, plan.depth);
  return limits;
}

DecoderPass::Limits pass_limits(const DraftPlan& plan, const DraftContext& context) {
  const int slots = context.limits.slots;
  const int pending = most_pending(plan, context);
  return {slots, slots * std::max(pending, plan.nodes), slots * plan.nodes,
          std::max(pending, tree_computed_nodes(plan.nodes, plan.depth))};
}

}  // namespace

DynamicTreeDrafter::DynamicTreeDrafter(const DraftPlan& plan, const Model& model,
                                       const DraftContext& context)
    : Drafter(context, 1),
      most_pending_(most_pending(plan, context)),
      lane_(model, lane_limits(plan, context.limits), pass_limits(plan, context),
            context.limits.slots * (tree_computed_nodes(plan.nodes, plan.depth) + 1)),
      lengths_(plan.adaptive, step_costs(*context.target, &model), context.state),
      candidates_(area(context.limits.slots, tree_candidates(plan.nodes))),
      places_(candidates_.size()),
      pool_size_(static_cast<size_t>(context.limits.slots)),
      youngest_(pool_size_.size()),
      frontier_(area(context.limits.slots, plan.nodes)),
      frontier_size_(pool_size_.size()),
      cache_node_(frontier_.size()),
      reference_(area(context.limits.slots, plan.nodes + 1)),
      reference_unscaled_(reference_.size()),
      tree_{plan.nodes,
            plan.depth,
            tree_beam(plan.nodes),
            tree_computed_nodes(plan.nodes, plan.depth),
            context.vocabulary,
            candidates_.data(),
            places_.data(),
            pool_size_.data(),
            youngest_.data(),
            frontier_.data(),
            frontier_size_.data(),
            cache_node_.data(),
            lane_.probs.data(),
            lane_.unscaled.data(),
            lane_.status.data(),
            reference_.data(),
            reference_unscaled_.data()} {}

void DynamicTreeDrafter::encode(const std::vector<const std::vector<int32_t>*>& inputs,
                                const std::vector<int>& sources) {
  lane_.encoder.run(inputs, sources);
}

void DynamicTreeDrafter::draft() {
  clear_calls();
  open_drafts(state_, lengths_);
  for (int slot = 0; slot < state_.slots; ++slot) {
    if (is_draft_open(state_, slot))
      lane_.catch_up(state_, slot, state_.length[slot], most_pending_);
  }
  const CacheTable cache = lane_.self.table();
  const DecoderRows& rows = lane_.decoder.rows();
  while (any_draft_open(state_)) {
    *rows.num_rows = 0;
    *rows.num_logits = 0;
    for (int slot = 0; slot < state_.slots; ++slot) {
      append_tree_slot(state_, tree_, cache, rows, lane_.logits, slot);
    }
    lane_.run(context_.sampling);
    count_pass(lane_, 0);
    for (int at = 0; at < *rows.num_logits;) {
      const int slot = lane_.logits.slot[at];
      const int end = logits_of_slot(lane_.logits, *rows.num_logits, slot).end;
      DynamicTreeWriter<RowMath<float>>(state_, context_.sampling, tree_, slot)
          .take_pass(cache, lane_.logits, at, end);
      at = end;
    }
  }
}

void DynamicTreeDrafter::commit() {
  const CacheTable cache = lane_.self.table();
  for (int slot = 0; slot < state_.slots; ++slot) commit_tree_slot(state_, tree_, cache, slot);
}

DraftRows DynamicTreeDrafter::rows() const {
  return {reference_.data(), reference_unscaled_.data(), nullptr, Siblings::kFixed, false};
}

}  // namespace speccascade
