// Draft lengths that follow the load: as many levels as give the whole batch the most
// tokens per second, down to none, from costs and acceptance measured while running.
//
//   tokens(L)   n t / (1 + (t - 1) / 2m)
//   time(L)     T(rows) + L D(n) + tokens(L) e / m
//   choose      the L with the largest tokens / time
//
//   n      slots that decode
//   t      1 + a_1 + a_1 a_2 + ... : tokens of a step, a_l the chance of level l after those before
//   m      tokens of an output. Its last step promises more than is left of the output, half of
//          the drafted tokens on average, which the divisor takes off.
//   T, D   time of a step without its draft, by rows of the target's pass; of one level's draft, by
//          drafting slots
//   e      time of the drafters' encoder pass of an input, which the m tokens pay for
//
// For a number of slots that is new, drafts are tried in all of them. While they do not pay, they
// are tried again in a few slots, the rarer the longer it lasts; while they pay, plain steps are
// measured now and then. What both kinds of steps really gave decides whether drafts go on.
//
// Depends on clocks: for outputs that do not depend on lengths, and those that may.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "decode/draft_plan.h"

namespace speccascade {

// Times by a number of rows, in classes of half an octave: medians of the last few.
class TimesByRows {
 public:
  static constexpr size_t kClasses = 48;
  static size_t class_of(int rows);

  // Measured often enough to be relied on.
  bool known(int rows) const { return is_sure(classes_[class_of(rows)]); }
  bool any() const;
  void add(int rows, double ms);
  // Between classes that were measured, linear; beyond them along the nearest two, or, of one,
  // as if `balance` rows took as long as the fixed part. Only with any().
  double at(int rows, double balance) const;

 private:
  static constexpr int kRecent = 7;
  struct Class {
    int64_t count = 0;
    double rows = 0.0;  // running mean
    double ms = 0.0;    // median
    std::array<double, kRecent> recent{};
  };
  static bool is_sure(const Class& one) { return one.count >= 3; }

  std::array<Class, kClasses> classes_;
};

// What steps of one kind gave: the mean of their tokens and encoder passes, the last ones weighing
// most, by the median time of the last few.
class Pace {
 public:
  void add(double tokens, double ms, double encode_ms);
  int64_t steps() const { return steps_; }
  // Steps that it speaks for.
  double weight() const { return weight_; }
  // Tokens per millisecond. Only after a step.
  double rate() const;

 private:
  static constexpr size_t kRecent = 15;
  int64_t steps_ = 0;
  double weight_ = 0.0, tokens_ = 0.0, encode_ms_ = 0.0;
  std::array<double, kRecent> recent_{};
};

// How many followers may draft in a step, and how many levels.
struct LoadChoice {
  int levels = 0;
  int slots = 0;
};

// What a step did.
struct LoadSample {
  int target_rows = 0;
  double target_ms = 0.0;  // all but the draft
  int draft_levels = 0;    // of the deepest draft
  int draft_slots = 0;
  double draft_ms = 0.0;
  int encoded = 0;  // inputs that the drafters encoded for it
  double encode_ms = 0.0;
  bool caught_up = false;  // a drafter made passes that later steps will not need
  int tokens = 0;          // that the followers were given
  bool typical = true;     // later ones may take as long: no first runs (base/graph_cache.h)
};

class LoadLengths {
 public:
  // `draft_cost`: one level's draft relative to the target's pass, before it is measured.
  LoadLengths(const DraftPlan& plan, double draft_cost);

  // Before a step: `followers` slots whose drafts follow the load; `others`: rows of the
  // target's pass that are not theirs.
  LoadChoice choose(int followers, int others);
  // After it.
  void learn(const LoadSample& sample);
  // A follower's draft: levels tested, and accepted from the first on.
  void learn_levels(int tested, int accepted);
  // An output ended.
  void learn_end(int tokens);
  // Of the target's pass for a draft of so many levels.
  int rows_of(int levels) const;

 private:
  static constexpr int kLevels = 16;  // deeper ones count as the last

  int best_levels(int followers, int others, double* gain) const;
  double rate(int levels, double tokens, int followers, int others) const;
  double chance(int level) const;
  double draft_ms(int slots) const;

  std::vector<int> nodes_;  // [levels + 1] of a draft
  double draft_cost_;
  TimesByRows target_, draft_;
  double encode_ms_ = 0.0;  // per input
  int64_t encoded_ = 0;
  double tokens_, outputs_;  // of ended outputs, over a prior
  std::array<double, kLevels> tested_{}, accepted_{};

  // What was decided for a number of followers.
  struct Decision {
    bool on = false;
    bool tried = false;
    int trial = 0;  // steps left of one
    int64_t steps = 0;
    int64_t next_trial = 0;
    int64_t interval = 0;
    int64_t began = 0;  // when it was last turned on
    Pace plain, drafted;
  };
  LoadChoice try_out(Decision& own, int followers, int best, double gain);
  LoadChoice go_on(Decision& own, int followers, int best, double gain);

  std::array<Decision, TimesByRows::kClasses> decisions_;
  bool drafted_last_ = false;
  Pace* pace_ = nullptr;       // of the step under way; null where it drafts for some alone
  Decision* trial_ = nullptr;  // whose trial the step under way is part of; null: of none
};

}  // namespace speccascade
