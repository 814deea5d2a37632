#include "engine/stepper.h"

#include <algorithm>
#include <chrono>

#include "decode/adaptive_length.h"

namespace speccascade {

namespace {

using Clock = std::chrono::steady_clock;

size_t count(int n) { return static_cast<size_t>(n); }

double ms_between(Clock::time_point begin, Clock::time_point end) {
  return std::chrono::duration<double, std::milli>(end - begin).count();
}

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
      tables_(limits, target.config.vocab_size, on_device_ ? target.device : nullptr),
      target_(target, lane_limits(limits, on_device_), target_limits(limits),
              limits.max_batch * (limits.draft.max_nodes() + 1)),
      drafter_(make_drafter(
          limits.draft, drafters,
          {tables_.sequences(), tables_.drafter_sampling(), lane_limits(limits, on_device_),
           limits.max_prefix_tokens, target.config.vocab_size, &target})),
      reproducible_(limits.reproducible),
      followers_(count(limits.max_batch)),
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
  sources_.resize(count(limits.max_batch));
  const Model* first = drafters.empty() ? nullptr : drafters[0];
  lengths_.emplace(limits.draft, static_cast<double>(step_costs(target, first).draft));
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
  if (!drafter_) return;
  if (!lengths_) return drafter_->encode(inputs, sources);
  for (size_t i = 0; i < inputs.size(); ++i) {
    sources_[count(sources[i])] = {*inputs[i], false};
  }
}

void Stepper::start(int slot, int source, const Request& request, uint64_t seed) {
  tables_.assign(slot, request, seed);
  target_.start(slot, source);
  if (drafter_) drafter_->start(slot, source);
  if (device_) device_->start(slot);
  if (!lengths_) return;
  const bool any_length = !reads_drafter(request.rule.kind);
  const bool may_vary = request.temperature == 0.0f || !reproducible_;
  followers_[count(slot)] = {any_length && may_vary, source, 0};
}

void Stepper::stop(int slot) {
  const SequenceState& state = sequences();
  if (lengths_) lengths_->learn_end(state.length[slot] - state.prefix_length[slot]);
  tables_.clear(slot);
}

void Stepper::step() {
  LoadSample sample;
  const int64_t first_runs = GraphCache::first_runs();
  empty_drafts(sequences());
  if (lengths_) {
    limit_drafts();
    encode_drafters(sample);
  }
  device_ ? step_on_device(sample) : step_on_host(sample);
  sample.typical = GraphCache::first_runs() == first_runs;
  if (lengths_) learn(sample);
}

void Stepper::step_on_host(LoadSample& sample) {
  const auto begin = Clock::now();
  if (drafter_) drafter_->draft();
  const auto drafted = Clock::now();
  verify_rows(sequences(), target_.self.table(), target_.decoder.rows(), target_.logits,
              tables_.sampling());
  sample.target_rows = *target_.decoder.rows().num_rows;
  target_.run(tables_.sampling());
  verify();
  if (drafter_) drafter_->commit();
  commit(sequences(), target_.self.table());
  sample.target_ms = ms_between(drafted, Clock::now());
  sample.draft_ms = ms_between(begin, drafted);
}

void Stepper::step_on_device(LoadSample& sample) {
  device_->run();
  if (!lengths_) return;
  sample.draft_ms = device_->draft_ms();
  sample.target_ms = device_->target_ms();
  const SequenceState& state = sequences();
  for (int slot = 0; slot < state.slots; ++slot) {
    if (!state.active[slot]) continue;
    // The first step of a sample consumes its prefix, later ones the last token.
    const int pending = state.step[slot] == 1 ? state.prefix_length[slot] : 1;
    sample.target_rows += pending + state.draft_count[slot];
  }
}

// A drafter that has far to catch up costs more than it gives before the output ends,
// unless few others wait for it.
bool Stepper::may_draft(int slot, int followers) const {
  const SequenceState& state = sequences();
  const Follower& own = followers_[count(slot)];
  return followers <= 4 || state.length[slot] - own.drafted_to <= 2 * kLaggingPass;
}

// Cuts the drafts of slots that follow the load; those that have the least to catch up
// with draft first.
void Stepper::limit_drafts() {
  const SequenceState& state = sequences();
  std::vector<int> slots;
  int others = 0;
  for (int slot = 0; slot < state.slots; ++slot) {
    if (!state.active[slot]) continue;
    if (followers_[count(slot)].follows) {
      slots.push_back(slot);
    } else {
      others += 1 + state.draft_limit[slot];
    }
  }
  const LoadChoice choice = lengths_->choose(static_cast<int>(slots.size()), others);
  const auto lag = [&](int slot) {
    return state.length[slot] - followers_[count(slot)].drafted_to;
  };
  const auto encoded = [&](int slot) {
    return sources_[count(followers_[count(slot)].source)].encoded;
  };
  if (choice.slots > 0) {
    std::stable_sort(slots.begin(), slots.end(), [&](int a, int b) {
      return encoded(a) != encoded(b) ? encoded(a) : lag(a) < lag(b);
    });
  }
  int drafting = 0;
  for (const int slot : slots) {
    const bool drafts = drafting < choice.slots && may_draft(slot, static_cast<int>(slots.size()));
    state.draft_limit[slot] = drafts ? std::min(state.draft_limit[slot], choice.levels) : 0;
    drafting += drafts ? 1 : 0;
  }
}

// The inputs that this step's drafts read and no drafter has encoded yet.
void Stepper::encode_drafters(LoadSample& sample) {
  const SequenceState& state = sequences();
  const auto begin = Clock::now();
  std::vector<const std::vector<int32_t>*> inputs;
  std::vector<int> sources;
  int rows = 0;
  const auto run = [&] {
    if (!inputs.empty()) drafter_->encode(inputs, sources);
    inputs.clear();
    sources.clear();
    rows = 0;
  };
  for (int slot = 0; slot < state.slots; ++slot) {
    if (!state.active[slot]) continue;
    if (state.draft_limit[slot] == 0 && !reads_drafter(state.rule[slot].kind)) continue;
    Source& source = sources_[count(followers_[count(slot)].source)];
    if (source.encoded) continue;
    if (rows + static_cast<int>(source.input.size()) > max_encoder_rows()) run();
    rows += static_cast<int>(source.input.size());
    inputs.push_back(&source.input);
    sources.push_back(followers_[count(slot)].source);
    source.encoded = true;
    ++sample.encoded;
  }
  run();
  if (device_ && sample.encoded > 0) device_->encoded();
  sample.encode_ms = sample.encoded > 0 ? ms_between(begin, Clock::now()) : 0.0;
}

void Stepper::learn(LoadSample& sample) {
  const SequenceState& state = sequences();
  for (int slot = 0; slot < state.slots; ++slot) {
    if (!state.active[slot]) continue;
    Follower& own = followers_[count(slot)];
    if (own.follows) sample.tokens += state.emitted[slot];
    if (state.draft_count[slot] == 0) continue;
    own.drafted_to = state.length[slot] - state.emitted[slot];
    const int32_t* depths = slot_part(state.draft_depth, slot, state.max_nodes);
    const int levels = 1 + depths[state.draft_count[slot] - 1];
    sample.draft_levels = std::max(sample.draft_levels, levels);
    ++sample.draft_slots;
    if (own.follows) lengths_->learn_levels(state.tested[slot], state.accepted[slot]);
  }
  lengths_->learn(sample);
}

void Stepper::verify() {
  speccascade::verify({sequences(), tables_.sampling(), drafter_ ? drafter_->rows() : DraftRows{},
                       target_.model.config.vocab_size, target_.logits, target_.decoder.logits(),
                       target_.probs.data(), target_.unscaled.data(), target_.best.data(),
                       target_.status.data(), target_.log_sum.data(), pi_.data(), deferral_.data(),
                       scratch_.data(), one_hot_.data(), nullptr, scratch_rows_, weights_.data()},
                      target_.model.threads);
}

}  // namespace speccascade
