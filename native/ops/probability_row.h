// A row of probabilities that kernels make where they read it, from its logits and a few numbers:
// to write it and to read it again would take longer than its exponentials.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "base/host_device.h"

namespace speccascade {

// They rise with an entry that is not negative.
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

struct ProbabilityRow {
  const float* logits;
  float max, inverse, factor;  // e^((x - max) inverse) factor
  Selection kept;
  float share;  // 1 / what is kept

  SC_COLLECTIVE float unfiltered(int v) const {
    return std::exp((logits[v] - max) * inverse) * factor;
  }
  SC_COLLECTIVE float operator[](int v) const {
    const float probability = unfiltered(v);
    return kept.keeps(bits_of(probability), v) ? probability * share : 0.0f;
  }
  SC_COLLECTIVE bool filtered() const { return share != 1.0f || kept.bits != 0; }
  // Where it is not.
  SC_COLLECTIVE float largest() const { return factor; }
  SC_COLLECTIVE ProbabilityRow unscaled(float unscaled_factor) const {
    return {logits, max, 1.0f, unscaled_factor, all_entries(), 1.0f};
  }
};

}  // namespace speccascade
