// The largest entry of a row, and where it stands.
#pragma once

#include <cmath>

#include "base/cuda_intrinsics.h"
#include "ops/gemm.h"

namespace speccascade {

constexpr int kNoIndex = 0x7fffffff;

SC_DEVICE RowPeak no_peak() { return {-INFINITY, kNoIndex}; }

SC_DEVICE void take_larger(RowPeak& largest, const RowPeak& other) {
  const bool first = other.value == largest.value && other.index < largest.index;
  if (other.value > largest.value || first) largest = other;
}

// Of groups of so many lanes, in each of them.
template <int kLanes>
SC_DEVICE RowPeak largest_of_lanes(RowPeak largest) {
  for (int bits = kLanes / 2; bits > 0; bits /= 2) {
    const float value = shuffle_xor(kAllLanes, largest.value, bits);
    take_larger(largest, {value, shuffle_xor(kAllLanes, largest.index, bits)});
  }
  return largest;
}

// Entry v of a row, as large as can be where the row is not finite because of it.
SC_DEVICE RowPeak finite_entry(float value, int v) {
  return {value < INFINITY ? value : INFINITY, v};
}

}  // namespace speccascade
