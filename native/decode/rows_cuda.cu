#include "base/cuda_launch.h"
#include "decode/decode_cuda.h"
#include "decode/slot_rows.h"

namespace speccascade {

namespace {

constexpr int kThreads = 64;

// Appends the rows of this thread's slot where those of the slots before it end: size(slot) is what
// a slot adds, append(rows, slot) adds it behind what the counters of `rows` say.
template <typename Size, typename Append>
SC_DEVICE void append_slot(int slots, const DecoderRows& rows, const Size& size,
                           const Append& append) {
  const int slot = block_index() * kThreads + thread_index();
  if (slot >= slots) return;
  SlotRows before = {0, 0};
  for (int other = 0; other < slot; ++other) {
    const SlotRows added = size(other);
    before.rows += added.rows;
    before.logits += added.logits;
  }
  DecoderRows own = rows;
  own.num_rows = &before.rows;
  own.num_logits = &before.logits;
  append(own, slot);
  if (slot < slots - 1) return;
  *rows.num_rows = before.rows;
  *rows.num_logits = before.logits;
}

// A thread per slot, here and below.
SC_KERNEL(kThreads)
verify_rows_kernel(SequenceState state, CacheTable target, DecoderRows rows, LogitRows logits,
                   SlotSampling sampling) {
  append_slot(
      state.slots, rows, [&](int slot) { return verify_slot_rows(state, target, sampling, slot); },
      [&](const DecoderRows& own, int slot) {
        append_verify_slot(state, target, own, logits, sampling, slot);
      });
}

SC_KERNEL(kThreads)
draft_rows_kernel(SequenceState state, SlotSampling sampling, CacheTable drafter, DecoderRows rows,
                  LogitRows logits) {
  append_slot(
      state.slots, rows, [&](int slot) { return draft_slot_rows(state, sampling, drafter, slot); },
      [&](const DecoderRows& own, int slot) {
        append_draft_slot(state, sampling, drafter, own, logits, slot);
      });
}

SC_KERNEL(kThreads)
catch_up_rows_kernel(SequenceState state, CacheTable drafter, int most, DecoderRows rows) {
  append_slot(
      state.slots, rows, [&](int slot) { return catch_up_slot_rows(state, drafter, most, slot); },
      [&](const DecoderRows& own, int slot) {
        append_catch_up_slot(state, drafter, most, own, slot);
      });
}

SC_KERNEL(kThreads) caught_up_kernel(SequenceState state, CacheTable drafter, int most) {
  const int slot = block_index() * kThreads + thread_index();
  if (slot >= state.slots) return;
  drafter.length[slot] += catch_up_slot_rows(state, drafter, most, slot).rows;
}

SC_KERNEL(kThreads) commit_kernel(SequenceState state, CacheTable target) {
  const int slot = block_index() * kThreads + thread_index();
  if (slot < state.slots) commit_slot(state, target, slot);
}

SC_KERNEL(kThreads) keep_accepted_kernel(SequenceState state, CacheTable drafter) {
  const int slot = block_index() * kThreads + thread_index();
  if (slot < state.slots) keep_accepted_slot(state, drafter, slot);
}

LaunchShape thread_per_slot(int slots) { return {(slots + kThreads - 1) / kThreads, kThreads}; }

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
