// The memory behind a session's per-slot state: what ops read and write, sized
// once from the session's limits.
#pragma once

#include "base/buffer.h"
#include "decode/sequence_state.h"
#include "engine/request.h"
#include "ops/sampling.h"

namespace speccascade {

class SlotTables {
 public:
  SlotTables(const SessionLimits& limits, int vocabulary);

  // Puts one sample of a request into a slot.
  void assign(int slot, const Request& request, uint64_t seed);
  void clear(int slot);

  const SequenceState& sequences() const { return sequences_; }
  const SlotSampling& sampling() const { return sampling_; }
  // The same for drafters' rows.
  SlotSampling drafter_sampling() const;
  size_t bytes() const;
  // Positions a slot's self-attention cache must hold: the sequence and a draft.
  static int cache_rows(const SessionLimits& limits);

 private:
  void set_bits(uint32_t* table, int slot, const std::vector<int32_t>& tokens) const;

  bool drafter_reads_confidence_;
  Array<int32_t> ints_;
  Array<int32_t> tokens_, nodes_, inputs_, path_;
  Array<float> floats_, logprobs_;
  Array<Rule> rule_;
  Array<uint64_t> seed_;
  Array<uint32_t> step_, bits_;
  SequenceState sequences_;
  SlotSampling sampling_;
};

}  // namespace speccascade
