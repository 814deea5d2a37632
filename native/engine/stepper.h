// The draft-verify-commit loop over all slots of a session, one step at a time.
#pragma once

#include <memory>
#include <vector>

#include "decode/draft.h"
#include "decode/verify.h"
#include "engine/request.h"
#include "engine/slot_tables.h"
#include "model/decoder_pass.h"
#include "model/encoder_pass.h"

namespace speccascade {

// One model's side of a session: caches, passes, and the rows its logits fill.
struct ModelLane {
  ModelLane(const Model& model, const SessionLimits& limits, const DecoderPass::Limits& pass,
            int prob_rows);

  // Computes the distributions of the last pass's logits.
  void distribute(const SlotSampling& sampling, int threads);
  size_t bytes() const;

  const Model& model;
  CrossCache cross;
  SelfCache self;
  EncoderPass encoder;
  DecoderPass decoder;
  Array<int32_t> logit_slot, logit_node, logit_output, logit_out_row, logit_first, best, status;
  Array<float> log_sum;
  Array<float> probs;     // [prob_rows, vocabulary]
  Array<float> unscaled;  // likewise; untouched, so not resident, without rules
  LogitRows logits;
};

class Stepper {
 public:
  // `drafter` is null without speculation. Both models outlive the stepper and
  // have the same vocabulary.
  Stepper(const Model& target, const Model* drafter, const SessionLimits& limits);

  // Encodes inputs (rows together at most max_encoder_rows) into sources.
  void encode(const std::vector<const std::vector<int32_t>*>& inputs,
              const std::vector<int>& sources);
  int max_encoder_rows() const { return target_.encoder.max_rows(); }

  // Starts a sample in a free slot, reading from a source that was encoded.
  void start(int slot, int source, const Request& request, uint64_t seed);
  void stop(int slot) { tables_.clear(slot); }

  // One step: drafts, one target pass, verification, commit. Afterwards
  // sequences() holds each active slot's outcome.
  void step();

  const SequenceState& sequences() const { return tables_.sequences(); }
  // Drafter passes of the last step that a slot took part in.
  int draft_calls(int slot) const { return draft_calls_[static_cast<size_t>(slot)]; }
  size_t bytes() const;

 private:
  void draft();
  void count_draft_calls();
  void verify();

  std::vector<int32_t> widths_;
  DraftShape shape_;
  SlotTables tables_;
  ModelLane target_;
  std::unique_ptr<ModelLane> drafter_;
  Array<float> scratch_, pi_, deferral_;
  std::vector<int> draft_calls_;
};

}  // namespace speccascade
