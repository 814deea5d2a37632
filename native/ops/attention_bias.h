// The relative bias of one head, spread over keys.
#pragma once

#include <algorithm>

namespace speccascade {

// bias[j] = table[clamp(j - position) + max_distance], j < keys
inline void fill_bias(const float* table, int max_distance, int position, int keys, float* bias) {
  const int near_begin = std::clamp(position - max_distance, 0, keys);
  const int near_end = std::clamp(position + max_distance + 1, 0, keys);
  std::fill(bias, bias + near_begin, table[0]);
  for (int j = near_begin; j < near_end; ++j) bias[j] = table[j - position + max_distance];
  std::fill(bias + near_end, bias + keys, table[2 * max_distance]);
}

}  // namespace speccascade
