// What a sample has produced and its reader has not been told: where nobody reads step by step,
// the reader's thread is woken twice per sample and not once per step.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/request.h"

namespace speccascade {

class HeldOutput {
 public:
  // Takes what an event of one step brings.
  void hold(const Event& event) {
    tokens_.insert(tokens_.end(), event.tokens.begin(), event.tokens.end());
    logprobs_.insert(logprobs_.end(), event.logprobs.begin(), event.logprobs.end());
  }

  // Puts it before what the event that ends the sample brings itself.
  void release(Event& event) {
    if (tokens_.empty()) return;
    hold(event);
    event.tokens.swap(tokens_);
    event.logprobs.swap(logprobs_);
    event.accepted = 0;
  }

 private:
  std::vector<int32_t> tokens_;
  std::vector<float> logprobs_;
};

}  // namespace speccascade
