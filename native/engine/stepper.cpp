#include "engine/stepper.h"

#include "decode/adaptive_length.h"
#include "engine/clock.h"

namespace speccascade {

namespace {

size_t count(int n) { return static_cast<size_t>(n); }

LaneLimits lane_limits(const SessionLimits& limits, bool on_device) {
  return {limits.max_batch, limits.max_input_tokens, SlotTables::cache_rows(limits), !on_device};
}

DecoderPass::Limits target_limits(const SessionLimits& limits) {
  const int drafted = limits.draft.max_nodes();
  const int nodes = limits.max_prefix_tokens + drafted;
  return {limits.max_batch, limits.max_batch * nodes, limits.max_batch * (drafted + 1), nodes};
}

}  // namespace

Stepper::Stepper(const Model& target, const std::vector<const Model*>& drafters,
                 const SessionLimits& limits)
    : on_device_(DeviceStep::runs(limits, target, drafters)),
      drafters_(limits.draft.drafters()),
      tables_(limits, target.config.vocab_size, on_device_ ? target.device : nullptr),
      target_(target, lane_limits(limits, on_device_), target_limits(limits),
              limits.max_batch * (limits.draft.max_nodes() + 1)),
      drafter_(make_drafter(
          limits.draft, drafters,
          {tables_.sequences(), tables_.drafter_sampling(), lane_limits(limits, on_device_),
           limits.max_prefix_tokens, target.config.vocab_size, &target})),
      scratch_rows_(verify_scratch_rows(limits.traversal, limits.draft.max_path())),
      scratch_(host_rows(scratch_rows_)),
      weights_(limits.traversal ? count(limits.max_batch) * count(limits.draft.max_path()) : 0),
      one_hot_(host_rows(1)),
      pi_(drafters.empty() ? 0 : host_rows(limits.draft.max_nodes() + 1)),
      deferral_(count(limits.max_batch) * count(limits.draft.max_nodes() + 1)) {
  if (on_device_) {
    device_ = std::make_unique<DeviceStep>(limits, tables_, target_, drafter_.get());
  }
  if (!drafter_ || !limits.draft.follows_load) return;
  const Model* first = drafters.empty() ? nullptr : drafters[0];
  follower_.emplace(limits, static_cast<double>(step_costs(target, first).draft), sequences(),
                    *drafter_, max_encoder_rows());
}

size_t Stepper::host_rows(int per_slot) const {
  if (on_device_) return 0;
  return count(sequences().slots) * count(per_slot) * count(target_.model.config.vocab_size);
}

size_t Stepper::bytes() const {
  return target_.bytes() + (drafter_ ? drafter_->bytes() : 0) + scratch_.bytes() +
         weights_.bytes() + one_hot_.bytes() + pi_.bytes() + deferral_.bytes() + tables_.bytes() +
         (device_ ? device_->bytes() : 0);
}

void Stepper::encode(const std::vector<const std::vector<int32_t>*>& inputs,
                     const std::vector<int>& sources) {
  target_.encoder.run(inputs, sources);
  if (follower_) return follower_->keep(inputs, sources);
  if (drafter_) drafter_->encode(inputs, sources);
}

void Stepper::start(int slot, int source, const Request& request, uint64_t seed) {
  tables_.assign(slot, request, seed);
  target_.start(slot, source);
  if (drafter_) drafter_->start(slot, source);
  if (device_) device_->start(slot);
  if (follower_) follower_->start(slot, source, request);
}

void Stepper::stop(int slot) {
  if (follower_) follower_->stop(slot);
  tables_.clear(slot);
}

double Stepper::step() {
  LoadSample sample;
  const int64_t first_runs = GraphCache::first_runs();
  empty_drafts(sequences());
  if (follower_) follower_->limit_drafts(sample);
  if (device_ && sample.encoded > 0) device_->encoded();
  device_ ? step_on_device(sample) : step_on_host(sample);
  sample.typical = GraphCache::first_runs() == first_runs;
  if (follower_) follower_->learn(sample);
  return sample.encode_ms;
}

void Stepper::step_on_host(LoadSample& sample) {
  const double begin = now_ms();
  if (drafter_) drafter_->draft();
  const double drafted = now_ms();
  verify_rows(sequences(), target_.self.table(), target_.decoder.rows(), target_.logits,
              tables_.sampling());
  sample.target_rows = *target_.decoder.rows().num_rows;
  target_.run(tables_.sampling());
  verify();
  if (drafter_) drafter_->commit();
  commit(sequences(), target_.self.table());
  sample.target_ms = now_ms() - drafted;
  sample.draft_ms = drafted - begin;
}

void Stepper::step_on_device(LoadSample& sample) {
  device_->run();
  if (!follower_) return;
  sample.draft_ms = device_->draft_ms();
  sample.target_ms = device_->target_ms();
  sample.target_rows = follower_->target_rows();
}

void Stepper::verify() {
  speccascade::verify({.state = sequences(),
                       .sampling = tables_.sampling(),
                       .drafts = drafter_ ? drafter_->rows() : DraftRows{},
                       .vocabulary = target_.model.config.vocab_size,
                       .logits = target_.logits,
                       .target_logits = target_.decoder.logits(),
                       .target_probs = target_.probs.data(),
                       .target_unscaled = target_.unscaled.data(),
                       .target_best = target_.best.data(),
                       .target_status = target_.status.data(),
                       .target_log_sum = target_.log_sum.data(),
                       .pi = pi_.data(),
                       .deferral = deferral_.data(),
                       .scratch = scratch_.data(),
                       .one_hot = one_hot_.data(),
                       .scratch_rows = scratch_rows_,
                       .weights = weights_.data()},
                      target_.model.threads);
}

}  // namespace speccascade
