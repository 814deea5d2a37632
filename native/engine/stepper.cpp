#include "engine/stepper.h"

namespace speccascade {

namespace {

size_t count(int n) { return static_cast<size_t>(n); }

LaneLimits lane_limits(const SessionLimits& limits) {
  return {limits.max_batch, limits.max_input_tokens, SlotTables::cache_rows(limits)};
}

DecoderPass::Limits target_limits(const SessionLimits& limits) {
  const int drafted = limits.draft.max_nodes();
  const int nodes = limits.max_prefix_tokens + drafted;
  return {limits.max_batch, limits.max_batch * nodes, limits.max_batch * (drafted + 1), nodes};
}

}  // namespace

Stepper::Stepper(const Model& target, const std::vector<const Model*>& drafters,
                 const SessionLimits& limits)
    : tables_(limits, target.config.vocab_size),
      target_(target, lane_limits(limits), target_limits(limits),
              limits.max_batch * (limits.draft.max_nodes() + 1)),
      drafter_(make_drafter(limits.draft, drafters,
                            {tables_.sequences(), tables_.drafter_sampling(), lane_limits(limits),
                             limits.max_prefix_tokens, target.config.vocab_size, &target})),
      scratch_(2 * count(limits.max_batch) * count(target.config.vocab_size)),
      one_hot_(count(limits.max_batch) * count(target.config.vocab_size)),
      pi_(drafters.empty() ? 0
                           : count(limits.max_batch) * count(limits.draft.max_nodes() + 1) *
                                 count(target.config.vocab_size)),
      deferral_(count(limits.max_batch) * count(limits.draft.max_nodes() + 1)) {}

size_t Stepper::bytes() const {
  return target_.bytes() + (drafter_ ? drafter_->bytes() : 0) + scratch_.bytes() +
         one_hot_.bytes() + pi_.bytes();
}

void Stepper::encode(const std::vector<const std::vector<int32_t>*>& inputs,
                     const std::vector<int>& sources) {
  target_.encoder.run(inputs, sources);
  if (drafter_) drafter_->encode(inputs, sources);
}

void Stepper::start(int slot, int source, const Request& request, uint64_t seed) {
  tables_.assign(slot, request, seed);
  target_.start(slot, source);
  if (drafter_) drafter_->start(slot, source);
}

void Stepper::step() {
  empty_drafts(sequences());
  if (drafter_) drafter_->draft();
  verify_rows(sequences(), target_.self.table(), target_.decoder.rows(), target_.logits,
              tables_.sampling());
  target_.run(tables_.sampling());
  verify();
  if (drafter_) drafter_->commit();
  commit(sequences(), target_.self.table());
}

void Stepper::verify() {
  speccascade::verify(
      {sequences(), tables_.sampling(), drafter_ ? drafter_->rows() : DraftRows{},
       target_.model.config.vocab_size, target_.logits, target_.decoder.logits(),
       target_.probs.data(), target_.unscaled.data(), target_.best.data(), target_.status.data(),
       target_.log_sum.data(), pi_.data(), deferral_.data(), scratch_.data(), one_hot_.data()},
      target_.model.threads);
}

}  // namespace speccascade
