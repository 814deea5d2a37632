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
#include "ops/probability_row.h"

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

// Whether the rule reads the target's unscaled row.
SC_HOST_DEVICE constexpr bool reads_target_confidence(RuleKind kind) {
  return reads_confidence(kind) && !decides_alone(kind);
}

// Whether the rule reads the scaled rows to decide.
SC_HOST_DEVICE constexpr bool reads_scaled(RuleKind kind) {
  return kind == RuleKind::kLossy || kind == RuleKind::kLossyMatched || kind == RuleKind::kOpt ||
         kind == RuleKind::kOptLog || kind == RuleKind::kTokenV1 || kind == RuleKind::kTokenV2 ||
         kind == RuleKind::kTokenV3;
}

// Whether the rule reads entries of the target's rows to decide, beside the largest.
SC_HOST_DEVICE constexpr bool reads_target_entries(RuleKind kind) {
  return reads_drafter(kind) && !decides_alone(kind) && kind != RuleKind::kDiff;
}

// Whether the rule reads the largest entry of the drafter's unscaled row.
SC_HOST_DEVICE constexpr bool reads_drafter_largest(RuleKind kind) {
  return kind == RuleKind::kChow || kind == RuleKind::kDiff || kind == RuleKind::kOpt;
}

// The rows of one position. The unscaled ones may be null if the rule does not
// read them. The target's are arrays, or made where they are read (ops/probability_row.h).
template <typename RealType, typename TargetRow = const RealType*>
struct RuleRows {
  using Real = RealType;
  const Real* drafter;
  TargetRow target;
  const Real* drafter_unscaled;
  TargetRow target_unscaled;
  int vocabulary;
  bool greedy;  // temperature 0
};

// What pi consists of.
enum class PiForm : int32_t { kDrafter, kTarget, kTokens, kLossy };

// What a rule comes to at a position: pi's entries follow from it and from the rows.
template <typename Real>
struct RuleDecision {
  PiForm form = PiForm::kTarget;
  // How much was deferred: position rules 0 or 1, token rules the drafter's mass off the kept set;
  // 0 for rules that do not defer.
  Real deferral = 0;
  Real threshold = 0;  // token rules: of the kept set
  Real rejected = 0;   // lossy rules, and so on
  Real inverse_beta = 0;
  Real residual = 0;
};

