#include "base/cuda_launch.h"
#include "decode/copy_lanes_cuda.cuh"
#include "decode/decode_cuda.h"

namespace speccascade {

namespace {

constexpr int kThreads = 256;

// A block per slot.
SC_KERNEL(kThreads, 1)
copy_kernel(SequenceState state, SlotSampling sampling, CopyShape shape, CopyScratch scratch,
            AdaptiveLength lengths) {
  wait_for_previous();
  const int slot = block_index();
  BlockLanes lanes;
  const CopyScratch own = {slot_part(scratch.lengths, slot, copy_text_size(state)),
                           slot_part(scratch.path, slot, state.max_path)};
  CopyWriter<BlockLanes>(state, sampling, shape, own, lanes, lengths, slot).draft();
}

}  // namespace

void copy_drafts_cuda(const SequenceState& state, const SlotSampling& sampling,
                      const CopyShape& shape, const CopyScratch& scratch,
                      const AdaptiveLength& lengths, void* stream) {
  launch(waiting(state.slots, kThreads), stream, copy_kernel, state, sampling, shape, scratch,
         lengths);
}

}  // namespace speccascade
