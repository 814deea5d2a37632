// Passes over one vocabulary row, in float with the vector kernels or in double
// with plain loops. The mathematics of rules is written once over this interface;
// BlockMath (row_math_cuda.cuh) is the same for a block of a GPU, whose threads make each
// pass together. So shared code reads entries freely, but writes them through passes alone.
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>

#include "ops/cpu_kernels.h"
#include "ops/probability_row.h"

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

  // Sum over v of term(v). Eight running sums keep the additions independent, and
  // double keeps them exact enough for any vocabulary.
  template <typename Term>
  static Real sum_of(int count, const Term& term) {
    double lane[8] = {};
    int v = 0;
    for (; v + 8 <= count; v += 8) {
      for (int i = 0; i < 8; ++i) lane[i] += static_cast<double>(term(v + i));
    }
    for (; v < count; ++v) lane[0] += static_cast<double>(term(v));
    return static_cast<Real>(((lane[0] + lane[1]) + (lane[2] + lane[3])) +
                             ((lane[4] + lane[5]) + (lane[6] + lane[7])));
  }

  // The sums of both of what term(v) gives.
  template <typename Term>
  static SumPair<Real> sums_of(int count, const Term& term) {
    SumPair<double> lane[8] = {};
    const auto add = [&](int v) {
      const SumPair<Real> one = term(v);
      lane[v % 8] += {static_cast<double>(one.first), static_cast<double>(one.second)};
    };
    for (int v = 0; v < count; ++v) add(v);
    for (int half = 4; half > 0; half /= 2) {
      for (int i = 0; i < half; ++i) lane[i] += lane[i + half];
    }
    return {static_cast<Real>(lane[0].first), static_cast<Real>(lane[0].second)};
  }

  static Real log(Real x) { return std::log(x); }

  template <typename Entry>
  static Real entropy_of(int count, const Entry& entry) {
    return sum_of(count, [=](int v) { return entropy_term<RowMath, Real>(entry(v)); });
  }
  static Real entropy(const Real* row, int count) {
    return entropy_of(count, [=](int v) { return row[v]; });
  }

  static Real max(const Real* row, int count) {
    Real best = row[0];
    for (int v = 1; v < count; ++v) best = row[v] > best ? row[v] : best;
    return best;
  }

  // Of row's entries, and of term(v, row[v]).
  template <typename Term>
  static LargestAndSum<Real> largest_and_sum(const Real* row, int count, const Term& term) {
    return {max(row, count), sum_of(count, [=](int v) { return term(v, row[v]); })};
  }

  // Lowest index of the largest entry.
  static int argmax(const Real* row, int count) {
    if constexpr (kFloat) {
      bool finite = true;
      return cpu_kernels().argmax(row, count, &finite);
    }
    int best = 0;
    for (int v = 1; v < count; ++v) best = row[v] > row[best] ? v : best;
    return best;
  }

  // The indices of the `wanted` largest positive entries, best first, of equals the lowest; returns
  // how many there are.
  template <int kMost>
  static int top(const Real* row, int count, int wanted, int32_t (&best)[kMost]) {
    int found = 0;
    Real least = 0;  // of the list, once it is full
    for (int v = 0; v < count && wanted > 0; ++v) {
      if (!(row[v] > least)) continue;
      int place = found < wanted ? found++ : found - 1;
      for (; place > 0 && row[v] > row[best[place - 1]]; --place) best[place] = best[place - 1];
      best[place] = v;
      if (found == wanted) least = row[best[found - 1]];
    }
    return found;
  }

  // Calls body(v) for every v.
  template <typename Body>
  static void for_each(int count, const Body& body) {
    for (int v = 0; v < count; ++v) body(v);
  }

  // out[v] = value(v), which may read entry v of rows that are written.
  template <typename Value>
  static void write(Real* out, int count, const Value& value) {
    for (int v = 0; v < count; ++v) out[v] = value(v);
  }

  static void copy(const Real* row, int count, Real* out) {
    write(out, count, [=](int v) { return row[v]; });
  }

  // As write(); returns the sum of what it wrote.
  template <typename Value>
  static Real write_sum(Real* out, int count, const Value& value) {
    write(out, count, value);
    return sum(out, count);
  }

  static void put(Real* row, int index, Real value) { row[index] = value; }

  // body(), on a GPU by one thread of the block.
  template <typename Body>
  static void alone(const Body& body) {
    body();
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
