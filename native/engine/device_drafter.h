// The first half of a step on the device: kernels that draft, behind one interface as the drafters
// of the host's loop are (decode/drafter.h). One file a drafter. Everything is queued on the step's
// stream without waiting, and reads what changes from the device's tables; the host decides the
// number of rounds alone.
#pragma once

#include <memory>
#include <vector>

#include "decode/drafter.h"
#include "engine/slot_tables.h"

namespace speccascade {

class DeviceDrafter {
 public:
  DeviceDrafter() = default;
  virtual ~DeviceDrafter() = default;
  DeviceDrafter(const DeviceDrafter&) = delete;
  DeviceDrafter& operator=(const DeviceDrafter&) = delete;

  // The step's memory, from which constructors took their arrays, was allocated: what never
  // changes is copied down.
  virtual void fill() = 0;
  // A sample begins in a slot, whose caches the host has set.
  virtual void start(DeviceStream& stream, int slot) = 0;
  // What requests bring goes down: one began since the last step.
  virtual void send_requests(DeviceStream& stream) = 0;
  // Passes in which drafters first consume what they lag behind by; from the host's tables, after
  // drafts were emptied.
  virtual int catch_ups(const SequenceState&) const { return 0; }
  // One of them; always the same, and recorded as one graph. `tables`: the device's, here and
  // below; what is written there, queue_drafts() does not rely on.
  virtual void queue_catch_up(DeviceStream&, const TableViews&) {}
  // A number >= 0 that decides all that this step queues beside those; from the host's tables, too.
  virtual int rounds(const SequenceState& state) const = 0;
  // Recorded as a graph for each number of rounds (DeviceStream::record):
  // what is launched, and with which arguments, depends on `rounds` alone.
  virtual void queue_drafts(DeviceStream& stream, const TableViews& tables, int rounds) = 0;
  // Verification was queued: caches keep what it accepted. Recorded too.
  virtual void queue_commit(DeviceStream& stream, const TableViews& tables) = 0;
  // Pointers to the device's memory.
  virtual DraftRows rows() const = 0;
};

// Whether kernels draft for such sessions.
bool drafts_on_device(const DraftPlan& plan);

// Null where the plan drafts nothing. `drafter` is the host's, whose lanes hold caches and passes;
// it outlives this one, and so does `memory`, which is not allocated yet.
std::unique_ptr<DeviceDrafter> make_device_drafter(const SessionLimits& limits, PassMemory& memory,
                                                   Drafter* drafter);

}  // namespace speccascade
