// The law of one step of speculation on a candidate tree, through accept_tree or
// accept_traversal: on the whole tree where its outcomes can be enumerated, else, token by token,
// node by node (what happens at a node depends on the way to it by the prefix alone).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "base/error.h"
#include "decode/accept_traversal.h"
#include "decode/accept_tree.h"
#include "decode/position_rows.h"
#include "ops/row_math.h"
#include "test/laws/candidates_law.h"
#include "test/laws/exact_law.h"
#include "test/laws/step_law.h"

namespace speccascade::laws {

// A tree whose every node at depth d has widths[d] children; fewer where the drafter
// has fewer tokens. Children are drawn when acceptance comes to their parent, so only
// nodes on the way are enumerated; traversal, which begins at the leaves, has all of them.
template <typename Real>
class TreeEnumeration {
 public:
  TreeEnumeration(const ModelRows<Real>& rows, const std::vector<int>& widths, Siblings siblings)
      : rows_(rows), widths_(widths), siblings_(siblings) {
    int64_t begin = 0, end = 1;  // of a level, counted with the root as node 0
    for (const int width : widths) {
      first_child_.resize(static_cast<size_t>(end));
      for (int64_t node = begin; node < end; ++node) {
        first_child_[static_cast<size_t>(node)] =
            static_cast<int32_t>(end + (node - begin) * width - 1);
      }
      const int64_t next = end + (end - begin) * width;
      if (next > kMaxNodes) fail(ErrorCode::kInput, "more than ", kMaxNodes, " nodes");
      begin = end;
      end = next;
    }
    nodes_ = static_cast<int>(end - 1);
    parents_.resize(static_cast<size_t>(nodes_));
    tokens_.resize(static_cast<size_t>(nodes_));
    prefix_.resize(static_cast<size_t>(nodes_) + 1);
    depth_.resize(static_cast<size_t>(nodes_) + 1);
  }

  StepLaw run(bool traversal) {
    const int vocabulary = rows_.vocabulary();
    step_detail::LawSum sum(vocabulary, rows_.levels());
    const int scratch_rows = verify_scratch_rows(traversal, static_cast<int>(widths_.size()));
    std::vector<Real> scratch(static_cast<size_t>(scratch_rows * vocabulary));
    std::vector<Real> weights(widths_.size());
    std::vector<int32_t> path(widths_.size()), accepted;
    const TreeShape tree = {nodes_, parents_.data(), tokens_.data(), siblings_};
    const auto drafter = [&](int node) { return rows_.drafter(prefix(node)); };
    while (choices_.next_run()) {
      std::fill(parents_.begin(), parents_.end(), kAbsent);
      expanded_ = kAbsent;
      if (traversal) expand_all();
      const auto pi = [&](int node) {
        if (!traversal) expand(node);
        return rows_.pi(prefix(node));
      };
      const TreeOutcome outcome =
          traversal ? accept_traversal<RowMath<Real>>(
                          tree, vocabulary, pi, drafter, drafter, scratch.data(), weights.data(),
                          step_detail::kNeverEnds, choices_, path.data())
                    : accept_tree<RowMath<Real>>(tree, vocabulary, pi, drafter, drafter,
                                                 scratch.data(), scratch.data() + vocabulary,
                                                 step_detail::kNeverEnds, choices_, path.data());
      accepted.clear();
      for (int i = 0; i < outcome.accepted; ++i) {
        accepted.push_back(tokens_[static_cast<size_t>(path[static_cast<size_t>(i)])]);
      }
      sum.add(accepted, choices_);
    }
    return sum.law();
  }

 private:
  static constexpr int32_t kAbsent = -2;
  static constexpr int64_t kMaxNodes = 1 << 16;

  // The root, node -1, comes first.
  static size_t place(int node) { return static_cast<size_t>(int64_t{node} + 1); }

  int64_t prefix(int node) const { return prefix_[place(node)]; }

