// Token-wise verification of a drafted chain (Leviathan et al. 2023, algorithm 1;
// Chen et al. 2023), for any distribution pi that the emitted tokens shall have:
//
//   x_1 .. x_g drafted from rows q_1 .. q_g. Left to right, keep x_i with
//   probability min(1, pi_i(x_i) / q_i(x_i)). At the first rejection emit a draw
//   from norm(max(0, pi_i - q_i)) and stop. With all kept, emit a draw from
//   pi_{g+1}. A kept token that ends the sequence stops the scan: nothing follows.
//
// Claim: the emitted tokens are distributed as ancestral sampling from pi.
//
// Written over the arithmetic (Math: float or double rows) and over the source of
// random choices (Choices: counters, given uniforms, or an enumeration of both
// outcomes), so that the engine, replays and exact tests run this very code.
#pragma once

#include <cstdint>

namespace speccascade {

struct ChainOutcome {
  int accepted = 0;   // drafted tokens kept
  int tested = 0;     // drafted tokens looked at
  int32_t next = -1;  // the token after them; -1 when a kept token ends the sequence
};

// Below this mass a residual row is rounding noise (algorithms.md, section 11).
constexpr double kEmptyResidual = 1e-6;

// drafted     number of drafted tokens g
// tokens      [g]
// pi(i)       row [vocabulary] that the token at place i shall follow, i = 0 .. g
// drafter(i)  row [vocabulary] that tokens[i] was drawn from, i = 0 .. g-1
// scratch     [vocabulary]
// ends(t)     whether token t ends the sequence
// choices     bool accept(Real probability, int place)
//             int draw(const Real* weights, int count, Real total, int place)
template <typename Math, typename TargetRow, typename DrafterRow, typename Ends, typename Choices>
ChainOutcome accept_chain(int drafted, const int32_t* tokens, int vocabulary, const TargetRow& pi,
                          const DrafterRow& drafter, typename Math::Real* scratch, const Ends& ends,
                          Choices& choices) {
  using Real = typename Math::Real;
  ChainOutcome outcome;
  for (int i = 0; i < drafted; ++i) {
    const Real* wanted = pi(i);
    const Real* drawn = drafter(i);
    const int32_t token = tokens[i];
    ++outcome.tested;
    // drawn[token] > 0, or the token could not have been drawn.
    const Real ratio = wanted[token] / drawn[token];
    if (choices.accept(ratio < 1 ? ratio : Real{1}, i)) {
      ++outcome.accepted;
      if (ends(token)) return outcome;
      continue;
    }
    const Real mass = Math::positive_difference(wanted, drawn, vocabulary, scratch);
    // pi and q equal up to rounding: the rejection itself was noise.
    outcome.next = mass < kEmptyResidual
                       ? choices.draw(wanted, vocabulary, Math::sum(wanted, vocabulary), i)
                       : choices.draw(scratch, vocabulary, mass, i);
    return outcome;
  }
  const Real* last = pi(drafted);
  outcome.next = choices.draw(last, vocabulary, Math::sum(last, vocabulary), drafted);
  return outcome;
}

// The same at temperature 0, where every row is one-hot at its argmax: keep
// drafted tokens while they equal the target's, then emit the target's.
template <typename Ends>
ChainOutcome accept_chain_greedy(int drafted, const int32_t* tokens, const int32_t* best,
                                 const Ends& ends) {
  ChainOutcome outcome;
  for (int i = 0; i < drafted; ++i) {
    ++outcome.tested;
    if (tokens[i] != best[i]) {
      outcome.next = best[i];
      return outcome;
    }
    ++outcome.accepted;
    if (ends(tokens[i])) return outcome;
  }
  outcome.next = best[drafted];
  return outcome;
}

}  // namespace speccascade
