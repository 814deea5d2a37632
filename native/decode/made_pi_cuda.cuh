// Where a block finds pi: in what the row's kernel left, entry by entry.
#pragma once

#include "decode/slot_verifier.h"
#include "ops/row_math_cuda.cuh"

namespace speccascade {

SC_DEVICE RuleRows<float, ProbabilityRow> made_rows(const TargetRow& made, const float* drafter,
                                                    const float* drafter_unscaled, int vocabulary) {
  return {drafter,    made.probs, drafter_unscaled, made.probs.unscaled(made.unscaled_factor),
          vocabulary, false};
}

// A function of its own: verification writes rows in many places, by a loop for each form of pi.
// Most read several rows, so that half a batch has as many loads under way.
SC_FUNCTION void write_pi(const TargetRow* made, const Rule* rule, const float* drafter,
                          const float* drafter_unscaled, float* out, int vocabulary) {
  if (made->decision.form == PiForm::kTarget && !made->probs.filtered()) {
    const ProbabilityRow row = made->probs;
    BlockMath::write(out, vocabulary, [=](int v) { return row.unfiltered(v); });
    return;
  }
  with_pi(*rule, made->decision, made_rows(*made, drafter, drafter_unscaled, vocabulary),
          [=](const auto& entry) { BlockMath::write<kBatch / 2>(out, vocabulary, entry); });
}

struct MadePiRow {
  const TargetRow* made;
  const Rule* rule;
  const float* drafter;
  const float* drafter_unscaled;

  SC_DEVICE float operator[](int v) const {
    return with_pi(*rule, made->decision, made_rows(*made, drafter, drafter_unscaled, 0),
                   [=](const auto& entry) { return entry(v); });
  }
  template <typename Math>
  SC_DEVICE void write(float* out, int vocabulary) const {
    write_pi(made, rule, drafter, drafter_unscaled, out, vocabulary);
  }
};

struct MadePi {
  template <typename Verifier>
  static SC_DEVICE MadePiRow row(const VerifyArgs& args, const Verifier& verifier, int node) {
    return {args.target + verifier.logit_row(node), &verifier.rule(),
            verifier.reference(args.drafts.reference, node),
            verifier.reference(args.drafts.reference_unscaled, node)};
  }
};

// Has what the walk of a draft reads, one after another, read at once before, so that it finds it
// near.
template <typename Verifier>
SC_DEVICE void read_ahead(const VerifyArgs& args, const Verifier& verifier) {
  if (verifier.trusted() || verifier.failed()) return;
  for (int node = thread_index() - 1; node < verifier.nodes(); node += block_threads()) {
    float seen = static_cast<float>(args.target_status[verifier.logit_row(node)]);
    if (node >= 0) {
      // Its parent's row is the one that it is tested with.
      const int32_t token = verifier.token(node);
      const MadePiRow row = MadePi::row(args, verifier, verifier.parent(node));
      const float* drawn = verifier.drawn_from(node);
      seen += verifier.ends(token) ? 1.0f : 0.0f;
      if (row.made->probs.logits != nullptr) seen += row[token];
      if (drawn != nullptr) seen += drawn[token];
    }
    keep(seen);
  }
  sync_block();
}

using BlockVerifier = SlotVerifier<BlockMath, MadePi>;

}  // namespace speccascade
