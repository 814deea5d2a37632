#include "decode/verify.h"

#include <algorithm>

#include "base/thread_pool.h"
#include "decode/slot_verifier.h"
#include "ops/row_math.h"

namespace speccascade {

void verify_rows(const SequenceState& state, const CacheTable& target, const DecoderRows& rows,
                 const LogitRows& logits, const SlotSampling& sampling) {
  *rows.num_rows = 0;
  *rows.num_logits = 0;
  for (int slot = 0; slot < state.slots; ++slot) {
    if (!state.active[slot]) continue;
    const int pending = state.length[slot] - target.length[slot];
    const int nodes = state.draft_count[slot];
    const bool last_alone = static_cast<Verifier>(state.verifier[slot]) == Verifier::kTrusted &&
                            sampling.wants_logprobs[slot] == 0;
    const int skipped = last_alone ? nodes : 0;
    logits.first[slot] = *rows.num_logits - skipped;
    const int last = append_pending(state, rows, target, slot);
    if (skipped == 0) append_logit(state, rows, logits, last, -1, *rows.num_logits);
    const int32_t* tokens = slot_part(state.draft_tokens, slot, state.max_nodes);
    const int32_t* parents = slot_part(state.draft_parent, slot, state.max_nodes);
    const int32_t* depths = slot_part(state.draft_depth, slot, state.max_nodes);
    for (int node = 0; node < nodes; ++node) {
      const int row = append_row(rows, slot, tokens[node], state.length[slot] + depths[node],
                                 pending + node, pending + parents[node]);
      if (node + 1 >= skipped) append_logit(state, rows, logits, row, node, *rows.num_logits);
    }
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

void keep_path(const CacheTable& cache, int slot, int offset, const int32_t* path, int kept) {
  int32_t* order = slot_part(cache.order, slot, cache.rows_per_slot) + cache.length[slot] + offset;
  for (int i = 0; i < kept; ++i) std::swap(order[i], order[path[i]]);
}

void commit(const SequenceState& state, const CacheTable& target) {
  for (int slot = 0; slot < state.slots; ++slot) {
    if (!state.active[slot]) continue;
    const int before = state.length[slot] - state.emitted[slot];
    const int accepted = state.accepted[slot];
    const int32_t* path = slot_part(state.path, slot, state.max_path);
    keep_path(target, slot, before - target.length[slot], path, accepted);
    target.length[slot] = before + accepted;
    ++state.step[slot];
  }
}

void keep_accepted(const SequenceState& state, const CacheTable& drafter) {
  for (int slot = 0; slot < state.slots; ++slot) {
    if (!state.active[slot]) continue;
    const int before = state.length[slot] - state.emitted[slot];
    // A drafter that had nothing to draft in this step stays behind.
    if (drafter.length[slot] != before) continue;
    const int32_t* path = slot_part(state.path, slot, state.max_path);
    const int consumed = static_cast<int>(
        std::lower_bound(path, path + state.accepted[slot], state.draft_consumed[slot]) - path);
    keep_path(drafter, slot, 0, path, consumed);
    drafter.length[slot] = before + consumed;
  }
}

}  // namespace speccascade
