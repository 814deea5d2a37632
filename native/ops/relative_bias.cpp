#include "ops/relative_bias.h"

#include <algorithm>
#include <cmath>

namespace speccascade {

int relative_bucket(int distance, bool bidirectional, int num_buckets, int max_distance) {
  int bucket = 0;
  int away = 0;
  if (bidirectional) {
    num_buckets /= 2;
    if (distance > 0) bucket += num_buckets;
    away = std::abs(distance);
  } else {
    away = std::max(0, -distance);
  }
  const int exact = num_buckets / 2;
  if (away < exact) return bucket + away;
  const float ratio = std::log(static_cast<float>(away) / static_cast<float>(exact)) /
                      static_cast<float>(std::log(static_cast<double>(max_distance) / exact));
  const int log_bucket = exact + static_cast<int>(ratio * static_cast<float>(num_buckets - exact));
  return bucket + std::min(log_bucket, num_buckets - 1);
}

void expand_relative_bias(const float* learned, int heads, bool bidirectional, int num_buckets,
                          int max_distance, float* table) {
  const int columns = bias_columns(max_distance);
  for (int c = 0; c < columns; ++c) {
    const int bucket = relative_bucket(c - max_distance, bidirectional, num_buckets, max_distance);
    for (int h = 0; h < heads; ++h) {
      table[static_cast<long>(h) * columns + c] = learned[static_cast<long>(bucket) * heads + h];
    }
  }
}

}  // namespace speccascade