namespace rule_detail {

template <typename Math, typename Row>
SC_COLLECTIVE auto entropy(const Row& row, int vocabulary) {
  return Math::entropy_of(vocabulary, [=](int v) { return row[v]; });
}
template <typename Math, typename Real>
SC_COLLECTIVE Real entropy(const Real* row, int vocabulary) {
  return Math::entropy(row, vocabulary);
}

template <typename Math, typename Row, typename Real>
SC_COLLECTIVE Real total_variation(const Row& target, const Real* drafter, int vocabulary) {
  return Math::sum_of(vocabulary, [=](int v) { return surplus<Real>(target[v], drafter[v]); });
}

template <typename Math, typename Real>
SC_COLLECTIVE Real largest(const Real* row, int vocabulary) {
  return Math::max(row, vocabulary);
}
template <typename Math, typename Row>
SC_COLLECTIVE auto largest(const Row& row, int /*vocabulary*/) {
  return row.largest();
}

// a x TV, 0 where TV is 0 even if a is infinite.
template <typename Real>
SC_COLLECTIVE Real scaled_variation(Real alpha, Real variation) {
  return variation > 0 ? alpha * variation : Real{0};
}

// opt's: the drafter's largest unscaled entry and the rows' total variation, by one pass where its
// scaled row is the unscaled one.
template <typename Math, typename Rows, typename Real = typename Rows::Real>
SC_COLLECTIVE bool keeps_by_variation(Real alpha, const Rows& rows) {
  const int count = rows.vocabulary;
  const auto p = rows.target;
  LargestAndSum<Real> both = {};
  if (rows.drafter == rows.drafter_unscaled) {
    both = Math::largest_and_sum(rows.drafter, count,
                                 [=](int v, Real drawn) { return surplus<Real>(p[v], drawn); });
  } else {
    both = {largest<Math>(rows.drafter_unscaled, count),
            total_variation<Math>(p, rows.drafter, count)};
  }
  return both.largest >=
         largest<Math>(rows.target_unscaled, count) - scaled_variation(alpha, both.sum);
}

// BiLD's distance between drafter and target.
template <typename Math, typename Rows, typename Real = typename Rows::Real>
SC_COLLECTIVE Real bild_distance(const Rows& rows) {
  const Real* q = rows.drafter_unscaled;
  const auto p = rows.target_unscaled;
  if (rows.greedy) return -std::log(p[Math::argmax(q, rows.vocabulary)]);
  return Math::sum_of(rows.vocabulary, [=](int v) {
    const Real drawn = q[v], wanted = p[v];
    return -drawn * Math::log(drawn > 0 ? wanted : Real{1});
  });
}

template <typename Math, typename Rows, typename Real = typename Rows::Real>
SC_COLLECTIVE bool keeps_drafter(RuleKind kind, Real alpha, const Rows& rows) {
  const Real* q = rows.drafter_unscaled;
  const auto p = rows.target_unscaled;
  const int count = rows.vocabulary;
  if (kind == RuleKind::kBild) return bild_distance<Math>(rows) <= alpha;
  if (kind == RuleKind::kOpt) return keeps_by_variation<Math>(alpha, rows);
  const bool by_entropy =
      kind == RuleKind::kChowLog || kind == RuleKind::kDiffLog || kind == RuleKind::kOptLog;
  // The larger the surer.
  const auto confidence = [=](const auto& row) {
    return by_entropy ? -entropy<Math>(row, count) : largest<Math>(row, count);
  };
  const Real own = confidence(q);
  if (decides_alone(kind)) return own >= (by_entropy ? -alpha : 1 - alpha);
  const Real margin =
      kind == RuleKind::kOptLog
          ? scaled_variation(alpha, total_variation<Math>(rows.target, rows.drafter, count))
          : alpha;
  return own >= confidence(p) - margin;
}

// The tokens that a token rule keeps: those whose entry in the drafter's or the target's unscaled
// row reaches a threshold.
SC_HOST_DEVICE constexpr bool keeps_by_drafter(RuleKind kind) { return kind == RuleKind::kTokenV1; }

template <typename Math, typename Rows, typename Real = typename Rows::Real>
SC_COLLECTIVE RuleDecision<Real> keep_tokens(RuleKind kind, Real alpha, const Rows& rows) {
  const Real most = largest<Math>(rows.target_unscaled, rows.vocabulary);
  const Real threshold = kind == RuleKind::kTokenV3 ? (1 - alpha) * most : most - alpha;
  const Real* q = rows.drafter;
  const auto drafter_mass_off = [=](const auto& row) {
    return Math::sum_of(rows.vocabulary, [=](int v) {
      const Real mass = q[v];
      return row[v] >= threshold ? Real{0} : mass;
    });
  };
  RuleDecision<Real> decision = {PiForm::kTokens, 0, threshold};
  decision.deferral = keeps_by_drafter(kind) ? drafter_mass_off(rows.drafter_unscaled)
                                             : drafter_mass_off(rows.target_unscaled);
  return decision;
}

// 1 / beta of the matched lossy rule: the root t <= 1 of f(t) = sum max(0, t p - q)
// = rejected. f is convex and increasing, so Newton from t = 1 comes down to the
// root without passing it, and ends when the set of positive terms stays.
template <typename Math, typename Rows, typename Real = typename Rows::Real>
SC_COLLECTIVE Real matched_inverse_beta(const Rows& rows, Real rejected) {
  const Real* q = rows.drafter;
  const auto p = rows.target;
  Real t = 1;
  for (int round = 0; round < 64; ++round) {
    // slope, offset
    const SumPair<Real> sums = Math::sums_of(rows.vocabulary, [=](int v) {
      const Real wanted = p[v], drawn = q[v];
      const bool positive = t * wanted > drawn;
      return SumPair<Real>{positive ? wanted : Real{0}, positive ? drawn : Real{0}};
    });
    if (!(sums.first > 0)) break;
    const Real next = (rejected + sums.second) / sums.first;
    if (!(next < t)) break;
    t = next;
  }
  return t;
}

// min(q, p / keep): nothing where p is nothing, at keep = 0 too. By the inverse of keep: a division
// for every entry takes longer than its row.
template <typename Real>
SC_COLLECTIVE Real lossy_kept(Real q, Real p, Real inverse_keep) {
  const Real bound = p > 0 ? p * inverse_keep : Real{0};
  return q < bound ? q : bound;
}

template <typename Real>
SC_COLLECTIVE Real lossy_rest(Real q, Real p, Real inverse_beta) {
  const Real rest = p * inverse_beta - q;
  return rest > 0 ? rest : Real{0};
}

template <typename Math, typename Rows, typename Real = typename Rows::Real>
SC_COLLECTIVE RuleDecision<Real> decide_lossy(const Rule& rule, const Rows& rows) {
  const Real* q = rows.drafter;
  const auto p = rows.target;
  const Real inverse_keep = 1 / (1 - static_cast<Real>(rule.alpha));
  RuleDecision<Real> decision = {PiForm::kLossy};
  // Rejected, and the residual.
  const auto sums = [=](Real inverse_beta) {
    return Math::sums_of(rows.vocabulary, [=](int v) {
      const Real drawn = q[v], wanted = p[v];
      return SumPair<Real>{drawn - lossy_kept(drawn, wanted, inverse_keep),
                           lossy_rest(drawn, wanted, inverse_beta)};
    });
  };
  // Of the matched rule the first is wanted before.
  const bool matched = rule.kind == RuleKind::kLossyMatched;
  decision.inverse_beta = matched ? Real{1} : 1 / static_cast<Real>(rule.beta);
  for (bool last = !matched;; last = true) {
    const SumPair<Real> both = sums(decision.inverse_beta);
    decision.rejected = both.first;
    decision.residual = both.second;
    if (last) return decision;
    decision.inverse_beta = matched_inverse_beta<Math>(rows, both.first);
  }
}

// Residuals below this are none: their inverse would not be finite.
constexpr double kNoLossyResidual = 1e-30;

}  // namespace rule_detail

