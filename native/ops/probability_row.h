// A row of probabilities that kernels make where they read it, from its logits and a few numbers:
// to write it and to read it again would take longer than its exponentials.
#pragma once

#include <cstdint>
#include <cstring>

#include "base/host_device.h"

namespace speccascade {

// Two sums that one pass makes.
template <typename Real>
struct SumPair {
  Real first = 0, second = 0;
  SC_HOST_DEVICE SumPair& operator+=(const SumPair& other) {
    first += other.first;
    second += other.second;
    return *this;
  }
};

// What is wanted beyond what was drawn, if anything.
template <typename Real>
SC_COLLECTIVE Real surplus(Real wanted, Real drawn) {
  const Real difference = wanted - drawn;
  return difference > 0 ? difference : Real{0};
}

// What one pass finds of a row: its largest entry, and a sum over all.
template <typename Real>
struct LargestAndSum {
  Real largest, sum;
};

// The bits of a probability rise with it.
SC_HOST_DEVICE inline uint32_t bits_of(float probability) {
  uint32_t bits;
  memcpy(&bits, &probability, sizeof(bits));
  return bits;
}

// Of an entry that is not negative. Without branches, which on a GPU would stand between loads.
template <typename Math, typename Real>
SC_COLLECTIVE Real entropy_term(Real entry) {
  return -entry * Math::log(entry > 0 ? entry : Real{1});
}

// The entries that a filter keeps: those with larger bits than `bits`, and of equals those from
// `first` to `last`.
struct Selection {
  uint32_t bits;
  int first, last;

  // Without branches: they would stand between the loads of a batch.
  SC_HOST_DEVICE bool keeps(uint32_t entry, int v) const {
    return (entry > bits) | ((entry == bits) & (v >= first) & (v <= last));
  }
};

SC_HOST_DEVICE constexpr Selection all_entries() { return {0, 0, 0x7fffffff}; }

// The most parts that a block cuts a row into (row_parts_cuda.cuh).
constexpr int kMaxRowParts = 16;

constexpr float kLog2E = 1.44269504f;

struct ProbabilityRow {
  const float* logits;
  float max, scale, factor;  // 2^((x - max) scale) factor
  Selection kept;
  float share;  // 1 / what is kept

  SC_COLLECTIVE float unfiltered(int v) const;  // row_parts_cuda.cuh
  SC_COLLECTIVE float operator[](int v) const {
    const float probability = unfiltered(v);
    return kept.keeps(bits_of(probability), v) ? probability * share : 0.0f;
  }
  SC_COLLECTIVE bool filtered() const { return share != 1.0f || kept.bits != 0; }
  // Where it is not.
  SC_COLLECTIVE float largest() const { return factor; }
  SC_COLLECTIVE ProbabilityRow unscaled(float unscaled_factor) const {
    return {logits, max, kLog2E, unscaled_factor, all_entries(), 1.0f};
  }
};

// One that nothing is filtered from, without the filter's comparisons.
struct SoftmaxRow : ProbabilityRow {
  SC_COLLECTIVE float operator[](int v) const { return unfiltered(v); }
};

}  // namespace speccascade
