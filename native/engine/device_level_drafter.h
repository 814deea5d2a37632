// Chains and trees of a model on the device, level by level: decode/level_draft.h.
#pragma once

#include "decode/level_drafter.h"
#include "engine/device_model_drafter.h"

namespace speccascade {

class DeviceLevelDrafter : public DeviceModelDrafter {
 public:
  DeviceLevelDrafter(const SessionLimits& limits, PassMemory& memory, LevelDrafter& drafter);

  void fill() override;
  void queue_drafts(DeviceStream& stream, const TableViews& tables, int rounds) override;
  void queue_commit(DeviceStream& stream, const TableViews& tables) override;
  DraftRows rows() const override;

 private:
  LevelDrafter& drafter_;
  PassArray<float> scratch_;
  PassArray<const float*> proposal_;
  SharedArray<const float*> reference_;  // [2, slots, max_nodes + 1]: scaled, unscaled
  SharedArray<int32_t> widths_;
  bool loop_fits_ = false;
};

}  // namespace speccascade
