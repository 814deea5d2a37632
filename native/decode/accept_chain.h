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
#include <type_traits>

#include "base/host_device.h"
#include "ops/probability_row.h"

namespace speccascade {

struct ChainOutcome {
  int accepted = 0;   // drafted tokens kept
  int tested = 0;     // drafted tokens looked at
  int32_t next = -1;  // the token after them; -1 when a kept token ends the sequence
};

// Below this mass a residual row is rounding noise (docs/methods.md): in float, and in
// double, where it must not be seen in laws that are exact to 1e-9.
constexpr double kEmptyResidual = 1e-6;
constexpr double kEmptyResidualDouble = 1e-12;

template <typename Real>
SC_HOST_DEVICE constexpr Real empty_residual() {
  return static_cast<Real>(sizeof(Real) == sizeof(double) ? kEmptyResidualDouble : kEmptyResidual);
}

// min(1, wanted / drawn). A token that its own row cannot draw (drawn = 0) counts as
// accepted where it is wanted at all and as rejected where it is not: never NaN.
template <typename Real>
SC_HOST_DEVICE inline Real acceptance(Real wanted, Real drawn) {
  if (wanted < drawn) return wanted / drawn;
  return wanted > 0 ? Real{1} : Real{0};
}

// A row [vocabulary] as an array: what is one already, or what writes itself into `memory`.
template <typename Math, typename Row>
SC_COLLECTIVE const typename Math::Real* whole_row(const Row& row, [[maybe_unused]] int vocabulary,
                                                   [[maybe_unused]] typename Math::Real* memory) {
  if constexpr (std::is_pointer_v<Row>) {
    return row;
  } else {
    row.template write<Math>(memory, vocabulary);
    return memory;
  }
}

// What a token is drawn from: entries that a choice knows how to draw from, an array as a rule.
template <typename Real, typename Entries = const Real*>
struct Weights {
  Entries entries;
  Real total;
};

// Those of a row, which if it is no array knows them itself.
template <typename Math, typename Row>
SC_COLLECTIVE auto weights_of(const Row& row, int vocabulary) {
  if constexpr (std::is_pointer_v<Row>) {
    return Weights<typename Math::Real>{row, Math::sum(row, vocabulary)};
  } else {
    return row.weights(vocabulary);
  }
}

// Those of max(0, weight x row - drawn).
template <typename Math, typename Row, typename Drawn, typename Real = typename Math::Real>
SC_COLLECTIVE auto weights_of_rest(const Row& row, const Drawn& drawn, int vocabulary,
                                   [[maybe_unused]] Real* memory, Real weight = 1) {
  if constexpr (std::is_pointer_v<Row>) {
    const auto rest = [=](int v) { return surplus<Real>(weight * row[v], drawn[v]); };
    const Real total = weight == Real{1} ? Math::positive_difference(row, drawn, vocabulary, memory)
                                         : Math::write_sum(memory, vocabulary, rest);
    return Weights<Real>{memory, total};
  } else {
    return row.weights_without(drawn, vocabulary, weight);
  }
}

// Their total alone.
template <typename Math, typename Row, typename Drawn, typename Real = typename Math::Real>
SC_COLLECTIVE Real total_of_rest(const Row& row, const Drawn& drawn, int vocabulary, Real weight) {
  if constexpr (std::is_pointer_v<Row>) {
    return Math::sum_of(vocabulary,
                        [=](int v) { return surplus<Real>(weight * row[v], drawn[v]); });
  } else {
    return row.total_without(drawn, vocabulary, weight);
  }
}

// drafted     number of drafted tokens g
// tokens      [g]
// pi(i)       row [vocabulary] that the token at place i shall follow, i = 0 .. g: an array, or
//             what has entries and weights
// drafter(i)  row [vocabulary] that tokens[i] was drawn from, i = 0 .. g-1
// scratch     [vocabulary]
// ends(t)     whether token t ends the sequence
// choices     bool accept(Real probability, int place)
//             int draw(const Real* weights, int count, Real total, int place)
template <typename Math, typename TargetRow, typename DrafterRow, typename Ends, typename Choices>
SC_COLLECTIVE ChainOutcome accept_chain(int drafted, const int32_t* tokens, int vocabulary,
                                        const TargetRow& pi, const DrafterRow& drafter,
                                        typename Math::Real* scratch, const Ends& ends,
                                        Choices& choices) {
  using Real = typename Math::Real;
  ChainOutcome outcome;
  for (; outcome.accepted < drafted; ++outcome.accepted) {
    const int i = outcome.accepted;
    const int32_t token = tokens[i];
    ++outcome.tested;
    if (!choices.accept(acceptance<Real>(pi(i)[token], drafter(i)[token]), i)) break;
    if (!ends(token)) continue;
    ++outcome.accepted;
    return outcome;
  }
  const int last = outcome.accepted;
  const auto wanted = pi(last);
  if (last < drafted) {
    const auto rest = weights_of_rest<Math>(wanted, drafter(last), vocabulary, scratch);
    if (rest.total >= empty_residual<Real>()) {
      outcome.next = choices.draw(rest.entries, vocabulary, rest.total, last);
      return outcome;
    }
    // pi and q equal up to rounding: the rejection itself was noise.
  }
  const auto all = weights_of<Math>(wanted, vocabulary);
  outcome.next = choices.draw(all.entries, vocabulary, all.total, last);
  return outcome;
}

}  // namespace speccascade
