// The schedule of Cascade Speculative Drafting (Chen et al. 2023): which model drafts
// when, and what is reviewed by whom, for one sequence.
//
//   Drafters d_0 > d_1 > ... and last, if wanted, the copy model (Max-Gram).
//   lengths K, [n, n], upper triangular: row 0 holds the target's stages, row i + 1
//   those of d_i. A reviewer's draft is made stage by stage: stage j asks d_j for more
//   until the draft has K[row][0] + ... + K[row][j] tokens; a d_j that gives nothing
//   ends its stage. What d_j gives is the review of a draft of its own by d_j: the
//   accepted tokens, then one more. The copy model gives at most what its stage lacks.
//   What a neural stage gives beyond its length stays and counts for the next.
//
// Under sampling each level returns its tokens and the row each was drawn from, which
// the level above tests them against:
//
//   of a lossless reviewer   accepted, corrected and bonus tokens alike: its own row
//   of a lenient reviewer    pi, of the lower row and its own; bonus: its own row
//   of the copy model        one-hot
//
// The target's pi is of two fixed models, its own and the first drafter's, whatever
// drafted; tokens are tested against the rows they were drawn from.
//
// Claim: a token that a lossless level emits, given its prefix and that its position
// was emitted, is distributed as that level's model; so the target's step emits its pi.
// At temperature 0 all rows are one-hot, and the same code is the greedy schedule.
//
// Written over the source of rows and of choices:
//
//   models   using Real = float or double
//            void row(int drafter, const std::vector<int32_t>& prefix, Real* row,
//                     Real* unscaled)
//              the row [vocabulary] that drafter d would draw from after the prefix,
//              and, where not null, its unscaled one; -1: the target
//            void copy(const std::vector<int32_t>& prefix, int length,
//                      std::vector<int32_t>* tokens)   appends at most `length` tokens
//   choices  as of accept_chain.h
#pragma once

#include <cstdint>
#include <vector>

#include "decode/accept_chain.h"
#include "decode/rules.h"

namespace speccascade::laws {

struct CascadeShape {
  int vocabulary;
  int drafters;        // n, the copy model included
  bool copies;         // whether the last one is the copy model
  const int* lengths;  // [n, n]
  Rule leniency;       // of the reviews below the target: lossless or lossy
  bool greedy;         // temperature 0
};

// Drafted tokens and what each was drawn from.
template <typename Real>
struct CascadeDraft {
  std::vector<int32_t> tokens;
  std::vector<Real> rows;  // [tokens, vocabulary]
};

template <typename Math, typename Models, typename Choices>
class CascadeSchedule {
 public:
  using Real = typename Math::Real;
  using Draft = CascadeDraft<Real>;

  CascadeSchedule(const CascadeShape& shape, Models& models, Choices& choices)
      : shape_(shape),
        models_(models),
        choices_(choices),
        calls_(static_cast<size_t>(shape.drafters)) {}

  // What the target reviews after `prefix`. `prefix` is extended while the schedule
  // runs and is as before at the end.
  Draft draft(std::vector<int32_t>& prefix) { return make_draft(0, prefix); }

  // Calls of each drafter since the start: reviews, or proposals of the copy model,
  // empty ones included.
  const std::vector<int64_t>& calls() const { return calls_; }

  // The review that ends the step, by the target under any rule. `choices` may differ
  // from the schedule's own.
  template <typename FinalChoices>
  Draft review_by_target(const Rule& rule, std::vector<int32_t>& prefix, const Draft& drafted,
                         FinalChoices& choices) {
    std::vector<Real> own(width()), own_unscaled(width()), first(width()), first_unscaled(width());
    const auto wanted = [&](int /*token*/, Real* pi) {
      models_.row(-1, prefix, own.data(), own_unscaled.data());
      if (reads_drafter(rule.kind)) {
        models_.row(0, prefix, first.data(), first_unscaled.data());
      }
      rule_target<Math>(rule,
                        RuleRows<Real>{first.data(), own.data(), first_unscaled.data(),
                                       own_unscaled.data(), shape_.vocabulary, shape_.greedy},
                        pi);
    };
    return review(prefix, drafted, wanted, choices);
  }

