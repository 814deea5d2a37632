// Block verification of a drafted chain (Sun et al. 2024, "Block Verification
// Accelerates Speculative Decoding"), for any distribution pi:
//
//   w_0 = 1, w_i = min(1, w_{i-1} pi_i(x_i) / q_i(x_i))
//   S_i = sum_v max(0, w_i pi_{i+1}(v) - q_{i+1}(v))
//   h_i = S_i / (S_i + 1 - w_i) for i < g (0/0: 1), h_g = w_g
//
//   Every i is tested with a uniform of its own; t is the last one kept. Emit
//   x_1 .. x_t, then a draw from norm(max(0, w_t pi_{t+1} - q_{t+1})), or from
//   pi_{g+1} if t = g.
//
// Claim: the emitted tokens are distributed as ancestral sampling from pi, and are
// never fewer on average than by token-wise verification.
#pragma once

#include <cstdint>

#include "decode/accept_chain.h"

namespace speccascade {

// h_i for i < g.
template <typename Real>
SC_COLLECTIVE Real block_threshold(Real residual, Real weight) {
  // In this order: a small residual must not be rounded away against 1.
  const Real whole = residual + (1 - weight);
  return whole > 0 ? residual / whole : Real{1};
}

// Parameters as of accept_chain; thresholds, if not null, receives h_1 .. h_g and weights
// w_0 .. w_g.
template <typename Math, typename TargetRow, typename DrafterRow, typename Ends, typename Choices>
SC_COLLECTIVE ChainOutcome accept_block(int drafted, const int32_t* tokens, int vocabulary,
                                        const TargetRow& pi, const DrafterRow& drafter,
                                        typename Math::Real* scratch, const Ends& ends,
                                        Choices& choices, typename Math::Real* thresholds = nullptr,
                                        typename Math::Real* weights = nullptr) {
  using Real = typename Math::Real;
  // Nothing counts behind a token that ends the sequence.
  for (int i = 0; i < drafted; ++i) {
    if (ends(tokens[i])) drafted = i + 1;
  }
  const bool ended = drafted > 0 && ends(tokens[drafted - 1]);
  Real weight = 1;
  Real kept_weight = 1;
  int kept = 0;
  const auto keep = [](Real* values, int at, Real value) {
    if (values != nullptr) Math::alone([=] { values[at] = value; });
  };
  keep(weights, 0, weight);
  for (int i = 1; i <= drafted; ++i) {
    const int32_t token = tokens[i - 1];
    weight = acceptance(weight * pi(i - 1)[token], drafter(i - 1)[token]);
    Real threshold = weight;
    if (i < drafted) {
      const Real residual = total_of_rest<Math>(pi(i), drafter(i), vocabulary, weight);
      threshold = block_threshold(residual, weight);
    }
    keep(weights, i, weight);
    keep(thresholds, i - 1, threshold);
    if (choices.accept(threshold, i - 1)) {
      kept = i;
      kept_weight = weight;
    }
  }
  ChainOutcome outcome;
  outcome.accepted = kept;
  outcome.tested = kept < drafted ? kept + 1 : kept;
  if (kept == drafted && ended) return outcome;
  const auto last = pi(kept);
  if (kept < drafted) {
    const auto rest = weights_of_rest<Math>(last, drafter(kept), vocabulary, scratch, kept_weight);
    if (rest.total >= empty_residual<Real>()) {
      outcome.next = choices.draw(rest.entries, vocabulary, rest.total, kept);
      return outcome;
    }
  }
  const auto all = weights_of<Math>(last, vocabulary);
  outcome.next = choices.draw(all.entries, vocabulary, all.total, kept);
  return outcome;
}

}  // namespace speccascade
