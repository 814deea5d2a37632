#include "engine/stepper.h"

#include <algorithm>

namespace speccascade {

namespace {

// Rows encoded in one pass: enough to be efficient, few enough that decoding
// slots do not wait long.
constexpr int kEncoderRows = 1024;

size_t count(int n) { return static_cast<size_t>(n); }

}  // namespace

ModelLane::ModelLane(const Model& owner, const SessionLimits& limits, int max_rows,
                     int max_logits, int prob_rows)
    : model(owner),
      cross(model.config, limits.max_batch, limits.max_batch, limits.max_input_tokens),
      self(model.config, limits.max_batch, SlotTables::cache_rows(limits)),
      encoder(model, std::max(limits.max_input_tokens, kEncoderRows), limits.max_batch, &cross),
      decoder(model, max_rows, max_logits, self, cross),
      logit_slot(count(max_logits)),
      logit_output(count(max_logits)),
      logit_out_row(count(max_logits)),
      logit_first(count(limits.max_batch)),
      best(count(max_logits)),
      status(count(max_logits)),
      log_sum(count(max_logits)),
      probs(count(prob_rows) * count(model.config.vocab_size)),
      unscaled(count(prob_rows) * count(model.config.vocab_size)),
      logits{logit_slot.data(), logit_output.data(), logit_out_row.data(), logit_first.data()} {}

void ModelLane::distribute(const SlotSampling& sampling, int threads) {
  distribution_cpu({decoder.logits(), model.config.vocab_size, decoder.rows().num_logits,
                    decoder.max_logits(), logit_slot.data(), logit_output.data(),
                    logit_out_row.data(), sampling, probs.data(), unscaled.data(), best.data(), log_sum.data(),
                    status.data()},
                   threads);
}

size_t ModelLane::bytes() const {
  return cross.bytes() + self.bytes() + encoder.bytes() + decoder.bytes() + probs.bytes() +
         unscaled.bytes();
}

Stepper::Stepper(const Model& target, const Model* drafter, const SessionLimits& limits)
    : tables_(limits, target.config.vocab_size),
      target_(target, limits,
              limits.max_batch * (limits.max_prefix_tokens + limits.draft_length + 1),
              limits.max_batch * (limits.draft_length + 1),
              limits.max_batch * (limits.draft_length + 1)),
      scratch_(count(limits.max_batch) * count(target.config.vocab_size)),
      pi_(drafter == nullptr ? 0
                             : count(limits.max_batch) * count(limits.draft_length + 1) *
                                   count(target.config.vocab_size)),
      deferral_(count(limits.max_batch) * count(limits.draft_length + 1)),
      draft_calls_(count(limits.max_batch), 0) {
  if (drafter == nullptr) return;
  // A drafter lags by one position at most once it has consumed the prefix.
  drafter_ = std::make_unique<ModelLane>(
      *drafter, limits, limits.max_batch * (limits.max_prefix_tokens + 2), limits.max_batch,
      limits.max_batch * (limits.draft_length + 1));
}

size_t Stepper::bytes() const {
  return target_.bytes() + (drafter_ ? drafter_->bytes() : 0) + scratch_.bytes() +
         pi_.bytes();
}

void Stepper::encode(const std::vector<const std::vector<int32_t>*>& inputs,
                     const std::vector<int>& sources) {
  target_.encoder.run(inputs, sources);
  if (drafter_) drafter_->encoder.run(inputs, sources);
}

void Stepper::start(int slot, int source, const Request& request, uint64_t seed) {
  tables_.assign(slot, request, seed);
  for (ModelLane* lane : {&target_, drafter_.get()}) {
    if (lane == nullptr) continue;
    lane->self.reset(slot);
    lane->cross.slot_source()[slot] = source;
  }
}

int Stepper::step() {
  const int calls = draft();
  verify();
  const CacheTable drafter = drafter_ ? drafter_->self.table() : CacheTable{};
  commit(sequences(), target_.self.table(), drafter_ ? &drafter : nullptr);
  return calls;
}

int Stepper::draft() {
  const SequenceState& state = sequences();
  std::fill(draft_calls_.begin(), draft_calls_.end(), 0);
  open_drafts(state, drafter_ != nullptr);
  if (!drafter_) return 0;
  const CacheTable cache = drafter_->self.table();
  const DecoderRows& rows = drafter_->decoder.rows();
  int calls = 0;
  for (; any_draft_open(state); ++calls) {
    draft_rows(state, cache, rows, drafter_->logits);
    drafter_->decoder.run();
    drafter_->distribute(tables_.sampling(), drafter_->model.threads);
    for (int at = 0; at < *rows.num_logits; ++at) {
      ++draft_calls_[static_cast<size_t>(drafter_->logits.slot[at])];
    }
    extend_drafts(state, tables_.sampling(), cache, rows, drafter_->logits,
                  {drafter_->probs.data(), drafter_->unscaled.data(), drafter_->best.data(),
                   drafter_->status.data(), drafter_->model.config.vocab_size});
  }
  return calls;
}

void Stepper::verify() {
  verify_rows(sequences(), target_.self.table(), target_.decoder.rows(), target_.logits);
  target_.decoder.run();
  target_.distribute(tables_.sampling(), target_.model.threads);
  verify_chains({sequences(), tables_.sampling(), target_.model.config.vocab_size, target_.logits,
                 target_.decoder.logits(), target_.probs.data(), target_.best.data(),
                 target_.status.data(), target_.log_sum.data(), target_.unscaled.data(),
                 drafter_ ? drafter_->probs.data() : nullptr,
                 drafter_ ? drafter_->unscaled.data() : nullptr, pi_.data(), deferral_.data(),
                 scratch_.data()},
                target_.model.threads);
}

}  // namespace speccascade