 private:
  size_t width() const { return static_cast<size_t>(shape_.vocabulary); }

  const Real* row_of(const Draft& draft, int token) const {
    return draft.rows.data() + static_cast<size_t>(token) * width();
  }

  // Accepts tokens of a draft and adds one. wanted(i, pi) writes what token i shall
  // follow, given the prefix, which holds the tokens before it. Only tokens that are
  // accepted, and the one after, have rows in the result.
  template <typename Wanted, typename ReviewChoices>
  Draft review(std::vector<int32_t>& prefix, const Draft& drafted, const Wanted& wanted,
               ReviewChoices& choices) {
    const auto count = static_cast<int>(drafted.tokens.size());
    const size_t committed = prefix.size();
    Draft result;
    result.rows.resize((drafted.tokens.size() + 1) * width());
    std::vector<Real> scratch(width());
    for (int i = 0; i <= count; ++i) {
      wanted(i, result.rows.data() + static_cast<size_t>(i) * width());
      if (i < count) prefix.push_back(drafted.tokens[static_cast<size_t>(i)]);
    }
    prefix.resize(committed);
    const ChainOutcome outcome = accept_chain<Math>(
        count, drafted.tokens.data(), shape_.vocabulary, [&](int i) { return row_of(result, i); },
        [&](int i) { return row_of(drafted, i); }, scratch.data(), [](int32_t) { return false; },
        choices);
    result.tokens.assign(drafted.tokens.begin(), drafted.tokens.begin() + outcome.accepted);
    result.tokens.push_back(outcome.next);
    result.rows.resize(result.tokens.size() * width());
    return result;
  }

  // The review by a drafter: lossless, or lossy of the rows the tokens were drawn from
  // and its own (these rules read no unscaled rows); the bonus token from its own row.
  Draft review_by(int drafter, std::vector<int32_t>& prefix, const Draft& drafted) {
    std::vector<Real> own(width());
    const auto count = static_cast<int>(drafted.tokens.size());
    const auto wanted = [&](int i, Real* pi) {
      models_.row(drafter, prefix, own.data(), nullptr);
      rule_target<Math>(i < count ? shape_.leniency : Rule{},
                        RuleRows<Real>{row_of(drafted, i), own.data(), nullptr, nullptr,
                                       shape_.vocabulary, shape_.greedy},
                        pi);
    };
    return review(prefix, drafted, wanted, choices_);
  }

  // The draft of the reviewer whose stages are in this row of the lengths.
  Draft make_draft(int row, std::vector<int32_t>& prefix) {
    const size_t committed = prefix.size();
    Draft draft;
    size_t wanted = 0;
    for (int stage = row; stage < shape_.drafters; ++stage) {
      wanted += static_cast<size_t>(shape_.lengths[row * shape_.drafters + stage]);
      while (draft.tokens.size() < wanted) {
        const Draft more = ask(stage, static_cast<int>(wanted - draft.tokens.size()), prefix);
        if (more.tokens.empty()) break;
        draft.tokens.insert(draft.tokens.end(), more.tokens.begin(), more.tokens.end());
        draft.rows.insert(draft.rows.end(), more.rows.begin(), more.rows.end());
        prefix.insert(prefix.end(), more.tokens.begin(), more.tokens.end());
      }
    }
    prefix.resize(committed);
    return draft;
  }

  Draft ask(int drafter, int lacking, std::vector<int32_t>& prefix) {
    ++calls_[static_cast<size_t>(drafter)];
    if (shape_.copies && drafter == shape_.drafters - 1) return copied(prefix, lacking);
    const Draft drafted = make_draft(drafter + 1, prefix);
    return review_by(drafter, prefix, drafted);
  }

  Draft copied(const std::vector<int32_t>& prefix, int lacking) {
    Draft draft;
    models_.copy(prefix, lacking, &draft.tokens);
    draft.rows.resize(draft.tokens.size() * width());
    for (size_t i = 0; i < draft.tokens.size(); ++i) {
      draft.rows[i * width() + static_cast<size_t>(draft.tokens[i])] = 1;
    }
    return draft;
  }

  const CascadeShape& shape_;
  Models& models_;
  Choices& choices_;
  std::vector<int64_t> calls_;
};

}  // namespace speccascade::laws
