// The rows of single positions as rules and acceptance read them, made from logits or
// from probabilities, and the pi of each: what operations on single steps and exact
// laws start from. Shapes: one row is [vocabulary]; Real is float (the engine's
// arithmetic) or double.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "decode/row_scaling.h"
#include "decode/rules.h"
#include "ops/row_math.h"
#include "ops/sampling.h"

namespace speccascade {

namespace row_detail {

template <typename Real>
std::vector<Real> log_row(const Real* probabilities, int vocabulary) {
  std::vector<Real> logits(static_cast<size_t>(vocabulary));
  std::transform(probabilities, probabilities + vocabulary, logits.begin(),
                 [](Real p) { return std::log(p); });
  return logits;
}

}  // namespace row_detail

// The row that tokens are drawn from. Probabilities stand for the logits log(p), and
// at temperature 1 are taken as they are, so that equal stays equal.
template <typename Real>
void scale_row(const Real* input, int vocabulary, const RowScaling& scaling, Real* out) {
  const auto temperature = static_cast<Real>(scaling.temperature);
  const auto top_p = static_cast<Real>(scaling.top_p);
  if (!scaling.probabilities) {
    scale_logits(input, vocabulary, temperature, scaling.top_k, top_p, out);
  } else if (scaling.temperature == 1.0) {
    std::copy(input, input + vocabulary, out);
    filter_top(out, vocabulary, scaling.top_k, top_p);
  } else {
    const std::vector<Real> logits = row_detail::log_row(input, vocabulary);
    scale_logits(logits.data(), vocabulary, temperature, scaling.top_k, top_p, out);
  }
}

// The row that confidences are read from: temperature 1, unfiltered.
template <typename Real>
void confidence_row(const Real* input, int vocabulary, const RowScaling& scaling, Real* out) {
  RowScaling plain;
  plain.probabilities = scaling.probabilities;
  scale_row(input, vocabulary, plain, out);
}

// One position's rows, scaled and unscaled, owning what RuleRows points to.
template <typename Real>
class PositionRows {
 public:
  explicit PositionRows(int vocabulary)
      : drafter_(static_cast<size_t>(vocabulary)),
        target_(drafter_),
        drafter_unscaled_(drafter_),
        target_unscaled_(drafter_) {}

  // Both rows from logits or probabilities. A null drafter leaves its rows as they are;
  // without `confidences` so do the unscaled ones.
  void set(const Real* drafter, const Real* target, const RowScaling& scaling,
           bool confidences = true) {
    greedy_ = !(scaling.temperature > 0.0);
    scale_row(target, vocabulary(), scaling, target_.data());
    if (confidences) confidence_row(target, vocabulary(), scaling, target_unscaled_.data());
    if (drafter == nullptr) return;
    scale_row(drafter, vocabulary(), scaling, drafter_.data());
    if (confidences) confidence_row(drafter, vocabulary(), scaling, drafter_unscaled_.data());
  }

  // Unscaled rows that are not those of the scaled ones' logits.
  void set_unscaled(const Real* drafter, const Real* target) {
    std::copy(drafter, drafter + vocabulary(), drafter_unscaled_.begin());
    std::copy(target, target + vocabulary(), target_unscaled_.begin());
  }

  RuleRows<Real> view() const {
    return {drafter_.data(),         target_.data(), drafter_unscaled_.data(),
            target_unscaled_.data(), vocabulary(),   greedy_};
  }

  // Writes pi, [vocabulary]; returns the position's deferral.
  Real pi(const Rule& rule, Real* out) const {
    return rule_target<RowMath<Real>>(rule, view(), out).deferral;
  }

 private:
  int vocabulary() const { return static_cast<int>(drafter_.size()); }

  std::vector<Real> drafter_;
  std::vector<Real> target_;
  std::vector<Real> drafter_unscaled_;
  std::vector<Real> target_unscaled_;
  bool greedy_ = false;
};

}  // namespace speccascade
