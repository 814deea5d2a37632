// Chains and trees of a model on the device, level by level: decode/level_draft.h.
#pragma once

#include "decode/level_drafter.h"
#include "engine/device_drafter.h"
#include "engine/device_rows.h"

namespace speccascade {

class DeviceLevelDrafter : public DeviceDrafter {
 public:
  // `state`: the host's.
  DeviceLevelDrafter(const SessionLimits& limits, PassMemory& memory, const SequenceState& state,
                     LevelDrafter& drafter);

  void fill() override;
  void start(DeviceStream& stream, int slot) override;
  void send_requests(DeviceStream& stream) override;
  // Passes that the longest draft takes, one more where a rule reads the rows behind it; and those
  // that drafters catch up in, kMostPasses times.
  int rounds(const SequenceState& state) const override;
  void queue_drafts(DeviceStream& stream, const TableViews& tables, int rounds) override;
  void queue_commit(DeviceStream& stream, const TableViews& tables) override;
  DraftRows rows() const override;
  void finish() override;

 private:
  static constexpr int kMostPasses = kMaxDraftNodes + 2;

  PassMemory& memory_;
  LevelDrafter& drafter_;
  ModelLane& lane_;
  const SequenceState& host_;
  std::vector<int32_t> consumed_;  // [slots] positions that the device's cache holds
  DeviceRows rows_;
  PassArray<float> scratch_;
  PassArray<const float*> proposal_;
  SharedArray<const float*> reference_;  // [2, slots, max_nodes + 1]: scaled, unscaled
  SharedArray<int32_t> widths_;
};

}  // namespace speccascade