  // Draws the children of a node, once a run.
  void expand(int node) {
    const auto depth = static_cast<size_t>(depth_[place(node)]);
    if (depth == widths_.size() || node == expanded_) return;
    expanded_ = node;
    auto child = static_cast<size_t>(first_child_[place(node)]);
    for (const int32_t token : children(node, widths_[depth])) {
      parents_[child] = node;
      tokens_[child] = token;
      prefix_[child + 1] = prefix_after(prefix(node), token, rows_.vocabulary());
      depth_[child + 1] = static_cast<int>(depth) + 1;
      ++child;
    }
  }

  void expand_all() {
    expand(-1);
    for (int node = 0; node < nodes_; ++node) {
      if (parents_[static_cast<size_t>(node)] != kAbsent) expand(node);
    }
  }

  std::vector<int32_t> children(int node, int width) {
    const int vocabulary = rows_.vocabulary();
    if (siblings_ == Siblings::kFixed) {
      return best_tokens(rows_.logits(prefix(node)), vocabulary, width);
    }
    return pick_candidates(choices_, rows_.drafter(prefix(node)), vocabulary, siblings_, width);
  }

  const ModelRows<Real>& rows_;
  const std::vector<int>& widths_;
  Siblings siblings_;
  ForkingChoices choices_;
  int nodes_ = 0;
  std::vector<int32_t> first_child_;  // [inner nodes + 1] of the root first
  std::vector<int32_t> parents_;      // [nodes] kAbsent until drawn
  std::vector<int32_t> tokens_;       // [nodes]
  std::vector<int64_t> prefix_;       // [nodes + 1] of the root first
  std::vector<int> depth_;            // likewise
  int expanded_ = kAbsent;
};

namespace tree_law_detail {

// Adds what happens from the prefix `tokens` on, which is reached with `chance`.
template <typename Real>
void add_node(const ModelRows<Real>& rows, const std::vector<int>& widths, Siblings siblings,
              std::vector<int32_t>& tokens, double chance, step_detail::LawSum& sum) {
  const int vocabulary = rows.vocabulary();
  int64_t prefix = 0;
  for (const int32_t token : tokens) prefix = prefix_after(prefix, token, vocabulary);
  const std::vector<Real> pi(rows.pi(prefix), rows.pi(prefix) + vocabulary);
  const std::vector<Real> drafter(rows.drafter(prefix), rows.drafter(prefix) + vocabulary);
  std::vector<int32_t> fixed;
  const bool leaf = tokens.size() == widths.size();
  const int width = leaf ? 0 : widths[tokens.size()];
  if (siblings == Siblings::kFixed) fixed = best_tokens(rows.logits(prefix), vocabulary, width);
  CandidateLaw law = candidate_law(CandidateRows<Real>{pi, drafter, siblings}, width, fixed);
  for (double& rejected : law.rejected) rejected *= chance;
  sum.add(tokens, law.rejected);
  for (int32_t v = 0; v < vocabulary; ++v) {
    const double accepted = law.accepted[static_cast<size_t>(v)];
    if (!(accepted > 0.0)) continue;
    tokens.push_back(v);
    add_node(rows, widths, siblings, tokens, chance * accepted, sum);
    tokens.pop_back();
  }
}

}  // namespace tree_law_detail

template <typename Real>
StepLaw tree_law(const ModelRows<Real>& rows, const std::vector<int>& widths, Siblings siblings,
                 bool traversal) {
  // At a node of width k: the candidates, times where acceptance ends.
  constexpr double kFewRuns = 2e5;
  double runs = 1.0;
  for (const int width : widths) runs *= std::pow(rows.vocabulary(), width) * (width + 1);
  if (traversal || runs <= kFewRuns) {
    return TreeEnumeration<Real>(rows, widths, siblings).run(traversal);
  }
  step_detail::LawSum sum(rows.vocabulary(), rows.levels());
  std::vector<int32_t> tokens;
  tree_law_detail::add_node(rows, widths, siblings, tokens, 1.0, sum);
  return sum.law();
}

}  // namespace speccascade::laws
