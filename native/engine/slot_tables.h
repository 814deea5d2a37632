// The memory behind a session's per-slot state: what ops read and write, sized
// once from the session's limits.
#pragma once

#include "base/host_array.h"
#include "decode/sequence_state.h"
#include "engine/request.h"
#include "ops/sampling.h"

namespace speccascade {

// The tables in one piece of memory: first what requests bring, then what steps change.
struct TableViews {
  SequenceState sequences;
  SlotSampling sampling;
  size_t step_begin;  // where what steps change begins, in bytes
  size_t bytes;

  // The same for drafters' rows.
  SlotSampling drafter_sampling() const {
    SlotSampling drafters = sampling;
    drafters.wants_rows = sequences.draft_wants_rows;
    return drafters;
  }
};

// Where the tables lie in memory that begins at `base`, the host's or a device's.
TableViews carve_tables(const SessionLimits& limits, int vocabulary, void* base);

class SlotTables {
 public:
  // `device`: to which the tables are copied in each step; null without.
  SlotTables(const SessionLimits& limits, int vocabulary,
             const std::shared_ptr<Device>& device = nullptr);

  // Puts one sample of a request into a slot.
  void assign(int slot, const Request& request, uint64_t seed);
  void clear(int slot);

  const SequenceState& sequences() const { return views_.sequences; }
  const SlotSampling& sampling() const { return views_.sampling; }
  SlotSampling drafter_sampling() const { return views_.drafter_sampling(); }
  // All of them, for copies; TableViews::step_begin divides it.
  char* memory() const { return memory_.data(); }
  size_t bytes() const { return memory_.bytes(); }
  size_t step_begin() const { return views_.step_begin; }
  // Positions a slot's self-attention cache must hold: the sequence and a draft.
  static int cache_rows(const SessionLimits& limits);

 private:
  void set_bits(uint32_t* table, int slot, const std::vector<int32_t>& tokens) const;

  bool drafter_reads_confidence_, keeps_inputs_;
  HostArray<char> memory_;
  TableViews views_;
};

}  // namespace speccascade
