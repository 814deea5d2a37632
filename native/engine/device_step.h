// A step of a session whose models compute on one device: drafting, distributions, verification and
// commits as kernels (decode_cuda.h), queued without waiting on one stream between a copy down of
// what the host decides and a copy up of what the step came to. The host launches two graphs: the
// draft's, of which there is one for each number of rounds, and the target's; before them, where a
// drafter lags far behind, a third as often as that takes.
#pragma once

#include <memory>
#include <vector>

#include "base/graph_cache.h"
#include "decode/verify.h"
#include "engine/device_drafter.h"
#include "engine/device_rows.h"

namespace speccascade {

class DeviceStep {
 public:
  // Whether the kernels draft and verify for such sessions: one device, and a drafter that is
  // there on it (device_drafter.h).
  static bool runs(const SessionLimits& limits, const Model& target,
                   const std::vector<const Model*>& drafters);

  // `drafter`: the host's; null without one. All outlive the step. Throws ERR_OUT_OF_MEMORY.
  DeviceStep(const SessionLimits& limits, const SlotTables& tables, ModelLane& target,
             Drafter* drafter);

  // A sample begins in a slot, whose tables and caches the host has set.
  void start(int slot);
  // A drafter has encoded the input of a sample that began before.
  void encoded() { requests_changed_ = true; }
  // Drafts were emptied; afterwards the host's tables hold the outcome.
  void run();
  // Of the last step, on the device's clock; copies included.
  double draft_ms() const { return memory_.stream()->milliseconds(0, 1); }
  double target_ms() const { return memory_.stream()->milliseconds(1, 2); }
  size_t bytes() const { return memory_.arena_bytes(); }

 private:
  void send_requests();
  void send();
  void draft();
  void verify();
  void receive();

  const SlotTables& tables_;
  ModelLane& target_;
  PassMemory memory_;
  PassArray<char> device_tables_;
  DeviceRows target_rows_;
  std::unique_ptr<DeviceDrafter> drafter_;
  PassArray<TargetRow> verified_;
  int scratch_rows_;
  PassArray<float> deferral_, scratch_, weights_, one_hot_;
  TableViews views_ = {};
  bool requests_changed_ = true;
  GraphCache catch_up_, drafts_, verification_;  // one; by rounds; one
};

}  // namespace speccascade
