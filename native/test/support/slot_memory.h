// A session's per-slot tables as the engine lays them out (engine/slot_tables.h), in memory that is
// copied with them: what kernels do to one copy is compared with what the CPU does to another.
#pragma once

#include <cstring>
#include <vector>

#include "engine/slot_tables.h"

namespace speccascade::test {

// Of so many slots, each with room for `capacity` tokens and a chain of `nodes`.
inline SessionLimits limits_of_slots(int slots, int capacity, int nodes) {
  SessionLimits limits;
  limits.max_batch = slots;
  limits.max_prefix_tokens = 1;
  limits.max_new_tokens = capacity - 1;
  limits.draft.kind = DraftKind::kLevels;
  limits.draft.widths.assign(static_cast<size_t>(nodes), 1);
  return limits;
}

class SlotMemory {
 public:
  SlotMemory(const SessionLimits& limits, int vocabulary)
      : limits_(limits),
        vocabulary_(vocabulary),
        memory_(carve_tables(limits, vocabulary, nullptr).bytes),
        views_(carve_tables(limits, vocabulary, memory_.data())) {}
  SlotMemory(const SlotMemory& other)
      : limits_(other.limits_),
        vocabulary_(other.vocabulary_),
        memory_(other.memory_),
        views_(carve_tables(limits_, vocabulary_, memory_.data())) {}
  SlotMemory& operator=(const SlotMemory&) = delete;

  const SequenceState& state() const { return views_.sequences; }
  const SlotSampling& sampling() const { return views_.sampling; }
  bool operator==(const SlotMemory& other) const { return memory_ == other.memory_; }

  // A token that ends the slot's output, among the end tokens or the stop tokens.
  void end_at(uint32_t* bits, int slot, int token) const {
    slot_part(bits, slot, sampling().bit_words)[token / 32] |= 1u << (token % 32);
  }

 private:
  SessionLimits limits_;
  int vocabulary_;
  std::vector<char> memory_;
  TableViews views_;
};

// The entries of a table.
template <typename T>
std::vector<T> entries(const T* table, int count) {
  return {table, table + count};
}

}  // namespace speccascade::test
