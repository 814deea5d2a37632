// A model's most probable paths on the device: decode/dynamic_tree_writer.h.
#pragma once

#include "decode/dynamic_tree_drafter.h"
#include "engine/device_model_drafter.h"

namespace speccascade {

class DeviceTreeDrafter : public DeviceModelDrafter {
 public:
  DeviceTreeDrafter(const SessionLimits& limits, PassMemory& memory, DynamicTreeDrafter& drafter);

  void fill() override {}
  void queue_drafts(DeviceStream& stream, const TableViews& tables, int rounds) override;
  void queue_commit(DeviceStream& stream, const TableViews& tables) override;
  DraftRows rows() const override;

 private:
  DynamicTree tree() const;

  int nodes_, depth_;
  PassArray<TreeCandidate> candidates_;
  PassArray<int32_t> places_, pool_size_, youngest_, frontier_, frontier_size_, cache_node_;
  PassArray<const float*> reference_, reference_unscaled_;  // [slots, max_nodes + 1]
};

}  // namespace speccascade
