// A lane's distributions in the device's memory: the pass over the rows that were queued, and what
// their tokens are drawn from.
#pragma once

#include "decode/model_lane.h"
#include "engine/request.h"

namespace speccascade {

inline int rows_of(const SessionLimits& limits) {
  return limits.max_batch * (limits.draft.max_nodes() + 1);
}

class DeviceRows {
 public:
  // `rows`: of probabilities.
  DeviceRows(PassMemory& memory, ModelLane& lane, int slots, int rows);

  LogitRows logits() const;
  // What makes the distributions of the lane's last pass.
  DistributionArgs distribution(const SlotSampling& sampling) const;
  const float* probs(int64_t row) const { return probs_.data() + row * vocabulary_; }
  const float* unscaled(int64_t row) const { return unscaled_.data() + row * vocabulary_; }
  const int32_t* best() const { return field(4); }
  const int32_t* status() const { return field(5); }
  const float* log_sum() const { return log_sum_.data(); }

 private:
  int32_t* field(int index) const { return ints_.data() + index * max_logits_; }

  ModelLane& lane_;
  int64_t vocabulary_, max_logits_;
  PassArray<int32_t> ints_;
  PassArray<float> log_sum_, probs_, unscaled_;
};

}  // namespace speccascade
