// The law of one position with several candidates: how often one is accepted, at
// which try, and as what; by enumeration of candidates and tests through accept_tree
// (or accept_kseq). Every candidate is a child of the prefix.
#pragma once

#include <cstdint>
#include <vector>

#include "decode/accept_tree.h"
#include "decode/kseq.h"
#include "ops/row_math.h"
#include "test/laws/exact_law.h"
#include "test/laws/position_law.h"

namespace speccascade::laws {

struct CandidateLaw {
  double rate = 0.0;             // chance that a candidate is accepted
  std::vector<double> steps;     // [k] chance that the i-th one is
  std::vector<double> accepted;  // [vocabulary] chance that v is emitted as a candidate
  std::vector<double> rejected;  // [vocabulary] and after all were rejected
};

// What happens to given candidates.
struct CandidateScan {
  std::vector<double> accept;    // [k] each, given that the earlier ones were rejected
  std::vector<double> residual;  // [vocabulary] what is drawn after all were rejected
};

// The rows of one position; `siblings` of kGiven is not meant here.
template <typename Real>
struct CandidateRows {
  const std::vector<Real>& wanted;
  const std::vector<Real>& drafter;
  Siblings siblings;

  int vocabulary() const { return static_cast<int>(wanted.size()); }
};

namespace candidates_detail {

template <typename Real, typename Choices>
TreeOutcome accept(const CandidateRows<Real>& rows, const std::vector<int32_t>& tokens,
                   Choices& choices, int32_t* path) {
  const std::vector<int32_t> parents(tokens.size(), -1);
  std::vector<Real> scratch(2 * rows.wanted.size());
  const TreeShape tree = {static_cast<int>(tokens.size()), parents.data(), tokens.data(),
                          rows.siblings};
  const auto drafter = [&](int) { return rows.drafter.data(); };
  return accept_tree<RowMath<Real>>(
      tree, rows.vocabulary(), [&](int) { return rows.wanted.data(); }, drafter, drafter,
      scratch.data(), scratch.data() + rows.wanted.size(), [](int32_t) { return true; }, choices,
      path);
}

// Rejects every candidate and notes with what chance it would have been accepted.
struct RejectAll {
  CandidateScan scan;

  template <typename Real>
  bool accept(Real probability, int /*node*/) {
    scan.accept.push_back(static_cast<double>(probability));
    return false;
  }
  template <typename Real>
  int32_t draw(const Real* weights, int count, Real total, int /*depth*/) {
    scan.residual.assign(weights, weights + count);
    for (double& weight : scan.residual) weight /= static_cast<double>(total);
    return 0;
  }
};

}  // namespace candidates_detail

template <typename Real>
CandidateScan scan_candidates(const CandidateRows<Real>& rows, const std::vector<int32_t>& tokens) {
  candidates_detail::RejectAll choices;
  std::vector<int32_t> path(tokens.size());
  candidates_detail::accept(rows, tokens, choices, path.data());
  return choices.scan;
}

// Averaged over candidates; those of kFixed are `fixed`.
template <typename Real>
CandidateLaw candidate_law(const CandidateRows<Real>& rows, int k,
                           const std::vector<int32_t>& fixed) {
  CandidateLaw law;
  law.steps.resize(static_cast<size_t>(k));
  law.accepted.resize(rows.wanted.size());
  law.rejected.resize(rows.wanted.size());
  std::vector<int32_t> path(static_cast<size_t>(k));
  ForkingChoices choices;
  while (choices.next_run()) {
    const std::vector<int32_t> tokens =
        rows.siblings == Siblings::kFixed
            ? fixed
            : pick_candidates(choices, rows.drafter.data(), rows.vocabulary(), rows.siblings, k);
    const TreeOutcome outcome = candidates_detail::accept(rows, tokens, choices, path.data());
    if (outcome.accepted > 0) {
      const auto node = static_cast<size_t>(path[0]);
      law.rate += choices.probability();
      law.steps[node] += choices.probability();
      law.accepted[static_cast<size_t>(tokens[node])] += choices.probability();
      continue;
    }
    for (size_t v = 0; v < law.rejected.size(); ++v) {
      law.rejected[v] += choices.probability() * choices.final_row()[v];
    }
  }
  return law;
}

struct KseqLaw {
  double rho = 1.0;
  double beta = 0.0;
  CandidateLaw law;
  std::vector<double> residual;  // [vocabulary]; empty where nothing is ever rejected
};

template <typename Real>
KseqLaw kseq_law(const std::vector<Real>& wanted, const std::vector<Real>& drafter, int k) {
  const auto vocabulary = static_cast<int>(wanted.size());
  KseqLaw result;
  const Real rho = kseq_rho<RowMath<Real>>(wanted.data(), drafter.data(), vocabulary, k);
  result.rho = static_cast<double>(rho);
  result.beta =
      static_cast<double>(kseq_beta<RowMath<Real>>(wanted.data(), drafter.data(), vocabulary, rho));
  result.law.steps.resize(static_cast<size_t>(k));
  result.law.accepted.resize(wanted.size());
  result.law.rejected.resize(wanted.size());
  std::vector<Real> scratch(wanted.size());
  ForkingChoices choices;
  while (choices.next_run()) {
    const std::vector<int32_t> tokens =
        pick_candidates(choices, drafter.data(), vocabulary, Siblings::kWithReplacement, k);
    const KseqOutcome outcome = accept_kseq<RowMath<Real>>(
        k, tokens.data(), vocabulary, wanted.data(), drafter.data(), scratch.data(), choices);
    if (outcome.kept >= 0) {
      const auto kept = static_cast<size_t>(outcome.kept);
      result.law.rate += choices.probability();
      result.law.steps[kept] += choices.probability();
      result.law.accepted[static_cast<size_t>(tokens[kept])] += choices.probability();
      continue;
    }
    result.residual = choices.final_row();
    for (size_t v = 0; v < wanted.size(); ++v) {
      result.law.rejected[v] += choices.probability() * choices.final_row()[v];
    }
  }
  const Real mass = kseq_residual<RowMath<Real>>(wanted.data(), drafter.data(), vocabulary, k, rho,
                                                 scratch.data());
  if (mass < empty_residual<Real>()) result.residual.clear();
  return result;
}

// How candidates come about, for their bound.
struct CandidateSource {
  std::vector<double> wanted;
  std::vector<double> drafter;
  Siblings siblings;
  int k;
  std::vector<int32_t> fixed;  // the candidates of kFixed
};

// The best rate that any scheme has with these candidates: the least, over sets H of
// tokens, of pi(H) + 1 - P(all candidates in H). Fixed ones are inside every H that holds them
// all, so the least is their own pi. Of drawn ones in double, for at most 16 tokens (there
// are 2^vocabulary sets): NaN beyond, and for kGiven, whose law is the caller's.
double candidate_bound(const CandidateSource& source);

}  // namespace speccascade::laws
