#include "decode/adaptive_length.h"

#include <algorithm>

namespace speccascade {

namespace {

// Upper ends of the confidence classes.
constexpr float kConfidenceEnds[AdaptiveLength::kCopyClass] = {0.3f,  0.5f,  0.7f, 0.85f,
                                                               0.95f, 0.99f, 2.0f};
// Before anything is known: calibrated drafters are right as often as they are sure.
constexpr float kPrior[AdaptiveLength::kClasses] = {0.25f, 0.4f,  0.6f,  0.75f,
                                                    0.88f, 0.95f, 0.98f, 0.4f};
constexpr float kPriorWeight = 6.0f;
// What was learned fades, so that a class that was given up is tried again.
constexpr float kMemory = 0.97f;
// A prior for the rate: this many steps of plain decoding.
constexpr float kPriorSteps = 2.0f;

// Multiply-adds per byte of weights at which a pass over bf16 weights takes as long for
// its arithmetic as for its reading.
constexpr double kBalance = 16.0;

// Weights that a decoder pass multiplies with.
double decoder_weights(const Model& model) {
  const T5Config& config = model.config;
  const double d = config.d_model, inner = config.inner(), wide = config.d_ff;
  const double layer = 6.0 * d * inner + (config.gated ? 3.0 : 2.0) * d * wide;
  return config.num_decoder_layers * layer + d * config.vocab_size;
}

}  // namespace

StepCosts step_costs(const Model& target, const Model* drafter) {
  const double whole = decoder_weights(target);
  return {drafter == nullptr ? 0.0f : static_cast<float>(decoder_weights(*drafter) / whole),
          static_cast<float>(1.0 / kBalance)};
}

AdaptiveLength::AdaptiveLength(const AdaptivePlan& plan, const StepCosts& costs, int slots,
                               int max_nodes)
    : plan_(plan),
      costs_(costs),
      max_nodes_(max_nodes),
      slots_(static_cast<size_t>(slots)),
      kinds_(static_cast<size_t>(slots) * static_cast<size_t>(max_nodes)) {}

void AdaptiveLength::start(int slot) {
  Slot& own = slots_[static_cast<size_t>(slot)];
  own = {};
  for (int kind = 0; kind < kClasses; ++kind) {
    own.tested[kind] = kPriorWeight;
    own.accepted[kind] = kPriorWeight * kPrior[kind];
  }
  own.tokens = own.time = kPriorSteps;
}

void AdaptiveLength::open(int slot) {
  slots_[static_cast<size_t>(slot)].reach = 1.0f;
  slots_[static_cast<size_t>(slot)].step_time = 1.0f;
}

bool AdaptiveLength::goes_on(int slot) const {
  if (!on()) return true;
  const Slot& own = slots_[static_cast<size_t>(slot)];
  const float gain = own.reach * mean_chance(own);
  return gain * own.time > own.tokens * (costs_.draft + costs_.position);
}

void AdaptiveLength::add(int slot, int node, float confidence) {
  int kind = 0;
  while (confidence >= kConfidenceEnds[kind]) ++kind;
  add_class(slot, node, kind);
}

void AdaptiveLength::add_class(int slot, int node, int kind) {
  Slot& own = slots_[static_cast<size_t>(slot)];
  slot_part(kinds_.data(), slot, max_nodes_)[node] = kind;
  own.reach *= chance(own, kind);
  own.step_time += costs_.position;
}

void AdaptiveLength::learn(const SequenceState& state, int slot) {
  if (!on()) return;
  Slot& own = slots_[static_cast<size_t>(slot)];
  for (int kind = 0; kind < kClasses; ++kind) {
    const float rest = own.tested[kind] - kPriorWeight;
    const float right = own.accepted[kind] - kPriorWeight * kPrior[kind];
    own.tested[kind] = kPriorWeight + kMemory * rest;
    own.accepted[kind] = kPriorWeight * kPrior[kind] + kMemory * right;
  }
  const int32_t* kinds = slot_part(kinds_.data(), slot, max_nodes_);
  for (int i = 0; i < state.tested[slot]; ++i) {
    ++own.tested[kinds[i]];
    if (i < state.accepted[slot]) ++own.accepted[kinds[i]];
  }
  own.tokens = kMemory * own.tokens + static_cast<float>(state.emitted[slot]);
  own.time = kMemory * own.time + own.step_time;
}

float AdaptiveLength::chance(const Slot& slot, int kind) const {
  return slot.accepted[kind] / slot.tested[kind];
}

// Over what was tested; before that, over a prior of 0.7.
float AdaptiveLength::mean_chance(const Slot& slot) const {
  float tested = kPriorWeight, accepted = kPriorWeight * 0.7f;
  for (int kind = 0; kind < kClasses; ++kind) {
    tested += slot.tested[kind] - kPriorWeight;
    accepted += slot.accepted[kind] - kPriorWeight * kPrior[kind];
  }
  return accepted / tested;
}

}  // namespace speccascade
