// A row that is one at a single token, for tests of tokens that were chosen without
// chance.
#pragma once

#include <cstdint>

namespace speccascade {

class OneHot {
 public:
  // `row` [vocabulary] is all zero, and is so again at the end.
  explicit OneHot(float* row) : row_(row) {}
  ~OneHot() { clear(); }
  OneHot(const OneHot&) = delete;
  OneHot& operator=(const OneHot&) = delete;

  // Valid until the next call.
  const float* at(int32_t token) {
    clear();
    row_[token] = 1.0f;
    token_ = token;
    return row_;
  }

 private:
  void clear() {
    if (token_ >= 0) row_[token_] = 0.0f;
    token_ = -1;
  }

  float* row_;
  int32_t token_ = -1;
};

}  // namespace speccascade
