// Passes over one vocabulary row, in float with the vector kernels or in double
// with plain loops. The mathematics of rules is written once over this interface;
// a device brings an implementation whose passes are collective.
#pragma once

#include <cmath>
#include <type_traits>

#include "ops/cpu_kernels.h"

namespace speccascade {

template <typename RealType>
struct RowMath {
  using Real = RealType;
  static constexpr bool kFloat = std::is_same_v<Real, float>;

  // out = e^((x - max) / temperature) / sum of these, temperature > 0
  static void softmax(const Real* logits, int count, Real max, Real temperature, Real* out) {
    Real total = 0;
    if constexpr (kFloat) {
      // The inverse must stay finite: 0 x infinity at the maximum would be NaN.
      const float inverse = temperature > 1e-30f ? 1.0f / temperature : 1e30f;
      total = cpu_kernels().exp_row(logits, count, max, inverse, out);
    } else {
      for (int i = 0; i < count; ++i) {
        out[i] = std::exp((logits[i] - max) / temperature);
        total += out[i];
      }
    }
    scale(out, count, 1 / total);
  }

  static Real sum(const Real* row, int count) {
    if constexpr (kFloat) return cpu_kernels().sum_row(row, count);
    Real total = 0;
    for (int i = 0; i < count; ++i) total += row[i];
    return total;
  }

  // out = max(0, a - b); returns its sum.
  static Real positive_difference(const Real* a, const Real* b, int count, Real* out) {
    if constexpr (kFloat) return cpu_kernels().positive_difference(a, b, count, out);
    for (int i = 0; i < count; ++i) out[i] = a[i] > b[i] ? a[i] - b[i] : 0;
    return sum(out, count);
  }

  static void scale(Real* row, int count, Real factor) {
    if constexpr (kFloat) {
      cpu_kernels().scale_row(row, count, factor);
    } else {
      for (int i = 0; i < count; ++i) row[i] *= factor;
    }
  }

  // The smallest v with uniform * total < weights[0] + ... + weights[v]; where
  // rounding runs past the end, the last index of positive weight.
  static int draw(const Real* weights, int count, Real total, Real uniform) {
    const double target = static_cast<double>(uniform) * static_cast<double>(total);
    double mass = 0.0;
    int last = 0;
    for (int v = 0; v < count; ++v) {
      if (!(weights[v] > 0)) continue;
      mass += static_cast<double>(weights[v]);
      last = v;
      if (target < mass) return v;
    }
    return last;
  }
};

}  // namespace speccascade
