#include "engine/device_model_drafter.h"

#include <algorithm>

#include "decode/decode_cuda.h"

namespace speccascade {

DeviceModelDrafter::DeviceModelDrafter(PassMemory& memory, ModelLane& lane,
                                       const AdaptiveLength& lengths, int slots, int most_positions,
                                       int rows)
    : memory_(memory),
      lane_(lane),
      lengths_(lengths),
      rows_(memory, lane, slots, rows),
      most_positions_(most_positions) {}

void DeviceModelDrafter::start(DeviceStream& stream, int slot) {
  lane_.self.slot_to_device(stream, slot);
}

int DeviceModelDrafter::catch_ups(const SequenceState& state) const {
  int most = 0;
  for (int slot = 0; slot < state.slots; ++slot) {
    if (passes_to_draft(state, lengths_, slot) == 0) continue;
    most = std::max(most, catch_up_passes(state.draft_lag[slot], most_positions_));
  }
  return most;
}

// Which slots draft is known when drafts are open.
void DeviceModelDrafter::queue_catch_up(DeviceStream& stream, const TableViews& tables) {
  void* queue = stream.handle();
  const SequenceState& state = tables.sequences;
  const CacheTable cache = lane_.self.device_table();
  open_drafts_cuda(state, lengths_.over(state), queue);
  catch_up_rows_cuda(state, cache, most_positions_, lane_.decoder.device_rows(), queue);
  lane_.decoder.queue(stream);
  caught_up_cuda(state, cache, most_positions_, queue);
}

int DeviceModelDrafter::rounds(const SequenceState& state) const {
  int most = 0;
  for (int slot = 0; slot < state.slots; ++slot) {
    most = std::max(most, passes_to_draft(state, lengths_, slot));
  }
  return most;
}

}  // namespace speccascade
