// Deferral rules: whom to trust at one position. A rule is a function from the
// drafter's row q and the target's row p to pi, the distribution that the emitted
// token shall have, and nothing else: drafting and verification only ever see pi.
//
// Narasimhan et al., "Faster Cascades via Speculative Decoding" (ICLR 2025,
// 2405.19261v2, eqs. 1-15); lossy with beta: Tran-Thien's closed form as given
// there; BiLD: Kim et al. 2023. Notation and limits: docs/methods.md.
//
// q, p    scaled rows: after temperature, top-k, top-p; what tokens are drawn from
// q0, p0  unscaled rows: temperature 1, unfiltered; what confidences are read from
// m_q, m_p  largest entries of q0 and p0
//
//   rule          keeps the drafter where
//   lossless      never: pi = p
//   lossy         pi = min(q, p/(1-a)) + R norm(max(0, p/b - q)), R = sum max(0, q - p/(1-a))
//   chow          m_q >= 1 - a                       chowLog  H(q0) <= a
//   diff          m_q >= m_p - a                     diffLog  H(q0) <= H(p0) + a
//   opt           m_q >= m_p - a TV(p, q)            optLog   H(q0) <= H(p0) + a TV(p, q)
//   tokenV1       tokens A = {v: q0(v) >= m_p - a}
//   tokenV2       tokens A = {v: p0(v) >= m_p - a}
//   tokenV3       tokens A = {v: p0(v) >= (1 - a) m_p}
//   bild          D(q0, p0) <= a (rollback)
//
// Position rules: pi = q or p. Token rules: pi = q on A, plus q's mass off A times
// p. Equality keeps the drafter.
#pragma once

#include <cmath>
#include <cstdint>

#include "base/host_device.h"

