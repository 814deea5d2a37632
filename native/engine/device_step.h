// A step of a session whose models compute on one device: drafting, distributions, verification and
// commits as kernels (decode_cuda.h), queued without waiting on one stream between a copy down of
// what the host decides and a copy up of what the step came to.
#pragma once

#include <vector>

#include "decode/level_drafter.h"
#include "decode/verify.h"
#include "engine/slot_tables.h"

namespace speccascade {

// A lane's distributions, in the device's memory.
class DeviceRows {
 public:
  // `rows`: of probabilities.
  DeviceRows(PassMemory& memory, ModelLane& lane, int slots, int rows);

  LogitRows logits() const;
  // The pass over the rows that were queued, and its distributions.
  void queue(DeviceStream& stream, const SlotSampling& sampling) const;
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

class DeviceStep {
 public:
  // Whether the kernels draft and verify for such sessions: one device, and no drafter or one that
  // drafts levels of fixed lengths, which the load does not change.
  static bool runs(const SessionLimits& limits, const Model& target,
                   const std::vector<const Model*>& drafters);

  // `drafter`: null without one. All outlive the step. Throws ERR_OUT_OF_MEMORY.
  DeviceStep(const SessionLimits& limits, const SlotTables& tables, ModelLane& target,
             LevelDrafter* drafter);

  // A sample begins in a slot, whose tables and caches the host has set.
  void start(int slot);
  // Drafts were emptied; afterwards the host's tables hold the outcome.
  void run();
  size_t bytes() const { return memory_.arena_bytes(); }

 private:
  void send();
  void draft();
  void verify();
  void receive();
  int rounds() const;
  DraftRows drafted() const;
  void point_at_rows();

  const SlotTables& tables_;
  ModelLane& target_;
  LevelDrafter* drafter_;
  float confidence_;
  PassMemory memory_;
  PassArray<char> device_tables_;
  DeviceRows target_rows_;
  std::unique_ptr<DeviceRows> drafter_rows_;
  PassArray<float> pi_, deferral_, scratch_, one_hot_;
  PassArray<float> draft_scratch_;
  PassArray<const float*> proposal_;
  SharedArray<const float*> reference_;  // [2, slots, max_nodes + 1]: scaled, unscaled
  SharedArray<int32_t> widths_;
  TableViews views_ = {};
  bool requests_changed_ = true;
};

}  // namespace speccascade