// Whether a rule that decides alone keeps the drafter, from its unscaled row.
template <typename Math, typename Real>
SC_COLLECTIVE bool keeps_drafter_alone(const Rule& rule, const Real* drafter_unscaled,
                                       int vocabulary) {
  return rule_detail::keeps_drafter<Math>(
      rule.kind, static_cast<Real>(rule.alpha),
      RuleRows<Real>{nullptr, nullptr, drafter_unscaled, nullptr, vocabulary, false});
}

// From the rows of one position.
template <typename Math, typename Rows, typename Real = typename Rows::Real>
SC_COLLECTIVE RuleDecision<Real> decide(const Rule& rule, const Rows& rows) {
  using namespace rule_detail;
  const auto alpha = static_cast<Real>(rule.alpha);
  switch (rule.kind) {
    case RuleKind::kLossless:
      return {};
    case RuleKind::kLossy:
    case RuleKind::kLossyMatched:
      return decide_lossy<Math>(rule, rows);
    case RuleKind::kTokenV1:
    case RuleKind::kTokenV2:
    case RuleKind::kTokenV3:
      return keep_tokens<Math>(rule.kind, alpha, rows);
    default: {
      const bool keep = keeps_drafter<Math>(rule.kind, alpha, rows);
      return {keep ? PiForm::kDrafter : PiForm::kTarget, keep ? Real{0} : Real{1}};
    }
  }
}

// Calls use(entry), where entry(v) is pi's entry, for the form that a decision has.
template <typename Rows, typename Real, typename Use>
SC_COLLECTIVE auto with_pi(const Rule& rule, const RuleDecision<Real>& decision, const Rows& rows,
                           const Use& use) {
  const Real* q = rows.drafter;
  const auto p = rows.target;
  switch (decision.form) {
    case PiForm::kDrafter:
      return use([=](int v) { return q[v]; });
    case PiForm::kTokens: {
      const auto tokens = [=](const auto& row) {
        return use([=](int v) {
          const Real mass = q[v];
          return (row[v] >= decision.threshold ? mass : Real{0}) + decision.deferral * p[v];
        });
      };
      return rule_detail::keeps_by_drafter(rule.kind) ? tokens(rows.drafter_unscaled)
                                                      : tokens(rows.target_unscaled);
    }
    case PiForm::kLossy: {
      const Real inverse_keep = 1 / (1 - static_cast<Real>(rule.alpha));
      // An empty residual although something is rejected (large beta): p.
      const bool rests = decision.residual > static_cast<Real>(rule_detail::kNoLossyResidual);
      const Real share = rests ? decision.rejected / decision.residual : decision.rejected;
      return use([=](int v) {
        const Real wanted = p[v], drawn = q[v];
        const Real rest = rule_detail::lossy_rest(drawn, wanted, decision.inverse_beta);
        return rule_detail::lossy_kept(drawn, wanted, inverse_keep) +
               (rests ? rest : wanted) * share;
      });
    }
    default:
      return use([=](int v) { return p[v]; });
  }
}

// Writes pi of one position. `pi` may not alias the rows.
template <typename Math, typename Rows, typename Real = typename Rows::Real>
SC_COLLECTIVE RuleDecision<Real> rule_target(const Rule& rule, const Rows& rows, Real* pi) {
  const RuleDecision<Real> decision = decide<Math>(rule, rows);
  with_pi(rule, decision, rows,
          [=](const auto& entry) { Math::write(pi, rows.vocabulary, entry); });
  return decision;
}

}  // namespace speccascade
