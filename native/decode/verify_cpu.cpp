#include "decode/verify.h"

#include "base/thread_pool.h"
#include "decode/slot_rows.h"
#include "decode/slot_verifier.h"
#include "ops/row_math.h"

namespace speccascade {

void verify_rows(const SequenceState& state, const CacheTable& target, const DecoderRows& rows,
                 const LogitRows& logits, const SlotSampling& sampling) {
  *rows.num_rows = 0;
  *rows.num_logits = 0;
  for (int slot = 0; slot < state.slots; ++slot) {
    append_verify_slot(state, target, rows, logits, sampling, slot);
  }
}

void verify(const VerifyArgs& args, int threads) {
  parallel_for(args.state.slots, threads, [&](int64_t slot) {
    if (!args.state.active[slot]) return;
    const SlotVerifier<RowMath<float>> verifier(args, static_cast<int>(slot));
    for (int node = -1; node < args.state.draft_count[slot]; ++node) verifier.apply_rule(node);
    verifier.run();
  });
}

void commit(const SequenceState& state, const CacheTable& target) {
  for (int slot = 0; slot < state.slots; ++slot) commit_slot(state, target, slot);
}

void keep_accepted(const SequenceState& state, const CacheTable& drafter) {
  for (int slot = 0; slot < state.slots; ++slot) keep_accepted_slot(state, drafter, slot);
}

}  // namespace speccascade
