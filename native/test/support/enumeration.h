// Exact laws of randomised code: runs it once for every combination of outcomes of its random
// choices and tells the probability of each run. The code under test takes its choices from an
// Enumeration where the engine would give it a random generator.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace speccascade::test {

class Enumeration {
 public:
  // Whether there is another run; call before each, the first included.
  bool next_run() {
    if (started_) {
      while (!open_.empty() && ++open_.back().chosen == open_.back().probabilities.size()) {
        open_.pop_back();
      }
      if (open_.empty()) return false;
    }
    started_ = true;
    depth_ = 0;
    probability_ = 1.0;
    return true;
  }

  // Of this run, so far.
  double probability() const { return probability_; }

  // The choices that acceptance makes (decode/accept_chain.h).
  template <typename Real>
  bool accept(Real probability, int) {
    // As a comparison with a uniform takes it: rounding above 1 is certainty.
    const double kept = std::min(static_cast<double>(probability), 1.0);
    return choose({kept, 1.0 - kept}) == 0;
  }

  template <typename Real>
  int draw(const Real* weights, int count, Real total, int) {
    std::vector<double> probabilities;
    for (int v = 0; v < count; ++v) {
      probabilities.push_back(static_cast<double>(weights[v]) / static_cast<double>(total));
    }
    return choose(probabilities);
  }

  // One of the outcomes; those without probability are never taken.
  int choose(const std::vector<double>& probabilities) {
    if (depth_ == open_.size()) {
      Choice choice;
      for (size_t i = 0; i < probabilities.size(); ++i) {
        if (!(probabilities[i] > 0.0)) continue;
        choice.outcomes.push_back(static_cast<int>(i));
        choice.probabilities.push_back(probabilities[i]);
      }
      open_.push_back(choice);
    }
    const Choice& choice = open_[depth_++];
    probability_ *= choice.probabilities.at(choice.chosen);
    return choice.outcomes[choice.chosen];
  }

 private:
  struct Choice {
    std::vector<int> outcomes;
    std::vector<double> probabilities;
    size_t chosen = 0;
  };

  bool started_ = false;
  std::vector<Choice> open_;
  size_t depth_ = 0;
  double probability_ = 1.0;
};

}  // namespace speccascade::test