namespace speccascade {

enum class RuleKind : int32_t {
  kLossless,
  kLossy,
  kLossyMatched,  // lossy, beta chosen so that pi = max(min(q, p/(1-a)), p/b) sums to 1
  kChow,
  kDiff,
  kOpt,
  kChowLog,
  kDiffLog,
  kOptLog,
  kTokenV1,
  kTokenV2,
  kTokenV3,
  kBild,
};

struct Rule {
  RuleKind kind = RuleKind::kLossless;
  double alpha = 0.0;  // bild: rollback
  double beta = 1.0;   // lossy alone
};

SC_HOST_DEVICE constexpr bool reads_drafter(RuleKind kind) { return kind != RuleKind::kLossless; }

// Whether the rule reads the unscaled rows.
SC_HOST_DEVICE constexpr bool reads_confidence(RuleKind kind) {
  return kind != RuleKind::kLossless && kind != RuleKind::kLossy && kind != RuleKind::kLossyMatched;
}

// Whether the drafter's row alone decides.
SC_HOST_DEVICE constexpr bool decides_alone(RuleKind kind) {
  return kind == RuleKind::kChow || kind == RuleKind::kChowLog;
}

// The rows of one position. The unscaled ones may be null if the rule does not
// read them.
template <typename Real>
struct RuleRows {
  const Real* drafter;
  const Real* target;
  const Real* drafter_unscaled;
  const Real* target_unscaled;
  int vocabulary;
  bool greedy;  // temperature 0
};

// How much was deferred at a position: position rules 0 or 1, token rules the
// drafter's mass off the kept set; 0 for rules that do not defer.
template <typename Real>
struct RuleResult {
  Real deferral = 0;
};

namespace rule_detail {

template <typename Math, typename Real>
SC_COLLECTIVE Real entropy(const Real* row, int vocabulary) {
  return Math::sum_of(vocabulary,
                      [=](int v) { return row[v] > 0 ? -row[v] * std::log(row[v]) : Real{0}; });
}

template <typename Math, typename Real>
SC_COLLECTIVE Real total_variation(const Real* target, const Real* drafter, int vocabulary) {
  return Math::sum_of(
      vocabulary, [=](int v) { return target[v] > drafter[v] ? target[v] - drafter[v] : Real{0}; });
}

// a x TV, 0 where TV is 0 even if a is infinite.
template <typename Real>
SC_COLLECTIVE Real scaled_variation(Real alpha, Real variation) {
  return variation > 0 ? alpha * variation : Real{0};
}

// BiLD's distance between drafter and target.
template <typename Math, typename Real>
SC_COLLECTIVE Real bild_distance(const RuleRows<Real>& rows) {
  const Real* q = rows.drafter_unscaled;
  const Real* p = rows.target_unscaled;
  if (rows.greedy) return -std::log(p[Math::argmax(q, rows.vocabulary)]);
  return Math::sum_of(rows.vocabulary,
                      [=](int v) { return q[v] > 0 ? -q[v] * std::log(p[v]) : Real{0}; });
}

template <typename Math, typename Real>
SC_COLLECTIVE bool keeps_drafter(RuleKind kind, Real alpha, const RuleRows<Real>& rows) {
  const Real* q = rows.drafter_unscaled;
  const Real* p = rows.target_unscaled;
  const int count = rows.vocabulary;
  const auto variation = [&] {
    return scaled_variation(alpha, total_variation<Math>(rows.target, rows.drafter, count));
  };
  switch (kind) {
    case RuleKind::kChow:
      return Math::max(q, count) >= 1 - alpha;
    case RuleKind::kDiff:
      return Math::max(q, count) >= Math::max(p, count) - alpha;
    case RuleKind::kOpt:
      return Math::max(q, count) >= Math::max(p, count) - variation();
    case RuleKind::kChowLog:
      return entropy<Math>(q, count) <= alpha;
    case RuleKind::kDiffLog:
      return entropy<Math>(q, count) <= entropy<Math>(p, count) + alpha;
    case RuleKind::kOptLog:
      return entropy<Math>(q, count) <= entropy<Math>(p, count) + variation();
    case RuleKind::kBild:
      return bild_distance<Math>(rows) <= alpha;
    default:
      return false;
  }
}

// The tokens that a token rule keeps: those with row[v] >= threshold.
template <typename Real>
struct KeptSet {
  const Real* row;
  Real threshold;
};

template <typename Math, typename Real>
SC_COLLECTIVE KeptSet<Real> kept_set(RuleKind kind, Real alpha, const RuleRows<Real>& rows) {
  const Real largest = Math::max(rows.target_unscaled, rows.vocabulary);
  switch (kind) {
    case RuleKind::kTokenV1:
      return {rows.drafter_unscaled, largest - alpha};
    case RuleKind::kTokenV2:
      return {rows.target_unscaled, largest - alpha};
    default:
      return {rows.target_unscaled, (1 - alpha) * largest};
  }
}

// pi = q on the kept tokens, plus q's other mass times p.
template <typename Math, typename Real>
SC_COLLECTIVE RuleResult<Real> keep_tokens(const KeptSet<Real>& kept, const RuleRows<Real>& rows,
                                           Real* pi) {
  const Real* q = rows.drafter;
  const Real* p = rows.target;
  const Real deferred = Math::sum_of(
      rows.vocabulary, [=](int v) { return kept.row[v] >= kept.threshold ? Real{0} : q[v]; });
  Math::for_each(rows.vocabulary, [=](int v) {
    pi[v] = (kept.row[v] >= kept.threshold ? q[v] : Real{0}) + deferred * p[v];
  });
  return {deferred};
}

// 1 / beta of the matched lossy rule: the root t <= 1 of f(t) = sum max(0, t p - q)
// = rejected. f is convex and increasing, so Newton from t = 1 comes down to the
// root without passing it, and ends when the set of positive terms stays.
template <typename Math, typename Real>
SC_COLLECTIVE Real matched_inverse_beta(const RuleRows<Real>& rows, Real rejected) {
  const Real* q = rows.drafter;
  const Real* p = rows.target;
  Real t = 1;
  for (int round = 0; round < 64; ++round) {
    const Real slope =
        Math::sum_of(rows.vocabulary, [=](int v) { return t * p[v] > q[v] ? p[v] : Real{0}; });
    const Real offset =
        Math::sum_of(rows.vocabulary, [=](int v) { return t * p[v] > q[v] ? q[v] : Real{0}; });
    if (!(slope > 0)) break;
    const Real next = (rejected + offset) / slope;
    if (!(next < t)) break;
    t = next;
  }
  return t;
}

template <typename Math, typename Real>
SC_COLLECTIVE void lossy_target(const Rule& rule, const RuleRows<Real>& rows, Real* pi) {
  const Real* q = rows.drafter;
  const Real* p = rows.target;
  const int count = rows.vocabulary;
  const Real keep = 1 - static_cast<Real>(rule.alpha);
  // min(q, p / keep): nothing where p is nothing, at alpha = 1 too.
  const auto kept = [=](int v) {
    const Real bound = p[v] > 0 ? p[v] / keep : Real{0};
    return q[v] < bound ? q[v] : bound;
  };
  const Real rejected = Math::sum_of(count, [=](int v) { return q[v] - kept(v); });
  const Real inverse_beta = rule.kind == RuleKind::kLossyMatched
                                ? matched_inverse_beta<Math>(rows, rejected)
                                : 1 / static_cast<Real>(rule.beta);
  const Real residual = Math::sum_of(count, [=](int v) {
    return p[v] * inverse_beta > q[v] ? p[v] * inverse_beta - q[v] : Real{0};
  });
  Math::for_each(count, [=](int v) {
    // An empty residual although something is rejected (large beta): p.
    const Real share =
        residual > 0
            ? (p[v] * inverse_beta > q[v] ? p[v] * inverse_beta - q[v] : Real{0}) / residual
            : p[v];
    pi[v] = kept(v) + rejected * share;
  });
}

}  // namespace rule_detail

// Whether a rule that decides alone keeps the drafter, from its unscaled row.
template <typename Math, typename Real>
SC_COLLECTIVE bool keeps_drafter_alone(const Rule& rule, const Real* drafter_unscaled,
                                       int vocabulary) {
  return rule_detail::keeps_drafter<Math>(
      rule.kind, static_cast<Real>(rule.alpha),
      RuleRows<Real>{nullptr, nullptr, drafter_unscaled, nullptr, vocabulary, false});
}

// Writes pi of one position. `pi` may not alias the rows.
template <typename Math, typename Real>
SC_COLLECTIVE RuleResult<Real> rule_target(const Rule& rule, const RuleRows<Real>& rows, Real* pi) {
  using namespace rule_detail;
  const auto alpha = static_cast<Real>(rule.alpha);
  const auto copy = [&](const Real* from) {
    Math::for_each(rows.vocabulary, [=](int v) { pi[v] = from[v]; });
  };
  switch (rule.kind) {
    case RuleKind::kLossless:
      copy(rows.target);
      return {};
    case RuleKind::kLossy:
    case RuleKind::kLossyMatched:
      lossy_target<Math>(rule, rows, pi);
      return {};
    case RuleKind::kTokenV1:
    case RuleKind::kTokenV2:
    case RuleKind::kTokenV3:
      return keep_tokens<Math>(kept_set<Math>(rule.kind, alpha, rows), rows, pi);
    default: {
      const bool keep = keeps_drafter<Math>(rule.kind, alpha, rows);
      copy(keep ? rows.drafter : rows.target);
      return {keep ? Real{0} : Real{1}};
    }
  }
}

}  // namespace speccascade
