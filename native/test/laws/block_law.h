// Block verification of one given draft, laid open: weights, thresholds and the row
// sampled after every number of accepted tokens, as accept_block has them.
#pragma once

#include <cstdint>
#include <vector>

#include "decode/accept_block.h"
#include "ops/row_math.h"

namespace speccascade::laws {

// What block verification makes of one draft.
struct BlockScan {
  std::vector<double> weights;     // w_0 .. w_g
  std::vector<double> thresholds;  // h_1 .. h_g
  // [g + 1] the row sampled after t accepted tokens; empty where it has no mass, so
  // that a test behind t is certain to pass.
  std::vector<std::vector<double>> rows;
  std::vector<double> masses;  // [g + 1] its sum before normalisation
};

namespace block_detail {

// Accepts up to a given place and no further.
struct StopAfter {
  int accepted;
  std::vector<double> row = {};

  template <typename Real>
  bool accept(Real /*probability*/, int place) const {
    return place < accepted;
  }
  template <typename Real>
  int32_t draw(const Real* weights, int count, Real total, int /*place*/) {
    row.assign(weights, weights + count);
    for (double& weight : row) weight /= static_cast<double>(total);
    return 0;
  }
};

}  // namespace block_detail

// pi [g + 1, vocabulary], drafter [g, vocabulary]: rows along the draft.
template <typename Real>
BlockScan scan_block(const std::vector<int32_t>& draft, int vocabulary, const Real* pi,
                     const Real* drafter) {
  const auto drafted = static_cast<int>(draft.size());
  std::vector<Real> thresholds(draft.size()), weights(draft.size() + 1);
  std::vector<Real> scratch(static_cast<size_t>(vocabulary));
  const auto wanted = [=](int i) { return pi + static_cast<int64_t>(i) * vocabulary; };
  const auto drawn = [=](int i) { return drafter + static_cast<int64_t>(i) * vocabulary; };
  BlockScan scan;
  for (int accepted = 0; accepted <= drafted; ++accepted) {
    block_detail::StopAfter choices = {accepted};
    accept_block<RowMath<Real>>(
        drafted, draft.data(), vocabulary, wanted, drawn, scratch.data(),
        [](int32_t) { return false; }, choices, thresholds.data(), weights.data());
    const Real mass = accepted == drafted ? Real{1}
                                          : total_of_rest<RowMath<Real>>(
                                                wanted(accepted), drawn(accepted), vocabulary,
                                                weights[static_cast<size_t>(accepted)]);
    const bool empty = mass < empty_residual<Real>();
    scan.masses.push_back(static_cast<double>(mass));
    scan.rows.push_back(empty ? std::vector<double>() : choices.row);
  }
  scan.weights.assign(weights.begin(), weights.end());
  scan.thresholds.assign(thresholds.begin(), thresholds.end());
  return scan;
}

}  // namespace speccascade::laws
