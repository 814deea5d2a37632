#include "engine/stepper.h"

#include <algorithm>

namespace speccascade {

namespace {

// Rows encoded in one pass: enough to be efficient, few enough that decoding
// slots do not wait long.
constexpr int kEncoderRows = 1024;

size_t count(int n) { return static_cast<size_t>(n); }

DecoderPass::Limits target_limits(const SessionLimits& limits) {
  const int nodes = limits.max_prefix_tokens + limits.draft_nodes();
  return {limits.max_batch, limits.max_batch * nodes, limits.max_batch * (limits.draft_nodes() + 1),
          nodes};
}

DecoderPass::Limits drafter_limits(const SessionLimits& limits) {
  // Once it has consumed the prefix, a drafter lags by two positions at most: the
  // last token, and an accepted leaf before it.
  const int pending = std::max(limits.max_prefix_tokens, 2);
  const int level = limits.largest_level();
  return {limits.max_batch, limits.max_batch * std::max(pending, level), limits.max_batch * level,
          std::max(pending, limits.draft_nodes())};
}

bool is_chain(const std::vector<int32_t>& widths) {
  return std::all_of(widths.begin(), widths.end(), [](int32_t width) { return width == 1; });
}

}  // namespace

ModelLane::ModelLane(const Model& owner, const SessionLimits& limits,
                     const DecoderPass::Limits& pass, int prob_rows)
    : model(owner),
      cross(model.config, limits.max_batch, limits.max_batch, limits.max_input_tokens),
      self(model.config, limits.max_batch, SlotTables::cache_rows(limits)),
      encoder(model, std::max(limits.max_input_tokens, kEncoderRows), limits.max_batch, &cross),
      decoder(model, pass, self, cross),
      logit_slot(count(pass.max_logits)),
      logit_node(count(pass.max_logits)),
      logit_output(count(pass.max_logits)),
      logit_out_row(count(pass.max_logits)),
      logit_first(count(limits.max_batch)),
      best(count(pass.max_logits)),
      status(count(pass.max_logits)),
      log_sum(count(pass.max_logits)),
      probs(count(prob_rows) * count(model.config.vocab_size)),
      unscaled(count(prob_rows) * count(model.config.vocab_size)),
      logits{logit_slot.data(), logit_node.data(), logit_output.data(), logit_out_row.data(),
             logit_first.data()} {}

void ModelLane::distribute(const SlotSampling& sampling, int threads) {
  distribution_cpu(
      {decoder.logits(), model.config.vocab_size, decoder.rows().num_logits, decoder.max_logits(),
       logit_slot.data(), logit_output.data(), logit_out_row.data(), sampling, probs.data(),
       unscaled.data(), best.data(), log_sum.data(), status.data()},
      threads);
}

size_t ModelLane::bytes() const {
  return cross.bytes() + self.bytes() + encoder.bytes() + decoder.bytes() + probs.bytes() +
         unscaled.bytes();
}

Stepper::Stepper(const Model& target, const Model* drafter, const SessionLimits& limits)
    : widths_(limits.draft_widths),
      shape_{limits.draft_levels(), widths_.data(), limits.draft_nodes(),
             limits.draft_replacement ? Siblings::kWithReplacement : Siblings::kWithoutReplacement,
             is_chain(limits.draft_widths)},
      tables_(limits, target.config.vocab_size),
      target_(target, limits, target_limits(limits), limits.max_batch * (limits.draft_nodes() + 1)),
      scratch_(2 * count(limits.max_batch) * count(target.config.vocab_size)),
      pi_(drafter == nullptr ? 0
                             : count(limits.max_batch) * count(limits.draft_nodes() + 1) *
                                   count(target.config.vocab_size)),
      deferral_(count(limits.max_batch) * count(limits.draft_nodes() + 1)),
      draft_calls_(count(limits.max_batch), 0) {
  if (drafter == nullptr) return;
  drafter_ = std::make_unique<ModelLane>(*drafter, limits, drafter_limits(limits),
                                         limits.max_batch * (limits.draft_nodes() + 1));
}

size_t Stepper::bytes() const {
  return target_.bytes() + (drafter_ ? drafter_->bytes() : 0) + scratch_.bytes() + pi_.bytes();
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

void Stepper::step() {
  draft();
  verify_rows(sequences(), target_.self.table(), target_.decoder.rows(), target_.logits);
  target_.decoder.run();
  target_.distribute(tables_.sampling(), target_.model.threads);
  verify();
  const CacheTable drafter = drafter_ ? drafter_->self.table() : CacheTable{};
  commit(sequences(), target_.self.table(), drafter_ ? &drafter : nullptr);
}

void Stepper::draft() {
  const SequenceState& state = sequences();
  std::fill(draft_calls_.begin(), draft_calls_.end(), 0);
  open_drafts(state, drafter_ != nullptr);
  if (!drafter_) return;
  const CacheTable cache = drafter_->self.table();
  const DecoderRows& rows = drafter_->decoder.rows();
  while (any_draft_open(state)) {
    draft_rows(state, tables_.sampling(), cache, rows, drafter_->logits);
    drafter_->decoder.run();
    drafter_->distribute(tables_.sampling(), drafter_->model.threads);
    count_draft_calls();
    extend_drafts(state, tables_.sampling(), shape_, cache, rows, drafter_->logits,
                  {drafter_->decoder.logits(), drafter_->probs.data(), drafter_->unscaled.data(),
                   drafter_->best.data(), drafter_->status.data(), scratch_.data(),
                   drafter_->model.config.vocab_size});
  }
}

// One pass per slot that has rows in it, however many.
void Stepper::count_draft_calls() {
  const int rows = *drafter_->decoder.rows().num_logits;
  const int32_t* slots = drafter_->logits.slot;
  for (int at = 0; at < rows; ++at) {
    if (at == 0 || slots[at] != slots[at - 1]) ++draft_calls_[count(slots[at])];
  }
}

void Stepper::verify() {
  speccascade::verify(
      {sequences(), tables_.sampling(), shape_, target_.model.config.vocab_size, target_.logits,
       target_.decoder.logits(), target_.probs.data(), target_.unscaled.data(), target_.best.data(),
       target_.status.data(), target_.log_sum.data(), drafter_ ? drafter_->probs.data() : nullptr,
       drafter_ ? drafter_->unscaled.data() : nullptr, pi_.data(), deferral_.data(),
       scratch_.data()},
      target_.model.threads);
}

}  // namespace speccascade
