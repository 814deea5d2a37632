#include "base/cuda_launch.h"
#include "decode/cascade_cuda.h"
#include "decode/cascade_slot.h"
#include "decode/copy_lanes_cuda.cuh"
#include "decode/slot_threads_cuda.cuh"
#include "ops/row_math_cuda.cuh"

namespace speccascade {

namespace {

using BlockSlot = CascadeSlot<BlockMath, BlockLanes>;

SC_DEVICE Cascade with_scratch_of(const SequenceState& state, Cascade cascade, int slot) {
  const int64_t row = static_cast<int64_t>(slot) * cascade.vocabulary;
  cascade.text_lengths = slot_part(cascade.text_lengths, slot, copy_text_size(state));
  cascade.scratch += row;
  cascade.one_hot += row;
  return cascade;
}

// A block per slot.
SC_KERNEL(kMaxRowThreads, 1)
cascade_open_kernel(SequenceState state, SlotSampling sampling, Cascade cascade,
                    AdaptiveLength lengths) {
  wait_for_previous();
  const Cascade own = with_scratch_of(state, cascade, block_index());
  BlockLanes lanes;
  BlockSlot(state, sampling, own, lanes, lengths, block_index()).open();
}

// A block per slot.
SC_KERNEL(kMaxRowThreads, 1)
cascade_review_kernel(SequenceState state, SlotSampling sampling, Cascade cascade,
                      AdaptiveLength lengths, int model, const int32_t* num_logits,
                      LogitRows logits) {
  wait_for_previous();
  const int slot = block_index();
  const LogitRange range = logits_of_slot(logits, *num_logits, slot);
  if (range.begin == range.end) return;
  const Cascade own = with_scratch_of(state, cascade, slot);
  BlockLanes lanes;
  BlockSlot(state, sampling, own, lanes, lengths, slot).take_pass(model, range.begin, range.end);
}

SC_KERNEL(kSlotThreads)
cascade_rows_kernel(SequenceState state, Cascade cascade, int model, DecoderRows rows,
                    LogitRows logits) {
  wait_for_previous();
  append_slot(
      slot_of_thread(), state.slots, rows,
      [&](int slot) { return cascade_slot_rows(state, cascade, model, slot); },
      [&](const DecoderRows& own, int slot) {
        append_cascade_slot(state, cascade, own, logits, model, slot);
      });
}

SC_KERNEL(kSlotThreads)
cascade_lag_rows_kernel(SequenceState state, Cascade cascade, int model, DecoderRows rows) {
  wait_for_previous();
  append_slot(
      slot_of_thread(), state.slots, rows,
      [&](int slot) {
        return SlotRows{lags(state, cascade, model, slot) ? cascade.most_behind : 0, 0};
      },
      [&](const DecoderRows& own, int slot) {
        if (!lags(state, cascade, model, slot)) return;
        const CacheTable cache = cascade.lanes[model].cache;
        const int consumed = cache.length[slot];
        append_positions(state, own, cache, slot, consumed, consumed + cascade.most_behind);
      });
}

SC_KERNEL(kSlotThreads)
cascade_take_lag_kernel(SequenceState state, Cascade cascade, int model) {
  wait_for_previous();
  const int slot = slot_of_thread();
  if (slot >= state.slots || !lags(state, cascade, model, slot)) return;
  cascade.lanes[model].cache.length[slot] += cascade.most_behind;
}

SC_KERNEL(kSlotThreads) cascade_commit_kernel(SequenceState state, Cascade cascade) {
  wait_for_previous();
  const int slot = slot_of_thread();
  if (slot < state.slots) commit_cascade_slot(state, cascade, slot);
}

}  // namespace

void open_cascade_cuda(const SequenceState& state, const SlotSampling& sampling,
                       const Cascade& cascade, const AdaptiveLength& lengths, void* stream) {
  launch(waiting(state.slots, row_threads(cascade.vocabulary)), stream, cascade_open_kernel, state,
         sampling, cascade, lengths);
}

void cascade_rows_cuda(const SequenceState& state, const Cascade& cascade, int model,
                       const DecoderRows& rows, const LogitRows& logits, void* stream) {
  launch(thread_per_slot(state.slots), stream, cascade_rows_kernel, state, cascade, model, rows,
         logits);
}

void cascade_lag_rows_cuda(const SequenceState& state, const Cascade& cascade, int model,
                           const DecoderRows& rows, void* stream) {
  launch(thread_per_slot(state.slots), stream, cascade_lag_rows_kernel, state, cascade, model,
         rows);
}

void cascade_take_lag_cuda(const SequenceState& state, const Cascade& cascade, int model,
                           void* stream) {
  launch(thread_per_slot(state.slots), stream, cascade_take_lag_kernel, state, cascade, model);
}

void cascade_review_cuda(const SequenceState& state, const SlotSampling& sampling,
                         const Cascade& cascade, const AdaptiveLength& lengths, int model,
                         const DecoderRows& rows, const LogitRows& logits, void* stream) {
  launch(waiting(state.slots, row_threads(cascade.vocabulary)), stream, cascade_review_kernel,
         state, sampling, cascade, lengths, model, rows.num_logits, logits);
}

void commit_cascade_cuda(const SequenceState& state, const Cascade& cascade, void* stream) {
  launch(thread_per_slot(state.slots), stream, cascade_commit_kernel, state, cascade);
}

}  // namespace speccascade
