// One model's side of a session: caches, passes, and the distributions of its logits.
#pragma once

#include <vector>

#include "base/buffer.h"
#include "decode/logit_rows.h"
#include "model/decoder_pass.h"
#include "model/encoder_pass.h"
#include "ops/sampling.h"

namespace speccascade {

// What the lanes of a session have in common.
struct LaneLimits {
  int slots;
  int max_input;          // tokens of an input
  int cache_rows;         // positions a slot's self-attention cache holds
  bool host_rows = true;  // distributions are made on the host, not by a device's whole step
};

// Committed positions per slot that a pass takes where drafters may lag.
constexpr int kLaggingPass = 16;

struct ModelLane {
  // `rows`: of `probs` and `unscaled`, if there are any on the host.
  ModelLane(const Model& model, const LaneLimits& limits, const DecoderPass::Limits& pass,
            int rows);

  // One slot begins to read a source that was encoded.
  void start(int slot, int source);
  // Consumes positions of a slot, in passes of their own, until at most `most` are left
  // before `end`: a model that was not asked for many steps has much to catch up with.
  void catch_up(const SequenceState& state, int slot, int end, int most);
  // The decoder pass over the rows that were appended, and its distributions.
  void run(const SlotSampling& sampling);
  size_t bytes() const;

  const float* prob_row(int64_t row) const { return probs.data() + row * model.config.vocab_size; }
  const float* unscaled_row(int64_t row) const {
    return unscaled.data() + row * model.config.vocab_size;
  }

  const Model& model;
  PassMemory memory;
  CrossCache cross;
  SelfCache self;
  EncoderPass encoder;
  DecoderPass decoder;
  Array<int32_t> logit_slot, logit_node, logit_output, logit_out_row, logit_first, best, status;
  Array<float> log_sum;
  Array<float> probs;     // [rows, vocabulary]
  Array<float> unscaled;  // likewise; untouched, so not resident, where nothing asks for it
  LogitRows logits;
};

}  // namespace speccascade
