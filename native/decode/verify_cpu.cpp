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

namespace {

// Rows as arrays.
struct StoredPi {
  template <typename Verifier>
  static const float* row(const VerifyArgs& args, const Verifier& verifier, int node) {
    const float* rows = verifier.has_rule() ? args.pi : args.target_probs;
    return rows + verifier.logit_row(node) * args.vocabulary;
  }
  template <typename Verifier>
  using Chain = ChainOfRows<RowMath<float>, StoredPi, Verifier>;
};

using StoredVerifier = SlotVerifier<RowMath<float>, StoredPi>;

void apply_rule(const VerifyArgs& args, const StoredVerifier& verifier, int node) {
  const int64_t at = verifier.logit_row(node), entry = at * args.vocabulary;
  const bool ok = args.target_status[at] == static_cast<int32_t>(RowStatus::kOk);
  if (!ok || args.drafts.reference == nullptr) return;  // no rule asks without
  const float* drafter = verifier.reference(args.drafts.reference, node);
  const float* unscaled = verifier.reference(args.drafts.reference_unscaled, node);
  if (unscaled == nullptr) unscaled = drafter;  // no rule reads it then
  const RuleRows<float> rows = {drafter,         args.target_probs + entry,
                                unscaled,        args.target_unscaled + entry,
                                args.vocabulary, verifier.greedy()};
  args.deferral[at] = rule_target<RowMath<float>>(verifier.rule(), rows, args.pi + entry).deferral;
}

}  // namespace

void verify(const VerifyArgs& args, int threads) {
  parallel_for(args.state.slots, threads, [&](int64_t slot) {
    if (!args.state.active[slot]) return;
    const int s = static_cast<int>(slot);
    const StoredVerifier verifier(args, s);
    for (int node = -1; node < args.state.draft_count[s]; ++node) {
      if (verifier.asks_rule(node)) apply_rule(args, verifier, node);
    }
    verifier.run(args.drafts.chain);
  });
}

void commit(const SequenceState& state, const CacheTable& target) {
  for (int slot = 0; slot < state.slots; ++slot) commit_slot(state, target, slot);
}

void keep_accepted(const SequenceState& state, const CacheTable& drafter) {
  for (int slot = 0; slot < state.slots; ++slot) keep_accepted_slot(state, drafter, slot);
}

}  // namespace speccascade
