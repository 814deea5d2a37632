#include "decode/dynamic_tree_drafter.h"

#include "decode/dynamic_tree_writer.h"
#include "ops/row_math.h"

namespace speccascade {

DynamicTreeDrafter::DynamicTreeDrafter(const DraftPlan& plan, const Model& model,
                                       const DraftContext& context)
    : ModelDrafter(plan, model, context,
                   {plan.nodes, tree_computed_nodes(plan.nodes, plan.depth),
                    tree_computed_nodes(plan.nodes, plan.depth)}),
      candidates_(area(context.limits.slots, tree_candidates(plan.nodes))),
      places_(candidates_.size()),
      pool_size_(static_cast<size_t>(context.limits.slots)),
      youngest_(pool_size_.size()),
      frontier_(area(context.limits.slots, plan.nodes)),
      frontier_size_(pool_size_.size()),
      cache_node_(frontier_.size()),
      reference_(area(context.limits.slots, plan.nodes + 1)),
      reference_unscaled_(reference_.size()),
      tree_{.budget = plan.nodes,
            .depth = plan.depth,
            .beam = tree_beam(plan.nodes),
            .computed = tree_computed_nodes(plan.nodes, plan.depth),
            .vocabulary = context.vocabulary,
            .candidates = candidates_.data(),
            .places = places_.data(),
            .pool_size = pool_size_.data(),
            .youngest = youngest_.data(),
            .frontier = frontier_.data(),
            .frontier_size = frontier_size_.data(),
            .cache_node = cache_node_.data(),
            .probs = lane_.probs.data(),
            .unscaled = lane_.unscaled.data(),
            .row_status = lane_.status.data(),
            .reference = reference_.data(),
            .reference_unscaled = reference_unscaled_.data()} {}

void DynamicTreeDrafter::append_rows(const CacheTable& cache, const DecoderRows& rows) {
  *rows.num_rows = 0;
  *rows.num_logits = 0;
  for (int slot = 0; slot < state_.slots; ++slot) {
    append_tree_slot(state_, tree_, cache, rows, lane_.logits, slot);
  }
}

void DynamicTreeDrafter::extend(const CacheTable& cache, const DecoderRows& rows) {
  for_each_slot_run(lane_.logits, *rows.num_logits, [&](int slot, int begin, int end) {
    DynamicTreeWriter<RowMath<float>>(state_, context_.sampling, tree_, slot)
        .take_pass(cache, lane_.logits, begin, end);
  });
}

void DynamicTreeDrafter::commit() {
  const CacheTable cache = lane_.self.table();
  for (int slot = 0; slot < state_.slots; ++slot) commit_tree_slot(state_, tree_, cache, slot);
}

DraftRows DynamicTreeDrafter::rows() const {
  return {reference_.data(), reference_unscaled_.data(), nullptr, Siblings::kFixed, false};
}

}  // namespace speccascade
