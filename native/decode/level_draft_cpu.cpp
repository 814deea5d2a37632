#include "decode/level_draft.h"

#include "decode/slot_rows.h"
#include "ops/row_math.h"

namespace speccascade {

void open_drafts(const SequenceState& state, const AdaptiveLength& adaptive) {
  for (int slot = 0; slot < state.slots; ++slot) open_slot(state, adaptive, slot);
}

bool is_draft_open(const SequenceState& state, int slot) {
  return phase_of(state, slot) != DraftPhase::kClosed;
}

bool any_draft_open(const SequenceState& state) {
  for (int slot = 0; slot < state.slots; ++slot) {
    if (is_draft_open(state, slot)) return true;
  }
  return false;
}

void draft_rows(const SequenceState& state, const SlotSampling& sampling, const CacheTable& drafter,
                const DecoderRows& rows, const LogitRows& logits) {
  *rows.num_rows = 0;
  *rows.num_logits = 0;
  for (int slot = 0; slot < state.slots; ++slot) {
    append_draft_slot(state, sampling, drafter, rows, logits, slot);
  }
}

void extend_drafts(const SequenceState& state, const SlotSampling& sampling,
                   const DraftShape& shape, const CacheTable& drafter, const DecoderRows& rows,
                   const LogitRows& logits, const DraftDistributions& drafts,
                   const AdaptiveLength& adaptive) {
  for_each_slot_run(logits, *rows.num_logits, [&](int slot, int begin, int end) {
    LevelWriter<RowMath<float>>(state, sampling, shape, drafts, adaptive, slot)
        .extend(drafter, logits, begin, end);
  });
}

}  // namespace speccascade
