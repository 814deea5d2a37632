#include "base/cuda_launch.h"
#include "decode/decode_cuda.h"
#include "decode/level_draft_cuda.cuh"
#include "decode/slot_threads_cuda.cuh"

namespace speccascade {

namespace {

SC_KERNEL(kSlotThreads) open_kernel(SequenceState state, AdaptiveLength lengths) {
  wait_for_previous();
  const int slot = slot_of_thread();
  if (slot < state.slots) open_slot(state, lengths, slot);
}

SC_KERNEL(kSlotThreads) learn_kernel(SequenceState state, AdaptiveLength lengths) {
  wait_for_previous();
  const int slot = slot_of_thread();
  if (slot < state.slots && state.active[slot]) lengths.learn(state, slot);
}

// A block per slot.
SC_KERNEL(kMaxRowThreads, 1)
extend_kernel(SequenceState state, SlotSampling sampling, DraftShape shape, CacheTable drafter,
              const int32_t* num_logits, LogitRows logits, DraftDistributions drafts,
              AdaptiveLength lengths) {
  wait_for_previous();
  extend_slot(state, sampling, shape, drafter, *num_logits, logits, drafts, lengths, block_index());
}

}  // namespace

void open_drafts_cuda(const SequenceState& state, const AdaptiveLength& lengths, void* stream) {
  launch(thread_per_slot(state.slots), stream, open_kernel, state, lengths);
}

void learn_lengths_cuda(const SequenceState& state, const AdaptiveLength& lengths, void* stream) {
  launch(thread_per_slot(state.slots), stream, learn_kernel, state, lengths);
}

void extend_drafts_cuda(const SequenceState& state, const SlotSampling& sampling,
                        const DraftShape& shape, const CacheTable& drafter, const DecoderRows& rows,
                        const LogitRows& logits, const DraftDistributions& drafts,
                        const AdaptiveLength& lengths, void* stream) {
  launch(waiting(state.slots, row_threads(drafts.vocabulary)), stream, extend_kernel, state,
         sampling, shape, drafter, rows.num_logits, logits, drafts, lengths);
}

}  // namespace speccascade
