// The engine's source of random choices: uniforms addressed by request, position,
// step and purpose, so that none is ever used twice.
#pragma once

#include "base/philox.h"
#include "ops/row_math.h"

namespace speccascade {

class PhiloxChoices {
 public:
  // `at` addresses the step's first new position; place i is i positions on.
  explicit PhiloxChoices(const DrawAddress& at) : at_(at) {}

  // Strictly less: a probability of zero is never accepted.
  bool accept(float probability, int place) const {
    return philox_uniform(address(place), DrawPurpose::kAccept, 0) < probability;
  }

  int draw(const float* weights, int count, float total, int place) const {
    return RowMath<float>::draw(weights, count, total,
                                philox_uniform(address(place), DrawPurpose::kFinal, 0));
  }

 private:
  DrawAddress address(int place) const {
    DrawAddress at = at_;
    at.position += static_cast<uint32_t>(place);
    return at;
  }

  DrawAddress at_;
};

}  // namespace speccascade
