// Random choices of the reviews within a cascade of drafters. A position may be reviewed
// several times in a step, so the number of the review tells its draws apart.
#pragma once

#include "base/philox.h"

namespace speccascade {

template <typename Math>
class ReviewChoices {
 public:
  // `at` addresses the first position reviewed; `review` counts those of the step.
  SC_COLLECTIVE ReviewChoices(const DrawAddress& at, int review)
      : at_(at), review_(static_cast<uint32_t>(review)) {}

  // Strictly less: a probability of zero is never accepted.
  SC_COLLECTIVE bool accept(float probability, int place) const {
    return philox_uniform(address(place), DrawPurpose::kReview, review_) < probability;
  }

  SC_COLLECTIVE int draw(const float* weights, int count, float total, int place) const {
    return Math::draw(weights, count, total,
                      philox_uniform(address(place), DrawPurpose::kReviewDraw, review_));
  }

 private:
  SC_COLLECTIVE DrawAddress address(int place) const {
    DrawAddress at = at_;
    at.position += static_cast<uint32_t>(place);
    return at;
  }

  DrawAddress at_;
  uint32_t review_;
};

}  // namespace speccascade
