#include "engine/device_drafter.h"

#include "engine/device_cascade_drafter.h"
#include "engine/device_copy_drafter.h"
#include "engine/device_level_drafter.h"
#include "engine/device_tree_drafter.h"

namespace speccascade {

bool drafts_on_device(const DraftPlan& plan) {
  return plan.kind != DraftKind::kCascade || DeviceCascadeDrafter::runs(plan);
}

std::unique_ptr<DeviceDrafter> make_device_drafter(const SessionLimits& limits, PassMemory& memory,
                                                   Drafter* drafter) {
  if (drafter == nullptr) return nullptr;
  if (limits.draft.kind == DraftKind::kCopy) {
    return std::make_unique<DeviceCopyDrafter>(limits, memory, static_cast<CopyDrafter&>(*drafter));
  }
  if (limits.draft.kind == DraftKind::kCascade) {
    return std::make_unique<DeviceCascadeDrafter>(limits, memory,
                                                  static_cast<CascadeDrafter&>(*drafter));
  }
  if (limits.draft.kind == DraftKind::kDynamicTree) {
    return std::make_unique<DeviceTreeDrafter>(limits, memory,
                                               static_cast<DynamicTreeDrafter&>(*drafter));
  }
  return std::make_unique<DeviceLevelDrafter>(limits, memory, static_cast<LevelDrafter&>(*drafter));
}

}  // namespace speccascade
