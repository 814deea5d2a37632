// A level of a slot's draft, by all threads of a block.
#pragma once

#include "decode/level_writer.h"
#include "ops/row_math_cuda.cuh"

namespace speccascade {

SC_DEVICE void extend_slot(const SequenceState& state, const SlotSampling& sampling,
                           const DraftShape& shape, const CacheTable& drafter, int num_logits,
                           const LogitRows& logits, DraftDistributions drafts,
                           const AdaptiveLength& lengths, int slot) {
  const LogitRange range = logits_of_slot(logits, num_logits, slot);
  if (range.begin == range.end) return;
  drafts.scratch += static_cast<int64_t>(slot) * drafts.vocabulary;
  LevelWriter<BlockMath>(state, sampling, shape, drafts, lengths, slot)
      .extend(drafter, logits, range.begin, range.end);
}

}  // namespace speccascade
