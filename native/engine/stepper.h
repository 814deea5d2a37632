// The draft-verify-commit loop over all slots of a session, one step at a time.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "decode/drafter.h"
#include "decode/model_lane.h"
#include "decode/verify.h"
#include "engine/device_step.h"
#include "engine/load_follower.h"
#include "engine/request.h"
#include "engine/slot_tables.h"

namespace speccascade {

class Stepper {
 public:
  // The models outlive the stepper, have the same vocabulary, and are as many as the
  // limits' draft says.
  Stepper(const Model& target, const std::vector<const Model*>& drafters,
          const SessionLimits& limits);

  // Encodes inputs (rows together at most max_encoder_rows) into sources.
  void encode(const std::vector<const std::vector<int32_t>*>& inputs,
              const std::vector<int>& sources);
  int max_encoder_rows() const { return target_.encoder.max_rows(); }

  // Starts a sample in a free slot, reading from a source that was encoded.
  void start(int slot, int source, const Request& request, uint64_t seed);
  void stop(int slot);

  // One step: drafts, one target pass, verification, commit. Afterwards
  // sequences() holds each active slot's outcome. Returns the milliseconds in it that drafters
  // took to encode inputs, those of slots of which encoded_now() is true.
  double step();
  bool encoded_now(int slot) const { return follower_ && follower_->encoded_now(slot); }

  const SequenceState& sequences() const { return tables_.sequences(); }
  // How many drafters there are, and the passes of each in the slot's last step.
  int drafters() const { return drafters_; }
  const int32_t* draft_calls(int slot) const {
    return slot_part(sequences().draft_passes, slot, drafters_);
  }
  size_t bytes() const;
  // Where whole steps run on the device, with times of the last one; null elsewhere.
  const DeviceStep* device_step() const { return device_.get(); }

 private:
  void step_on_host(LoadSample& sample);
  void step_on_device(LoadSample& sample);
  void verify();
  // Entries of arrays with so many rows of the vocabulary a slot; none where a device has them.
  size_t host_rows(int per_slot) const;

  bool on_device_;  // kernels draft and verify
  int drafters_;
  SlotTables tables_;
  ModelLane target_;
  std::unique_ptr<Drafter> drafter_;
  std::unique_ptr<DeviceStep> device_;    // null where they do not
  std::optional<LoadFollower> follower_;  // in sessions whose drafts follow the load
  int scratch_rows_;
  Array<float> scratch_, weights_, one_hot_, pi_, deferral_;
};

}  // namespace speccascade
