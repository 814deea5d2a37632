#include "decode/cascade_drafter.h"

#include <algorithm>

#include "decode/cascade_slot.h"
#include "ops/row_math.h"

namespace speccascade {

namespace {

using HostSlot = CascadeSlot<RowMath<float>, HostLanes>;

int most_behind(const DraftContext& context) {
  return cascade_most_behind(context.max_prefix, context.state.max_nodes);
}

DecoderPass::Limits pass_limits(const DraftContext& context) {
  const int nodes = most_behind(context) + context.state.max_nodes;
  const int slots = context.limits.slots;
  return {slots, slots * nodes, slots * (context.state.max_nodes + 1), nodes};
}

// Those of one draft, made for a row of the lengths.
void append_passes(const DraftPlan& plan, int row, int tokens, size_t most,
                   std::vector<int>& passes) {
  int given = 0;  // tokens, at least
  for (int stage = row; stage < plan.models(); ++stage) {
    for (int ask = 0; ask < plan.length(row, stage) && given < tokens; ++ask, ++given) {
      append_passes(plan, stage + 1, tokens - given - 1, most, passes);
      if (passes.size() >= most) return;
      passes.push_back(stage);
    }
  }
}

}  // namespace

std::vector<int> cascade_passes(const DraftPlan& plan, int tokens, size_t most) {
  std::vector<int> passes;
  append_passes(plan, 0, tokens, most, passes);
  return passes;
}

Cascade cascade_of(const DraftPlan& plan, const DraftContext& context) {
  Cascade cascade = {};
  cascade.models = plan.models();
  cascade.drafters = plan.drafters();
  cascade.copy_length = plan.copy_length;
  cascade.most_behind = most_behind(context);
  cascade.vocabulary = context.vocabulary;
  cascade.lenience = plan.lenience;
  if (cascade.lenient()) cascade.lenient_rule = {RuleKind::kLossy, 1.0 - 1.0 / plan.lenience, 1.0};
  return cascade;
}

CascadeDrafter::CascadeDrafter(const DraftPlan& plan, const std::vector<const Model*>& models,
                               const DraftContext& context)
    : Drafter(context),
      search_(context.state),
      adaptive_(plan.adaptive, step_costs(*context.target, models.empty() ? nullptr : models[0]),
                context.state),
      bigrams_(plan.bigrams),
      lengths_(plan.lengths),
      text_lengths_(static_cast<size_t>(copy_text_size(context.state))),
      scratch_(static_cast<size_t>(context.vocabulary)),
      one_hot_(static_cast<size_t>(context.vocabulary)),
      cascade_(cascade_of(plan, context)) {
  const auto slots = static_cast<size_t>(context.limits.slots);
  const auto nodes = static_cast<size_t>(context.state.max_nodes);
  const auto rows = static_cast<int>(slots * (nodes + 1));
  for (const Model* model : models) {
    lanes_.push_back(
        std::make_unique<ModelLane>(*model, context.limits, pass_limits(context), rows));
    const bool lenient = cascade_.lenient() && context.limits.host_rows;
    lenient_rows_.emplace_back(lenient ? lanes_.back()->probs.size() : 0);
    const ModelLane& lane = *lanes_.back();
    views_.push_back({lane.self.table(), lane.probs.data(), lane.unscaled.data(),
                      lenient_rows_.back().data(), lane.best.data(), lane.status.data()});
  }
  const bool has_rows = !lanes_.empty() && context.limits.host_rows;
  for (int row = 0; row < (has_rows ? rows : 0); ++row) {
    reference_.push_back(lanes_[0]->prob_row(row));
    reference_unscaled_.push_back(lanes_[0]->unscaled_row(row));
  }
  frames_.resize(slots * (models.size() + 1));
  turns_.resize(slots);
  drawn_by_.assign(slots * nodes, -1);
  proposal_.assign(slots * nodes, nullptr);
  cascade_.bigrams = {bigrams_.data(), static_cast<int>(bigrams_.size())};
  cascade_.lengths = lengths_.data();
  cascade_.lanes = views_.data();
  cascade_.frames = frames_.data();
  cascade_.turns = turns_.data();
  cascade_.drawn_by = drawn_by_.data();
  cascade_.proposal = proposal_.data();
  cascade_.text_lengths = text_lengths_.data();
  cascade_.scratch = scratch_.data();
  cascade_.one_hot = one_hot_.data();
}

void CascadeDrafter::encode(const std::vector<const std::vector<int32_t>*>& inputs,
                            const std::vector<int>& sources) {
  for (const auto& lane : lanes_) lane->encoder.run(inputs, sources);
}

void CascadeDrafter::start(int slot, int source) {
  for (const auto& lane : lanes_) lane->start(slot, source);
  adaptive_.start(slot);
}

void CascadeDrafter::draft() {
  for (int slot = 0; slot < state_.slots; ++slot) {
    HostSlot(state_, context_.sampling, cascade_, search_, adaptive_, slot).open();
  }
  // The smallest model first: slots that need a larger one gather there meanwhile.
  for (int model = deepest_wanted(); model >= 0; model = deepest_wanted()) run(model);
}

int CascadeDrafter::deepest_wanted() const {
  int model = -1;
  for (const CascadeTurn& turn : turns_) model = std::max(model, turn.waits_for);
  return model;
}

// One pass of a model for every slot that waits for it.
void CascadeDrafter::run(int model) {
  ModelLane& lane = *lanes_[static_cast<size_t>(model)];
  for (int slot = 0; slot < state_.slots; ++slot) {
    if (turns_[static_cast<size_t>(slot)].waits_for != model) continue;
    // The rows asked for come from the last pass.
    lane.catch_up(state_, slot, state_.length[slot] + first_place(cascade_, slot),
                  cascade_.most_behind);
  }
  const DecoderRows& rows = lane.decoder.rows();
  *rows.num_rows = 0;
  *rows.num_logits = 0;
  for (int slot = 0; slot < state_.slots; ++slot) {
    append_cascade_slot(state_, cascade_, rows, lane.logits, model, slot);
  }
  lane.run(context_.sampling);
  for_each_slot_run(lane.logits, *rows.num_logits, [&](int slot, int begin, int end) {
    HostSlot(state_, context_.sampling, cascade_, search_, adaptive_, slot)
        .take_pass(model, begin, end);
  });
}

void CascadeDrafter::commit() {
  for (int slot = 0; slot < state_.slots; ++slot) {
    if (state_.active[slot]) adaptive_.learn(state_, slot);
    commit_cascade_slot(state_, cascade_, slot);
  }
}

DraftRows CascadeDrafter::rows() const {
  return {reference_.data(), reference_unscaled_.data(), proposal_.data(), Siblings::kGiven, true};
}

size_t CascadeDrafter::bytes() const {
  size_t bytes = 0;
  for (const auto& lane : lanes_) bytes += lane->bytes();
  for (const auto& rows : lenient_rows_) bytes += rows.bytes();
  return bytes;
}

}  // namespace speccascade
