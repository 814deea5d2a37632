// The law of one drafted token under a rule: pi, the acceptance of every token that
// may be drafted, and what replaces a rejected one. Read off accept_chain itself, by
// answering its choices.
#pragma once

#include <cmath>
#include <limits>
#include <vector>

#include "decode/accept_chain.h"
#include "decode/position_rows.h"
#include "decode/rules.h"
#include "ops/row_math.h"

namespace speccascade::laws {

struct PositionLaw {
  std::vector<double> pi;        // [vocabulary]
  std::vector<double> accept;    // [vocabulary] NaN where the drafter draws the token never
  std::vector<double> residual;  // [vocabulary]; empty where nothing is ever rejected
  std::vector<uint8_t> kept;     // [vocabulary] the kept set; empty but for token rules
  double deferral = 0.0;         // position rules: 1 for the target; token rules: q(A^c)
  double rate = 0.0;             // chance that a drafted token is accepted
  double variation = 0.0;        // total variation of the scaled rows
  double largest_drafter = 0.0;  // of the unscaled rows
  double largest_target = 0.0;
};

namespace position_detail {

// Notes what acceptance asks for, and gives the same answer always.
struct Probe {
  bool answer;
  double probability = 0.0;
  std::vector<double> final_row = {};

  template <typename Real>
  bool accept(Real asked, int /*place*/) {
    probability = static_cast<double>(asked);
    return answer;
  }
  template <typename Real>
  int32_t draw(const Real* weights, int count, Real total, int /*place*/) {
    final_row.assign(weights, weights + count);
    for (double& weight : final_row) weight /= static_cast<double>(total);
    return 0;
  }
};

constexpr bool is_token_rule(RuleKind kind) {
  return kind == RuleKind::kTokenV1 || kind == RuleKind::kTokenV2 || kind == RuleKind::kTokenV3;
}

// One drafted token through accept_chain, every token ending the sequence.
template <typename Real>
void probe_token(const std::vector<Real>& pi, const Real* drafter, int32_t token, Probe& probe) {
  std::vector<Real> scratch(probe.answer ? 0 : pi.size());
  accept_chain<RowMath<Real>>(
      1, &token, static_cast<int>(pi.size()), [&](int) { return pi.data(); },
      [&](int) { return drafter; }, scratch.data(), [](int32_t) { return true; }, probe);
}

template <typename Real>
void probe_all(const std::vector<Real>& pi, const Real* drafter, PositionLaw& law) {
  constexpr double kUndefined = std::numeric_limits<double>::quiet_NaN();
  law.accept.assign(pi.size(), kUndefined);
  int32_t rejected = -1;
  double lost = 0.0;
  for (size_t v = 0; v < pi.size(); ++v) {
    if (!(drafter[v] > 0)) continue;
    Probe probe = {true};
    probe_token(pi, drafter, static_cast<int32_t>(v), probe);
    law.accept[v] = probe.probability;
    law.rate += static_cast<double>(drafter[v]) * probe.probability;
    lost += static_cast<double>(drafter[v]) * (1.0 - probe.probability);
    if (probe.probability < 1.0) rejected = static_cast<int32_t>(v);
  }
  if (rejected < 0 || lost < static_cast<double>(empty_residual<Real>())) return;
  Probe probe = {false};
  probe_token(pi, drafter, rejected, probe);
  law.residual = probe.final_row;
}

}  // namespace position_detail

template <typename Real>
PositionLaw position_law(const Rule& rule, const PositionRows<Real>& position) {
  using Math = RowMath<Real>;
  const RuleRows<Real> rows = position.view();
  PositionLaw law;
  std::vector<Real> pi(static_cast<size_t>(rows.vocabulary));
  law.deferral = static_cast<double>(position.pi(rule, pi.data()));
  law.pi.assign(pi.begin(), pi.end());
  law.variation = static_cast<double>(
      rule_detail::total_variation<Math>(rows.target, rows.drafter, rows.vocabulary));
  law.largest_drafter = static_cast<double>(Math::max(rows.drafter_unscaled, rows.vocabulary));
  law.largest_target = static_cast<double>(Math::max(rows.target_unscaled, rows.vocabulary));
  if (position_detail::is_token_rule(rule.kind)) {
    const bool by_drafter = rule_detail::keeps_by_drafter(rule.kind);
    const Real* row = by_drafter ? rows.drafter_unscaled : rows.target_unscaled;
    const Real threshold = decide<Math>(rule, rows).threshold;
    for (int v = 0; v < rows.vocabulary; ++v) law.kept.push_back(row[v] >= threshold);
  }
  position_detail::probe_all(pi, rows.drafter, law);
  return law;
}

}  // namespace speccascade::laws
