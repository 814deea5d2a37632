#include "engine/device_model_drafter.h"

#include <algorithm>

#include "decode/decode_cuda.h"

namespace speccascade {

DeviceModelDrafter::DeviceModelDrafter(PassMemory& memory, const SequenceState& state,
                                       Drafter& drafter, ModelLane& lane,
                                       const AdaptiveLength& lengths, int most_positions, int rows)
    : memory_(memory),
      lane_(lane),
      lengths_(lengths),
      rows_(memory, lane, state.slots, rows),
      host_(state),
      drafter_(drafter),
      most_positions_(most_positions),
      consumed_(static_cast<size_t>(state.slots)) {}

void DeviceModelDrafter::start(DeviceStream& stream, int slot) {
  lane_.self.slot_to_device(stream, slot);
  consumed_[static_cast<size_t>(slot)] = 0;
}

int DeviceModelDrafter::rounds(const SequenceState& state) const {
  int drafting = 0, catching_up = 0;
  for (int slot = 0; slot < state.slots; ++slot) {
    const int passes = passes_to_draft(state, lengths_, slot);
    if (passes == 0) continue;
    const int lag = state.length[slot] - consumed_[static_cast<size_t>(slot)];
    drafting = std::max(drafting, passes);
    catching_up = std::max(catching_up, (lag - 1) / most_positions_);
  }
  return catching_up * kMostPasses + drafting;
}

int DeviceModelDrafter::queue_opening(DeviceStream& stream, const SequenceState& state,
                                      int rounds) {
  void* queue = stream.handle();
  const CacheTable cache = lane_.self.device_table();
  open_drafts_cuda(state, lengths_.over(state), queue);
  for (int pass = 0; pass < rounds / kMostPasses; ++pass) {
    catch_up_rows_cuda(state, cache, most_positions_, lane_.decoder.device_rows(), queue);
    lane_.decoder.queue(stream);
    caught_up_cuda(state, cache, most_positions_, queue);
  }
  return rounds % kMostPasses;
}

void DeviceModelDrafter::finish() {
  drafter_.count_drafted();
  for (int slot = 0; slot < host_.slots; ++slot) {
    if (!host_.active[slot] || host_.draft_passes[slot] == 0) continue;
    const int before = host_.length[slot] - host_.emitted[slot];
    consumed_[static_cast<size_t>(slot)] = before + kept(host_, slot);
  }
}

}  // namespace speccascade
