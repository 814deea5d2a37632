// K-SEQ (Sun et al. 2023, "SpecTr: Fast Speculative Decoding via Optimal Transport"):
// one position, k candidates drawn independently from q.
//
//   beta(rho) = sum_v min(pi(v) / rho, q(v))
//   rho       = the smallest in [1, k] with rho beta(rho) >= 1 - (1 - beta(rho))^k
//
//   In turn, keep a candidate x with probability min(1, pi(x) / (rho q(x))). All
//   rejected: emit a draw from norm(pi - min(pi / rho, q) (1 - (1 - beta)^k) / beta).
//
// Claim: the emitted token is distributed as pi. rho beta(rho) rises and the other
// side falls with rho, so one bisection finds it; rho = k always suffices.
//
// Over the arithmetic (Math) and the source of choices, as accept_chain.h.
#pragma once

#include <cmath>
#include <cstdint>

#include "decode/accept_chain.h"
#include "decode/accept_tree.h"

namespace speccascade {

// beta(rho): the chance that one candidate is kept.
template <typename Math, typename Real>
SC_COLLECTIVE Real kseq_beta(const Real* pi, const Real* drafter, int vocabulary, Real rho) {
  return Math::sum_of(vocabulary, [=](int v) {
    const Real drawn = drafter[v], wanted = pi[v] / rho;
    return wanted < drawn ? wanted : drawn;
  });
}

// 1 - (1 - beta)^k, the chance that one of k candidates is kept; without the
// cancellation, which small beta would not survive in float.
template <typename Real>
SC_HOST_DEVICE inline Real kseq_rate(Real beta, int k) {
  Real rate = 0;
  for (int i = 0; i < k; ++i) rate += beta * (1 - rate);
  return rate;
}

// The smallest valid rho, to the last bits of Real.
template <typename Math, typename Real>
SC_COLLECTIVE Real kseq_rho(const Real* pi, const Real* drafter, int vocabulary, int k) {
  const auto valid = [=](Real rho) {
    const Real beta = kseq_beta<Math>(pi, drafter, vocabulary, rho);
    return rho * beta >= kseq_rate(beta, k);
  };
  Real low = 1;
  if (valid(low)) return low;
  auto high = static_cast<Real>(k);
  for (;;) {
    const Real middle = low + (high - low) / 2;
    if (!(low < middle && middle < high)) return high;
    (valid(middle) ? high : low) = middle;
  }
}

// The residual row, not normalised, into `out`; returns its sum.
template <typename Math, typename Real>
SC_COLLECTIVE Real kseq_residual(const Real* pi, const Real* drafter, int vocabulary, int k,
                                 Real rho, Real* out) {
  const Real beta = kseq_beta<Math>(pi, drafter, vocabulary, rho);
  const Real share = beta > 0 ? kseq_rate(beta, k) / beta : Real{0};
  return Math::write_sum(out, vocabulary, [=](int v) {
    const Real whole = pi[v], drawn = drafter[v], wanted = whole / rho;
    const Real rest = whole - (wanted < drawn ? wanted : drawn) * share;
    return rest > 0 ? rest : Real{0};
  });
}

struct KseqOutcome {
  int kept = -1;      // the candidate kept; -1: none
  int32_t next = -1;  // the token emitted instead of the candidates
};

// tokens   [k] drawn independently from `drafter`
// scratch  [vocabulary]
template <typename Math, typename Choices>
SC_COLLECTIVE KseqOutcome accept_kseq(int k, const int32_t* tokens, int vocabulary,
                                      const typename Math::Real* pi,
                                      const typename Math::Real* drafter,
                                      typename Math::Real* scratch, Choices& choices) {
  using Real = typename Math::Real;
  KseqOutcome outcome;
  const Real rho = kseq_rho<Math>(pi, drafter, vocabulary, k);
  for (int i = 0; i < k; ++i) {
    if (!choices.accept(acceptance(pi[tokens[i]], rho * drafter[tokens[i]]), i)) continue;
    outcome.kept = i;
    return outcome;
  }
  const Real mass = kseq_residual<Math>(pi, drafter, vocabulary, k, rho, scratch);
  outcome.next = mass < empty_residual<Real>()
                     ? choices.draw(pi, vocabulary, Math::sum(pi, vocabulary), 0)
                     : choices.draw(scratch, vocabulary, mass, 0);
  return outcome;
}

// K-SEQ at every node of a tree whose children were drawn independently from the node's
// row: parameters as of accept_tree; scratch [2, vocabulary].
template <typename Math, typename TargetRow, typename DrafterRow, typename Ends, typename Choices>
SC_COLLECTIVE TreeOutcome accept_kseq_tree(const TreeShape& tree, int vocabulary,
                                           const TargetRow& pi, const DrafterRow& drafter,
                                           typename Math::Real* scratch, const Ends& ends,
                                           Choices& choices, int32_t* path) {
  using Real = typename Math::Real;
  // Choices of one node: candidates are told apart by their nodes, the final draw by depth.
  struct AtNode {
    Choices& choices;
    int first_child;
    int depth;
    SC_COLLECTIVE bool accept(Real probability, int child) {
      return choices.accept(probability, first_child + child);
    }
    SC_COLLECTIVE int draw(const Real* weights, int count, Real total, int /*place*/) {
      return choices.draw(weights, count, total, depth);
    }
  };
  TreeOutcome outcome;
  int node = -1;
  for (;;) {
    int first = node + 1;
    while (first < tree.nodes && tree.parents[first] != node) ++first;
    int last = first;
    while (last < tree.nodes && tree.parents[last] == node) ++last;
    const Real* wanted = whole_row<Math>(pi(node), vocabulary, scratch + vocabulary);
    if (first == last) {
      outcome.next =
          choices.draw(wanted, vocabulary, Math::sum(wanted, vocabulary), outcome.accepted);
      return outcome;
    }
    ++outcome.tested;
    AtNode at{choices, first, outcome.accepted};
    const KseqOutcome kept = accept_kseq<Math>(last - first, tree.tokens + first, vocabulary,
                                               wanted, drafter(node), scratch, at);
    outcome.next = kept.next;
    if (kept.kept < 0) return outcome;
    node = first + kept.kept;
    const int place = outcome.accepted++;
    Math::alone([=] { path[place] = node; });
    outcome.next = -1;
    if (ends(tree.tokens[node])) return outcome;
  }
}

}  // namespace speccascade
