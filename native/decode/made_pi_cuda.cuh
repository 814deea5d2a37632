// Where a block finds pi: in what the row's kernel left, entry by entry.
#pragma once

#include "decode/slot_verifier.h"
#include "ops/row_math_cuda.cuh"

namespace speccascade {

template <typename Row = ProbabilityRow>
SC_DEVICE RuleRows<float, Row> made_rows(const MadeTarget& made, const float* drafter,
                                         const float* drafter_unscaled, int vocabulary) {
  return {drafter,          Row{made.probs},
          drafter_unscaled, Row{made.probs.unscaled(made.unscaled_factor)},
          vocabulary,       false};
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

// The row that a token was drawn from; null where it was chosen without chance.
struct DrawnRow {
  const float* row;
  int32_t token;

  SC_DEVICE float operator[](int v) const {
    const float entry = row != nullptr ? row[v] : 0.0f;
    return row == nullptr && v == token ? 1.0f : entry;
  }
};
// Takes nothing from any entry.
SC_DEVICE DrawnRow no_drawn_row() { return {nullptr, -1}; }

// What max(0, weight x pi - drawn) is made of, in single words for functions that are called.
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
  SC_DEVICE auto weights(int vocabulary) const;
  SC_DEVICE auto weights_without(const DrawnRow& drawn, int vocabulary, float weight) const;
  SC_DEVICE float total_without(const DrawnRow& drawn, int vocabulary, float weight) const;
};

// use(entry): the entries of max(0, weight x pi - drawn). A softmax from which nothing is taken is
// not scaled: its parts' sums are there as they were made.
template <typename Use>
SC_DEVICE auto with_rest(const MadePiRow& row, const DrawnRow& drawn, float weight, bool softmax,
                         const Use& use) {
  if (softmax) {
    ProbabilityRow unscaled = row.made->probs;
    unscaled.factor = 1.0f;
    return use([=](int v) { return unscaled.unfiltered(v); });
  }
  return with_pi(*row.rule, row.made->decision,
                 made_rows(*row.made, row.drafter, row.drafter_unscaled, 0),
                 [=](const auto& entry) {
                   return use([=](int v) { return surplus<float>(weight * entry(v), drawn[v]); });
                 });
}

// Leaves the parts' sums in RowPartials.
SC_FUNCTION float sum_of_rest(const TargetRow* made, const Rule* rule, const float* drafter,
                              const float* drafter_unscaled, const float* drawn, int32_t token,
                              float weight, int vocabulary) {
  return with_rest(
      {made, rule, drafter, drafter_unscaled}, {drawn, token}, weight, false,
      [=](const auto& entry) { return static_cast<float>(row_sum(vocabulary, entry)); });
}

// After that.
SC_FUNCTION int draw_from_rest(const TargetRow* made, const Rule* rule, const float* drafter,
                               const float* drafter_unscaled, const float* drawn, int32_t token,
                               float weight, bool softmax, int vocabulary, double target) {
  return with_rest({made, rule, drafter, drafter_unscaled}, {drawn, token}, weight, softmax,
                   [=](const auto& entry) {
                     return find_in_order<kBatch / 4>(vocabulary, target, entry,
                                                      shared<RowPartials>().sum, true);
                   });
}

// Entries of a Weights, drawn from before the block makes another pass.
struct RestEntries {
  MadePiRow row;
  DrawnRow drawn;
  float weight;
  bool softmax;

  SC_DEVICE int draw(int count, double target) const {
    return draw_from_rest(row.made, row.rule, row.drafter, row.drafter_unscaled, drawn.row,
                          drawn.token, weight, softmax, count, target);
  }
};

SC_DEVICE float MadePiRow::total_without(const DrawnRow& without, int vocabulary,
                                         float weight) const {
  return sum_of_rest(made, rule, drafter, drafter_unscaled, without.row, without.token, weight,
                     vocabulary);
}

SC_DEVICE auto MadePiRow::weights_without(const DrawnRow& without, int vocabulary,
                                          float weight) const {
  const float total = total_without(without, vocabulary, weight);
  return Weights<float, RestEntries>{{*this, without, weight, false}, total};
}

SC_DEVICE auto MadePiRow::weights(int vocabulary) const {
  const bool softmax = made->decision.form == PiForm::kTarget && !made->probs.filtered();
  if (!softmax) return weights_without(no_drawn_row(), vocabulary, 1.0f);
  RowPartials& partials = shared<RowPartials>();
  sync_block();
  if (thread_index() < row_parts(vocabulary)) {
    partials.sum[thread_index()] = made->part_sum[thread_index()];
  }
  const auto total = static_cast<float>(sum_of_parts(vocabulary, partials.sum));
  return Weights<float, RestEntries>{{*this, no_drawn_row(), 1.0f, true}, total};
}

template <typename Verifier>
class MadeChain;

struct MadePi {
  template <typename Verifier>
  static SC_DEVICE MadePiRow row(const VerifyArgs& args, const Verifier& verifier, int node) {
    return {args.target + verifier.logit_row(node), &verifier.rule(),
            verifier.reference(args.drafts.reference, node),
            verifier.reference(args.drafts.reference_unscaled, node)};
  }
  template <typename Verifier>
  using Chain = MadeChain<Verifier>;
};

using BlockVerifier = SlotVerifier<BlockMath, MadePi>;

}  // namespace speccascade
