// Kernels of bookkeeping: a thread per slot; they wait for the kernel before.
#pragma once

#include "base/cuda_launch.h"
#include "decode/slot_rows.h"

namespace speccascade {

constexpr int kSlotThreads = 64;

inline LaunchShape thread_per_slot(int slots) {
  return waiting((slots + kSlotThreads - 1) / kSlotThreads, kSlotThreads);
}

SC_DEVICE int slot_of_thread() { return block_index() * kSlotThreads + thread_index(); }

// By one thread: appends the rows of a slot where those of the slots before it end. size(slot) is
// what a slot adds, append(rows, slot) adds it behind what the counters of `rows` say.
template <typename Size, typename Append>
SC_DEVICE void append_slot(int slot, int slots, const DecoderRows& rows, const Size& size,
                           const Append& append) {
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

// The next rows of a draft.
SC_DEVICE void append_drafting_slot(const SequenceState& state, const SlotSampling& sampling,
                                    const CacheTable& drafter, const DecoderRows& rows,
                                    const LogitRows& logits, int slot) {
  append_slot(
      slot, state.slots, rows,
      [&](int one) { return draft_slot_rows(state, sampling, drafter, one); },
      [&](const DecoderRows& own, int one) {
        append_draft_slot(state, sampling, drafter, own, logits, one);
      });
}

}  // namespace speccascade
