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
  DeviceModelDrafter(PassMemory& memory, const SequenceState& state, ModelLane& lane,
                     const AdaptiveLength& lengths, int most_positions, int rows);

  void start(DeviceStream& stream, int slot) override;
  void send_requests(DeviceStream& stream) override { lane_.cross.to_device(stream); }
  int catch_ups(const SequenceState& state) const override;
  void queue_catch_up(DeviceStream& stream, const TableViews& tables) override;
  // Passes of the longest draft, one more where a rule reads the rows behind it.
  int rounds(const SequenceState& state) const override;
  void finish() override;

 protected:
  // Positions of its draft that the drafter's cache kept, as the host's tables have it.
  virtual int kept(const SequenceState& state, int slot) const = 0;

  PassMemory& memory_;
  ModelLane& lane_;
  const AdaptiveLength& lengths_;
  DeviceRows rows_;

 private:
  const SequenceState& host_;
  int most_positions_;
  std::vector<int32_t> consumed_;  // [slots] positions that the device's cache holds
};

}  // namespace speccascade
