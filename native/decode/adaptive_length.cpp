#include "decode/adaptive_length.h"

namespace speccascade {

namespace {

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
          static_cast<float>(1.0 / kRowsPerRead)};
}

}  // namespace speccascade
