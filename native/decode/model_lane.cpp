#include "decode/model_lane.h"

#include <algorithm>

namespace speccascade {

namespace {

// Rows encoded in one pass: enough to be efficient, few enough that decoding
// slots do not wait long.
constexpr int kEncoderRows = 1024;

size_t count(int n) { return static_cast<size_t>(n); }

}  // namespace

ModelLane::ModelLane(const Model& owner, const LaneLimits& limits, const DecoderPass::Limits& pass,
                     int rows)
    : model(owner),
      memory(model),
      cross(memory, model, limits.slots, limits.slots, limits.max_input),
      self(memory, model, limits.slots, limits.cache_rows),
      encoder(model, memory, std::max(limits.max_input, kEncoderRows), limits.slots, &cross),
      decoder(model, memory, pass, self, cross),
      logit_slot(count(pass.max_logits)),
      logit_node(count(pass.max_logits)),
      logit_output(count(pass.max_logits)),
      logit_out_row(count(pass.max_logits)),
      logit_first(count(limits.slots)),
      best(count(pass.max_logits)),
      status(count(pass.max_logits)),
      log_sum(count(pass.max_logits)),
      probs(limits.host_rows ? count(rows) * count(model.config.vocab_size) : 0),
      unscaled(probs.size()),
      logits{logit_slot.data(), logit_node.data(), logit_output.data(), logit_out_row.data(),
             logit_first.data()} {
  memory.allocate();
}

void ModelLane::start(int slot, int source) {
  self.reset(slot);
  cross.slot_source()[slot] = source;
}

void ModelLane::catch_up(const SequenceState& state, int slot, int end, int most) {
  const CacheTable cache = self.table();
  int32_t& consumed = cache.length[slot];
  for (int left = catch_up_passes(end - consumed, most); left > 0; --left) {
    *decoder.rows().num_rows = 0;
    *decoder.rows().num_logits = 0;
    append_positions(state, decoder.rows(), cache, slot, consumed, consumed + most);
    decoder.run();
    consumed += most;
  }
}

void ModelLane::run(const SlotSampling& sampling) {
  decoder.run();
  distribution_cpu({.logits = decoder.logits(),
                    .vocabulary = model.config.vocab_size,
                    .num_rows = decoder.rows().num_logits,
                    .max_rows = decoder.max_logits(),
                    .row_slot = logit_slot.data(),
                    .row_output = logit_output.data(),
                    .out_rows = logit_out_row.data(),
                    .slots = sampling,
                    .probs = probs.data(),
                    .unscaled = unscaled.data(),
                    .best = best.data(),
                    .log_sum = log_sum.data(),
                    .row_status = status.data()},
                   model.threads);
}

size_t ModelLane::bytes() const {
  return cross.bytes() + self.bytes() + encoder.bytes() + decoder.bytes() + probs.bytes() +
         unscaled.bytes();
}

}  // namespace speccascade
