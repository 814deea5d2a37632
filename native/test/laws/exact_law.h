// Exact laws of randomised code: runs it once for every combination of outcomes of
// its random choices, each run with its probability. The code under enumeration takes
// its choices from a ForkingChoices where the engine hands it counters; it is the
// engine's own code (accept_*.h), in float or in double.
//
//   ForkingChoices choices;
//   while (choices.next_run()) {
//     ... choices.pick(...), choices.accept(...), at last choices.draw(...) ...
//     law += choices.probability() * ...;
//   }
//
// A run repeats the choices of the one before up to the last that has an outcome
// left, and takes the next outcome there. The final draw is not forked: its whole
// distribution is kept, as final_row().
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "base/error.h"
#include "decode/accept_tree.h"

namespace speccascade::laws {

class ForkingChoices {
 public:
  // Enumerations beyond this are refused: they would not end in minutes.
  static constexpr int64_t kMaxRuns = 50'000'000;

  // Whether there is another run; call before each, the first included.
  bool next_run() {
    if (runs_ > 0 && !advance()) return false;
    if (++runs_ > kMaxRuns) fail(ErrorCode::kInput, "more than ", kMaxRuns, " outcomes");
    depth_ = 0;
    probability_ = 1.0;
    final_row_.clear();
    return true;
  }

  // Of the choices of this run so far; the final draw's not included.
  double probability() const { return probability_; }

  // The distribution of the final draw, [vocabulary], double whatever the arithmetic;
  // empty when the run ended without one.
  const std::vector<double>& final_row() const { return final_row_; }

  // Whether to accept with this probability; certain outcomes do not fork.
  template <typename Real>
  bool accept(Real probability, int /*node*/) {
    const auto kept = static_cast<double>(probability);
    if (!(kept > 0.0)) return false;
    if (kept >= 1.0) return true;
    if (depth_ == open_.size()) open_.push_back({{1, 0}, {kept, 1.0 - kept}, 0});
    return take() == 1;
  }

  // The token after the accepted ones: any stands for all, see final_row().
  template <typename Real>
  int32_t draw(const Real* weights, int count, Real total, int /*place*/) {
    final_row_.resize(static_cast<size_t>(count));
    int32_t possible = 0;
    for (int v = 0; v < count; ++v) {
      final_row_[static_cast<size_t>(v)] =
          static_cast<double>(weights[v]) / static_cast<double>(total);
      if (weights[v] > 0) possible = v;
    }
    return possible;
  }

  // A drafted token, v with probability weights[v] / their sum; -1 if none has any.
  template <typename Real>
  int32_t pick(const Real* weights, int count) {
    if (depth_ == open_.size()) {
      Fork fork = {};
      double total = 0.0;
      for (int v = 0; v < count; ++v) {
        if (!(weights[v] > 0)) continue;
        fork.outcomes.push_back(v);
        fork.probabilities.push_back(static_cast<double>(weights[v]));
        total += static_cast<double>(weights[v]);
      }
      if (fork.outcomes.empty()) {
        fork.outcomes.push_back(-1);
        fork.probabilities.push_back(1.0);
        total = 1.0;
      }
      for (double& probability : fork.probabilities) probability /= total;
      open_.push_back(fork);
    }
    return take();
  }

 private:
  struct Fork {
    std::vector<int32_t> outcomes;
    std::vector<double> probabilities;
    size_t chosen;
  };

  bool advance() {
    while (!open_.empty() && ++open_.back().chosen == open_.back().outcomes.size()) {
      open_.pop_back();
    }
    return !open_.empty();
  }

  int32_t take() {
    const Fork& fork = open_[depth_++];
    probability_ *= fork.probabilities[fork.chosen];
    return fork.outcomes[fork.chosen];
  }

  int64_t runs_ = 0;
  std::vector<Fork> open_;
  size_t depth_ = 0;
  double probability_ = 1.0;
  std::vector<double> final_row_;
};

// k candidates as drafting draws them: independently, or without replacement (fewer
// where the row has fewer tokens).
template <typename Real>
std::vector<int32_t> pick_candidates(ForkingChoices& choices, const Real* row, int vocabulary,
                                     Siblings siblings, int k) {
  std::vector<Real> weights(row, row + vocabulary);
  std::vector<int32_t> tokens;
  while (static_cast<int>(tokens.size()) < k) {
    const int32_t token = choices.pick(weights.data(), vocabulary);
    if (token < 0) break;
    tokens.push_back(token);
    if (siblings == Siblings::kWithoutReplacement) weights[static_cast<size_t>(token)] = 0;
  }
  return tokens;
}

// The k entries of the row that come first by value, equals by lowest index; entries
// of minus infinity never. What deterministic children are, at any temperature.
template <typename Real>
std::vector<int32_t> best_tokens(const Real* logits, int vocabulary, int k) {
  std::vector<int32_t> order;
  for (int v = 0; v < vocabulary; ++v) {
    if (logits[v] > -std::numeric_limits<Real>::infinity()) order.push_back(v);
  }
  const auto kept = std::min(static_cast<size_t>(k), order.size());
  std::partial_sort(
      order.begin(), order.begin() + static_cast<ptrdiff_t>(kept), order.end(),
      [&](int32_t a, int32_t b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; });
  order.resize(kept);
  return order;
}

}  // namespace speccascade::laws
