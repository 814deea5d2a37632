// A cascade of models on the device: decode/cascade_slot.h. Which model a slot needs next is known
// there alone, so the passes that any draft may need are queued (cascade_passes()); one that no
// slot waits for has no rows, and its kernels end at once.
#pragma once

#include "decode/cascade_drafter.h"
#include "engine/device_drafter.h"
#include "engine/device_rows.h"

namespace speccascade {

class DeviceCascadeDrafter : public DeviceDrafter {
 public:
  // Passes of a step; cascades that may need more have the host's loop.
  static constexpr size_t kMostPasses = 64;
  static bool runs(const DraftPlan& plan) {
    return cascade_passes(plan, plan.max_nodes(), kMostPasses + 1).size() <= kMostPasses;
  }

  DeviceCascadeDrafter(const SessionLimits& limits, PassMemory& memory, CascadeDrafter& drafter);

  void fill() override;
  void start(DeviceStream& stream, int slot) override;
  void send_requests(DeviceStream& stream) override;
  int catch_ups(const SequenceState& state) const override;
  void queue_catch_up(DeviceStream& stream, const TableViews& tables) override;
  // Made of what decides which passes are queued: the longest draft, and whether a rule reads rows
  // behind it.
  int rounds(const SequenceState& state) const override;
  void queue_drafts(DeviceStream& stream, const TableViews& tables, int rounds) override;
  void queue_commit(DeviceStream& stream, const TableViews& tables) override;
  DraftRows rows() const override;

 private:
  void queue_lag(DeviceStream& stream, const TableViews& tables, int model);
  void queue_pass(DeviceStream& stream, const TableViews& tables, int model);
  const DeviceRows& rows_of(int model) const { return *rows_[static_cast<size_t>(model)]; }

  DraftPlan plan_;
  PassMemory& memory_;
  CascadeDrafter& drafter_;
  size_t lenient_size_;  // of a model's rows
  std::vector<std::unique_ptr<DeviceRows>> rows_;
  SharedArray<CascadeLane> lanes_;
  SharedArray<const float*> reference_;  // [2, slots, max_nodes + 1]: scaled, unscaled
  SharedArray<int32_t> lengths_, bigrams_;
  PassArray<CascadeFrame> frames_;
  PassArray<CascadeTurn> turns_;
  PassArray<int32_t> drawn_by_, text_lengths_;
  PassArray<const float*> proposal_;
  PassArray<float> lenient_, scratch_, one_hot_;
  Cascade cascade_;
};

}  // namespace speccascade
