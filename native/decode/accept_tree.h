// Token-wise verification of a candidate tree (Yang et al. 2024, multi-candidate
// speculative decoding; SpecInfer's recursion), for any distribution pi:
//
//   At a node: t = pi. For each child c in the order drawn, r the row it was drawn
//   from: keep c with probability min(1, t(c) / r(c)); otherwise
//   t = norm(max(0, t - r)). All rejected: emit a draw from t and stop. Kept: go on
//   below c; at a leaf emit a draw from the leaf's own pi.
//
//   with replacement     r = q for every child
//   without replacement  r = q at first, and after each rejection norm(r without c)
//   fixed                children chosen without chance (top-k, copies): r is one-hot,
//                        that is, keep c with probability t(c), else t = norm(t without c)
//   given                r is handed over for each child (cascade drafting)
//
// Claim: the emitted tokens are distributed as ancestral sampling from pi.
#pragma once

#include <cstdint>

#include "decode/accept_chain.h"
#include "decode/draft_shape.h"

namespace speccascade {

// Candidate nodes, parents before children, siblings in the order drawn.
struct TreeShape {
  int nodes;
  const int32_t* parents;  // [nodes]; -1: the prefix
  const int32_t* tokens;   // [nodes]
  Siblings siblings;
};

struct TreeOutcome {
  int accepted = 0;   // length of the accepted path
  int tested = 0;     // positions tested: accepted, and the one where all were rejected
  int32_t next = -1;  // -1 when the path's last token ends the sequence
};

namespace tree_detail {

// t = norm(max(0, t - r)). Left as it is where the difference is rounding noise.
template <typename Math, typename Real>
SC_COLLECTIVE void subtract(Real* t, const Real* r, int vocabulary) {
  const auto rest = [=](int v) {
    const Real difference = t[v] - r[v];
    return difference > 0 ? difference : Real{0};
  };
  const Real mass = Math::sum_of(vocabulary, rest);
  if (mass < empty_residual<Real>()) return;
  Math::write(t, vocabulary, [=](int v) { return rest(v) / mass; });
}

// t = norm(t without token). Left as it is where the rest is rounding noise.
template <typename Math, typename Real>
SC_COLLECTIVE void exclude(Real* t, int32_t token, int vocabulary) {
  const auto rest = [=](int v) {
    const Real entry = t[v];
    return v == token ? Real{0} : entry;
  };
  const Real mass = Math::sum_of(vocabulary, rest);
  if (mass < empty_residual<Real>()) return;
  Math::write(t, vocabulary, [=](int v) { return rest(v) / mass; });
}

// row = norm(row without token); all zero if nothing else had mass.
template <typename Math, typename Real>
SC_COLLECTIVE void remove_token(Real* row, int32_t token, int vocabulary) {
  Math::put(row, token, Real{0});
  const Real mass = Math::sum(row, vocabulary);
  if (mass > 0) Math::scale(row, vocabulary, 1 / mass);
}

}  // namespace tree_detail

// pi(n), drafter(n)  rows [vocabulary] after node n (-1: after the prefix); pi's as of accept_chain
// given(c)           the row that child c was drawn from; read for Siblings::kGiven
// wanted, proposal   scratch [vocabulary] each
// path               [nodes] receives the accepted nodes
// choices            bool accept(Real probability, int node)
//                    int draw(const Real* weights, int count, Real total, int depth)
template <typename Math, typename TargetRow, typename DrafterRow, typename GivenRow, typename Ends,
          typename Choices>
SC_COLLECTIVE TreeOutcome accept_tree(const TreeShape& tree, int vocabulary, const TargetRow& pi,
                                      const DrafterRow& drafter, const GivenRow& given,
                                      typename Math::Real* wanted, typename Math::Real* proposal,
                                      const Ends& ends, Choices& choices, int32_t* path) {
  using Real = typename Math::Real;
  const auto copy = [=](const Real* from, Real* to) {
    if (from != to) Math::copy(from, vocabulary, to);
  };
  TreeOutcome outcome;
  int node = -1;
  for (;;) {
    copy(whole_row<Math>(pi(node), vocabulary, wanted), wanted);
    bool fresh = true;  // whether `proposal` has yet to be set for this node
    int kept = -1;
    for (int child = node + 1; child < tree.nodes && kept < 0; ++child) {
      if (tree.parents[child] != node) continue;
      const int32_t token = tree.tokens[child];
      if (fresh) ++outcome.tested;
      if (tree.siblings == Siblings::kFixed) {
        fresh = false;
        if (choices.accept(wanted[token], child))
          kept = child;
        else
          tree_detail::exclude<Math>(wanted, token, vocabulary);
        continue;
      }
      if (tree.siblings == Siblings::kGiven) {
        copy(given(child), proposal);
      } else if (fresh) {
        copy(drafter(node), proposal);
      }
      fresh = false;
      if (choices.accept(acceptance(wanted[token], proposal[token]), child)) {
        kept = child;
      } else {
        tree_detail::subtract<Math>(wanted, proposal, vocabulary);
        if (tree.siblings == Siblings::kWithoutReplacement) {
          tree_detail::remove_token<Math>(proposal, token, vocabulary);
        }
      }
    }
    if (kept < 0) break;
    const int place = outcome.accepted++;
    Math::alone([=] { path[place] = kept; });
    if (ends(tree.tokens[kept])) return outcome;
    node = kept;
  }
  outcome.next = choices.draw(wanted, vocabulary, Math::sum(wanted, vocabulary), outcome.accepted);
  return outcome;
}

}  // namespace speccascade
