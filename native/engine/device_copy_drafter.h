// Max-Gram on the device: decode/copy_writer.h. One launch, and no model.
#pragma once

#include "decode/copy_drafter.h"
#include "engine/device_drafter.h"

namespace speccascade {

class DeviceCopyDrafter : public DeviceDrafter {
 public:
  DeviceCopyDrafter(const SessionLimits& limits, PassMemory& memory, CopyDrafter& drafter);

  void fill() override;
  void start(DeviceStream&, int) override {}
  void send_requests(DeviceStream&) override {}
  int rounds(const SequenceState&) const override { return 1; }
  void queue_drafts(DeviceStream& stream, const TableViews& tables, int rounds) override;
  void queue_commit(DeviceStream& stream, const TableViews& tables) override;
  DraftRows rows() const override;

 private:
  PassMemory& memory_;
  CopyDrafter& drafter_;
  SharedArray<int32_t> widths_, bigrams_;
  SharedArray<const float*> proposal_;  // [slots, max_nodes] all null: nothing is drawn
  PassArray<int32_t> lengths_, path_;
};

}  // namespace speccascade
