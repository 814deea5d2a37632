// A row that is one at a single token, for tests of tokens that were chosen without
// chance.
#pragma once

#include <cstdint>

#include "base/host_device.h"

namespace speccascade {

template <typename Math>
class OneHot {
 public:
  // `row` [vocabulary] is all zero, and is so again at the end.
  SC_COLLECTIVE explicit OneHot(float* row) : row_(row) {}
  SC_COLLECTIVE ~OneHot() { clear(); }
  OneHot(const OneHot&) = delete;
  OneHot& operator=(const OneHot&) = delete;

  // Valid until the next call.
  SC_COLLECTIVE const float* at(int32_t token) {
    clear();
    Math::put(row_, token, 1.0f);
    token_ = token;
    return row_;
  }

 private:
  SC_COLLECTIVE void clear() {
    if (token_ >= 0) Math::put(row_, token_, 0.0f);
    token_ = -1;
  }

  float* row_;
  int32_t token_ = -1;
};

}  // namespace speccascade
