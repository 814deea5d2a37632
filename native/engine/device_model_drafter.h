// What the device's drafters of one model have in common: its distributions, and how it catches up.
#pragma once

#include "decode/adaptive_length.h"
#include "engine/device_drafter.h"
#include "engine/device_rows.h"

namespace speccascade {

class DeviceModelDrafter : public DeviceDrafter {
 public:
  // `most_positions`: committed ones that a pass takes; `rows`: of distributions, in `slots`.
  DeviceModelDrafter(PassMemory& memory, ModelLane& lane, const AdaptiveLength& lengths, int slots,
                     int most_positions, int rows);

  void start(DeviceStream& stream, int slot) override;
  void send_requests(DeviceStream& stream) override { lane_.cross.to_device(stream); }
  int catch_ups(const SequenceState& state) const override;
  void queue_catch_up(DeviceStream& stream, const TableViews& tables) override;
  // Passes of the longest draft, one more where a rule reads the rows behind it.
  int rounds(const SequenceState& state) const override;

 protected:
  PassMemory& memory_;
  ModelLane& lane_;
  const AdaptiveLength& lengths_;
  DeviceRows rows_;

 private:
  int most_positions_;
};

}  // namespace speccascade
