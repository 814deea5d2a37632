// What the device's drafters of one model have in common: its distributions, and how far its cache
// lags behind.
#pragma once

#include "decode/adaptive_length.h"
#include "engine/device_drafter.h"
#include "engine/device_rows.h"

namespace speccascade {

class DeviceModelDrafter : public DeviceDrafter {
 public:
  // `state`: the host's; `most_positions`: committed ones that a pass takes; `rows`: of
  // distributions.
  DeviceModelDrafter(PassMemory& memory, const SequenceState& state, Drafter& drafter,
                     ModelLane& lane, const AdaptiveLength& lengths, int most_positions, int rows);

  void start(DeviceStream& stream, int slot) override;
  void send_requests(DeviceStream& stream) override { lane_.cross.to_device(stream); }
  // The passes that drafters catch up in, times kMostPasses, and those of the longest draft (one
  // more where a rule reads the rows behind it).
  int rounds(const SequenceState& state) const override;
  void finish() override;

 protected:
  static constexpr int kMostPasses = kMaxDraftNodes + 2;

  // Opens drafts and catches up; returns the passes that are left of `rounds`.
  int queue_opening(DeviceStream& stream, const SequenceState& state, int rounds);
  // Positions of its draft that the drafter's cache kept, as the host's tables have it.
  virtual int kept(const SequenceState& state, int slot) const = 0;

  PassMemory& memory_;
  ModelLane& lane_;
  const AdaptiveLength& lengths_;
  DeviceRows rows_;

 private:
  const SequenceState& host_;
  Drafter& drafter_;
  int most_positions_;
  std::vector<int32_t> consumed_;  // [slots] positions that the device's cache holds
};

}  // namespace speccascade
