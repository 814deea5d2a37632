// Traversal verification of a candidate tree (Weng et al. 2025, "Traversal Verification for
// Speculative Tree Decoding"): from the leaves to the root, so that a path is kept as a whole, as
// block verification keeps a chain. For any distribution pi:
//
//   A node has a weight w, the row t that is wanted after it and the row r that its next child was
//   drawn from; the root has w = 1, and at first t = pi and r is as in accept_tree.h.
//   Children are visited in the order drawn, child c with w_c = min(1, w t(c) / r(c)). When all
//   below c and c itself were rejected:
//
//     S = sum_v max(0, w t(v) - r(v)),  t = max(0, w t - r) / S,  w = S / (S + 1 - w)
//
//   and without replacement r = norm(r without c). A node without a child left is kept with
//   probability w, each node by a uniform of its own; the root always is. Emit the path to the
//   first node kept, then a draw from its t.
//
// Claim: the emitted tokens are distributed as ancestral sampling from pi. (A visit of node n keeps
// n or what is below it with probability w on average, with t's law for what follows: a child
// drawn from r takes min(w t, r) of it, what is left is S, over the chance 1 - w + S that the child
// was rejected.) On a chain it is block verification, test by test.
#pragma once

#include <cstdint>

#include "decode/accept_block.h"
#include "decode/accept_tree.h"

namespace speccascade {

namespace traversal_detail {

// The first child of `node` behind the node `behind`; tree.nodes where there is none.
SC_HOST_DEVICE inline int next_child(const TreeShape& tree, int node, int behind) {
  int child = behind + 1;
  while (child < tree.nodes && tree.parents[child] != node) ++child;
  return child;
}

// A node on the way, with what its children left of it.
template <typename Real>
struct Place {
  int node = -1;
  int depth = 0;
  int last = -1;  // of its children the last that was rejected, or the node itself
  Real weight = 1;

  SC_HOST_DEVICE bool touched() const { return last != node; }
};

// One step's walk. Rows of a node at depth d, once a child was rejected: t at rows + 2 d x
// vocabulary, behind it r (without replacement).
template <typename Math, typename TargetRow, typename DrafterRow, typename GivenRow>
struct Traversal {
  using Real = typename Math::Real;

  const TreeShape& tree;
  int vocabulary;
  const TargetRow& pi;
  const DrafterRow& drafter;
  const GivenRow& given;
  Real* rows;
  Real* weights;  // of the nodes above, by depth

  SC_HOST_DEVICE Real* wanted(int depth) const { return rows + int64_t{2} * depth * vocabulary; }
  SC_HOST_DEVICE Real* proposal(int depth) const { return wanted(depth) + vocabulary; }

  // What child `child` of a place was drawn from; null where it was chosen without chance.
  SC_COLLECTIVE const Real* drawn_from(const Place<Real>& place, int child) const {
    switch (tree.siblings) {
      case Siblings::kFixed:
        return nullptr;
      case Siblings::kGiven:
        return given(child);
      case Siblings::kWithoutReplacement:
        if (place.touched()) return proposal(place.depth);
        break;
      case Siblings::kWithReplacement:
        break;
    }
    return drafter(place.node);
  }

  SC_COLLECTIVE Place<Real> down(const Place<Real>& place, int child) const {
    const int32_t token = tree.tokens[child];
    const Real entry = place.touched() ? wanted(place.depth)[token] : pi(place.node)[token];
    const Real* drawn = drawn_from(place, child);
    const Real weight = acceptance(place.weight * entry, drawn != nullptr ? drawn[token] : Real{1});
    Real* above = weights;
    Math::alone([=] { above[place.depth] = place.weight; });
    return {child, place.depth + 1, child, weight};
  }

  // The parent of a rejected place.
  SC_COLLECTIVE Place<Real> up(const Place<Real>& rejected) const {
    const int child = rejected.node, node = tree.parents[child], depth = rejected.depth - 1;
    const bool first = next_child(tree, node, node) == child;
    Place<Real> place = {node, depth, first ? node : child, weights[depth]};
    Real* left = wanted(depth);
    const Real* row = first ? whole_row<Math>(pi(node), vocabulary, left) : left;
    const Real* drawn = drawn_from(place, child);
    const int32_t token = tree.tokens[child];
    const Real weight = place.weight;
    const auto rest = [=](int v) {
      const Real entry = weight * row[v];
      const Real taken = drawn != nullptr ? drawn[v] : v == token ? entry : Real{0};
      return entry > taken ? entry - taken : Real{0};
    };
    const Real mass = Math::sum_of(vocabulary, rest);
    if (mass >= empty_residual<Real>()) {
      Math::write(left, vocabulary, [=](int v) { return rest(v) / mass; });
    } else if (row != left) {
      Math::copy(row, vocabulary, left);
    }
    if (tree.siblings == Siblings::kWithoutReplacement &&
        next_child(tree, node, child) < tree.nodes) {
      if (first) Math::copy(drawn, vocabulary, proposal(depth));
      tree_detail::remove_token<Math>(proposal(depth), token, vocabulary);
    }
    place.last = child;
    place.weight = block_threshold(mass, weight);
    return place;
  }
};

}  // namespace traversal_detail

// Parameters as of accept_tree, but
// rows     scratch [2 x levels, vocabulary]
// weights  scratch [levels]
template <typename Math, typename TargetRow, typename DrafterRow, typename GivenRow, typename Ends,
          typename Choices>
SC_COLLECTIVE TreeOutcome accept_traversal(const TreeShape& tree, int vocabulary,
                                           const TargetRow& pi, const DrafterRow& drafter,
                                           const GivenRow& given, typename Math::Real* rows,
                                           typename Math::Real* weights, const Ends& ends,
                                           Choices& choices, int32_t* path) {
  using Real = typename Math::Real;
  const traversal_detail::Traversal<Math, TargetRow, DrafterRow, GivenRow> walk = {
      tree, vocabulary, pi, drafter, given, rows, weights};
  traversal_detail::Place<Real> place;
  bool ended = false;
  for (;;) {
    ended = place.node >= 0 && ends(tree.tokens[place.node]);
    const int child =
        ended ? tree.nodes : traversal_detail::next_child(tree, place.node, place.last);
    // Nothing is kept below a node of weight 0.
    if (child < tree.nodes && place.weight > 0) {
      Math::alone([=] { path[place.depth] = child; });
      place = walk.down(place, child);
      continue;
    }
    if (place.node < 0 || choices.accept(place.weight, place.node)) break;
    place = walk.up(place);
  }
  TreeOutcome outcome;
  outcome.accepted = outcome.tested = place.depth;
  if (ended) return outcome;
  if (!place.touched()) {
    const auto all = weights_of<Math>(pi(place.node), vocabulary);
    outcome.next = choices.draw(all.entries, vocabulary, all.total, place.depth);
    return outcome;
  }
  ++outcome.tested;
  const Real* left = walk.wanted(place.depth);
  outcome.next = choices.draw(left, vocabulary, Math::sum(left, vocabulary), place.depth);
  return outcome;
}

}  // namespace speccascade
