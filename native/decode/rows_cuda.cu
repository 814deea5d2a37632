#include "base/cuda_launch.h"
#include "decode/decode_cuda.h"
#include "decode/slot_rows.h"
#include "decode/slot_threads_cuda.cuh"

namespace speccascade {

namespace {

// A thread per slot, here and below.
SC_KERNEL(kSlotThreads)
verify_rows_kernel(SequenceState state, CacheTable target, DecoderRows rows, LogitRows logits,
                   SlotSampling sampling) {
  wait_for_previous();
  append_slot(
      slot_of_thread(), state.slots, rows,
      [&](int slot) { return verify_slot_rows(state, target, sampling, slot); },
      [&](const DecoderRows& own, int slot) {
        append_verify_slot(state, target, own, logits, sampling, slot);
      });
}

SC_KERNEL(kSlotThreads)
draft_rows_kernel(SequenceState state, SlotSampling sampling, CacheTable drafter, DecoderRows rows,
                  LogitRows logits) {
  wait_for_previous();
  append_drafting_slot(state, sampling, drafter, rows, logits, slot_of_thread());
}

SC_KERNEL(kSlotThreads)
catch_up_rows_kernel(SequenceState state, CacheTable drafter, int most, DecoderRows rows) {
  wait_for_previous();
  append_slot(
      slot_of_thread(), state.slots, rows,
      [&](int slot) { return catch_up_slot_rows(state, drafter, most, slot); },
      [&](const DecoderRows& own, int slot) {
        append_catch_up_slot(state, drafter, most, own, slot);
      });
}

SC_KERNEL(kSlotThreads) caught_up_kernel(SequenceState state, CacheTable drafter, int most) {
  wait_for_previous();
  const int slot = slot_of_thread();
  if (slot >= state.slots) return;
  drafter.length[slot] += catch_up_slot_rows(state, drafter, most, slot).rows;
}

SC_KERNEL(kSlotThreads) commit_kernel(SequenceState state, CacheTable target) {
  wait_for_previous();
  const int slot = slot_of_thread();
  if (slot < state.slots) commit_slot(state, target, slot);
}

SC_KERNEL(kSlotThreads) keep_accepted_kernel(SequenceState state, CacheTable drafter) {
  wait_for_previous();
  const int slot = slot_of_thread();
  if (slot < state.slots) keep_accepted_slot(state, drafter, slot);
}

}  // namespace

void verify_rows_cuda(const SequenceState& state, const CacheTable& target, const DecoderRows& rows,
                      const LogitRows& logits, const SlotSampling& sampling, void* stream) {
  launch(thread_per_slot(state.slots), stream, verify_rows_kernel, state, target, rows, logits,
         sampling);
}

void draft_rows_cuda(const SequenceState& state, const SlotSampling& sampling,
                     const CacheTable& drafter, const DecoderRows& rows, const LogitRows& logits,
                     void* stream) {
  launch(thread_per_slot(state.slots), stream, draft_rows_kernel, state, sampling, drafter, rows,
         logits);
}

void catch_up_rows_cuda(const SequenceState& state, const CacheTable& drafter, int most,
                        const DecoderRows& rows, void* stream) {
  launch(thread_per_slot(state.slots), stream, catch_up_rows_kernel, state, drafter, most, rows);
}

void caught_up_cuda(const SequenceState& state, const CacheTable& drafter, int most, void* stream) {
  launch(thread_per_slot(state.slots), stream, caught_up_kernel, state, drafter, most);
}

void commit_cuda(const SequenceState& state, const CacheTable& target, void* stream) {
  launch(thread_per_slot(state.slots), stream, commit_kernel, state, target);
}

void keep_accepted_cuda(const SequenceState& state, const CacheTable& drafter, void* stream) {
  launch(thread_per_slot(state.slots), stream, keep_accepted_kernel, state, drafter);
}

}  // namespace speccascade
