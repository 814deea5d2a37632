// Wall-clock times of one kind, counted by size: what services draw percentiles from.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

namespace speccascade {

struct LatencyCounts {
  // Upper ends of the classes, in milliseconds, inclusive; the last class has none.
  static constexpr std::array<double, 18> kBoundsMs = {
      0.5,   1.0,   2.0,   5.0,    10.0,   20.0,   35.0,    50.0,    75.0,
      100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10000.0, 30000.0, 60000.0};

  void add(double ms) {
    const auto* bound = std::lower_bound(kBoundsMs.begin(), kBoundsMs.end(), ms);
    ++counts[static_cast<size_t>(bound - kBoundsMs.begin())];
    ++count;
    sum_ms += ms;
  }

  std::array<int64_t, kBoundsMs.size() + 1> counts{};
  int64_t count = 0;
  double sum_ms = 0.0;
};

}  // namespace speccascade
