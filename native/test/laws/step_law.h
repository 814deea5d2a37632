// The law of one step of speculation over two models given as rows after every
// prefix: every draft, every outcome of every test, through accept_chain and
// accept_block here and accept_tree in tree_law.h.
//
// Prefixes are numbered level by level, as the nodes of a complete tree: the empty
// one is 0, and prefix n followed by token v is n * vocabulary + 1 + v.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "decode/accept_block.h"
#include "decode/accept_chain.h"
#include "decode/position_rows.h"
#include "ops/row_math.h"
#include "test/laws/exact_law.h"

namespace speccascade::laws {

// Prefixes of at most `levels` tokens.
inline int64_t prefix_count(int vocabulary, int levels) {
  int64_t count = 1, width = 1;
  for (int level = 0; level < levels; ++level) count += (width *= vocabulary);
  return count;
}

inline int64_t prefix_after(int64_t prefix, int32_t token, int vocabulary) {
  return prefix * vocabulary + 1 + token;
}

struct StepLaw {
  std::vector<double> length;   // [levels + 1] chance that n + 1 tokens are emitted
  std::vector<double> first;    // [vocabulary] law of the first token
  std::vector<double> emitted;  // [prefixes of levels + 1] chance that exactly these tokens are
};

// The rows of both models after every prefix, and pi.
template <typename Real>
class ModelRows {
 public:
  // Logits, [prefix_count(vocabulary, levels), vocabulary] each; kept, not copied.
  ModelRows(const Rule& rule, const RowScaling& scaling, int vocabulary, int levels,
            const Real* drafter, const Real* target)
      : vocabulary_(vocabulary), levels_(levels), drafter_logits_(drafter) {
    const int64_t prefixes = prefix_count(vocabulary, levels);
    drafter_.resize(static_cast<size_t>(prefixes * vocabulary));
    pi_.resize(drafter_.size());
    PositionRows<Real> position(vocabulary);
    for (int64_t prefix = 0; prefix < prefixes; ++prefix) {
      const int64_t at = prefix * vocabulary;
      position.set(drafter + at, target + at, scaling);
      position.pi(rule, pi_.data() + at);
      const RuleRows<Real> rows = position.view();
      std::copy(rows.drafter, rows.drafter + vocabulary, drafter_.data() + at);
    }
  }

  int vocabulary() const { return vocabulary_; }
  int levels() const { return levels_; }
  const Real* drafter(int64_t prefix) const { return drafter_.data() + prefix * vocabulary_; }
  const Real* pi(int64_t prefix) const { return pi_.data() + prefix * vocabulary_; }
  const Real* logits(int64_t prefix) const { return drafter_logits_ + prefix * vocabulary_; }

 private:
  int vocabulary_;
  int levels_;
  const Real* drafter_logits_;
  std::vector<Real> drafter_;
  std::vector<Real> pi_;
};

namespace step_detail {

// Adds up the outcomes of runs.
class LawSum {
 public:
  LawSum(int vocabulary, int levels) : vocabulary_(vocabulary) {
    law_.length.resize(static_cast<size_t>(levels) + 1);
    law_.first.resize(static_cast<size_t>(vocabulary));
    law_.emitted.resize(static_cast<size_t>(prefix_count(vocabulary, levels + 1)));
  }

  // `next`: chance, per token, that `tokens` are accepted and then this one is drawn.
  void add(const std::vector<int32_t>& tokens, const std::vector<double>& next) {
    int64_t prefix = 0;
    for (const int32_t token : tokens) prefix = prefix_after(prefix, token, vocabulary_);
    for (int32_t v = 0; v < vocabulary_; ++v) {
      const double chance = next[static_cast<size_t>(v)];
      law_.length[tokens.size()] += chance;
      law_.first[static_cast<size_t>(tokens.empty() ? v : tokens[0])] += chance;
      law_.emitted[static_cast<size_t>(prefix_after(prefix, v, vocabulary_))] += chance;
    }
  }

  // A run that accepted `tokens` and then drew the final token.
  void add(const std::vector<int32_t>& tokens, const ForkingChoices& choices) {
    std::vector<double> next = choices.final_row();
    for (double& chance : next) chance *= choices.probability();
    add(tokens, next);
  }

  const StepLaw& law() const { return law_; }

 private:
  int vocabulary_;
  StepLaw law_;
};

constexpr auto kNeverEnds = [](int32_t) { return false; };

}  // namespace step_detail

// A chain of rows.levels() tokens drawn from the drafter, tested token by token or as
// a block.
template <typename Real>
StepLaw chain_law(const ModelRows<Real>& rows, bool block) {
  const int vocabulary = rows.vocabulary(), levels = rows.levels();
  step_detail::LawSum sum(vocabulary, levels);
  std::vector<int32_t> draft(static_cast<size_t>(levels));
  std::vector<int64_t> prefix(static_cast<size_t>(levels) + 1);
  std::vector<Real> scratch(static_cast<size_t>(vocabulary));
  const auto pi = [&](int i) { return rows.pi(prefix[static_cast<size_t>(i)]); };
  const auto drafter = [&](int i) { return rows.drafter(prefix[static_cast<size_t>(i)]); };
  ForkingChoices choices;
  while (choices.next_run()) {
    for (size_t i = 0; i < draft.size(); ++i) {
      draft[i] = choices.pick(rows.drafter(prefix[i]), vocabulary);
      prefix[i + 1] = prefix_after(prefix[i], draft[i], vocabulary);
    }
    const ChainOutcome outcome =
        block ? accept_block<RowMath<Real>>(levels, draft.data(), vocabulary, pi, drafter,
                                            scratch.data(), step_detail::kNeverEnds, choices)
              : accept_chain<RowMath<Real>>(levels, draft.data(), vocabulary, pi, drafter,
                                            scratch.data(), step_detail::kNeverEnds, choices);
    sum.add({draft.begin(), draft.begin() + outcome.accepted}, choices);
  }
  return sum.law();
}

}  // namespace speccascade::laws
