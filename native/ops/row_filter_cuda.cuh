// Top-k and top-p of a row of probabilities, by one block.
//
// They select by the bits of probabilities, which rise with them, instead of sorting: the
// weights of a thousand ranges of bits are added up, in shared memory; those in the range that has
// the boundary, a few hundred as a rule, are collected and cut finer there. Equals stay by lowest
// index. Masses are integers, in units of 2^-44, so that atomics may add them in any order; only
// probabilities below 2^-21 are rounded, by less than a unit each.
#pragma once

#include <cmath>

#include "ops/probability_row.h"
#include "ops/row_math_cuda.cuh"

namespace speccascade {

using Count = unsigned long long;  // entries, or mass in units

constexpr int kUnitBits = 44;  // of a mass of 1
constexpr double kUnit = 1.0 / (Count{1} << kUnitBits);
// A bin's weight is kept in two words, neither of which overflows for so many entries.
constexpr int kLowBits = 14;
constexpr int kMostEntries = 1 << (32 - kLowBits);

constexpr int kBinBits = 10;
constexpr int kBins = 1 << kBinBits;
constexpr int kBinsPerLane = kBins / kWarpLanes;
constexpr int kMostCandidates = 512;

struct Selected {
  Selection kept;
  Count weight;  // of what is kept
};

struct SelectionShared {
  uint32_t low[kBins], high[kBins];  // of the bins' weights
  uint32_t bits[kMostCandidates];
  int index[kMostCandidates];
  int equals[kMaxRowParts];
  Count above;  // weight of larger bins than the chosen one
  Count left;   // of the target, for that one
  int chosen;
  int last;  // of equals, the one that is kept
  uint32_t candidates;
  Selected found;
};

// Weights in smaller units, so that the upper word of them is a bin's upper one.
constexpr int kFineBits = 32 - kLowBits;

// A mass, of a probability's bits, by shifts: conversions to and from 64 bits are slow. To be cut
// to whole units.
SC_DEVICE Count fine_mass_of(uint32_t bits) {
  // The digits from bit 63 on, which is 2.
  const Count digits = static_cast<Count>(bits << 8 | 0x80000000u) << 32;
  constexpr int kTop = 63 - kFineBits - kUnitBits;
  static_assert(kTop == 1, "binary places above 1's");
  const int below = 127 + kTop - static_cast<int>(bits >> 23);
  return digits >> (below < 63 ? below : 63);
}

// By atomics of the hardware's, from which nothing comes back that would be waited for: there is
// none for 64 bits of shared memory, but a loop of comparisons. Without a look at what is added:
// branches would take longer.
SC_DEVICE void add_to_bin(SelectionShared& memory, uint32_t bin, Count fine_weight) {
  // So that a lane's consecutive bins lie in different banks.
  const uint32_t at = bin ^ bin / kWarpLanes;
  atomic_add(&memory.low[at], static_cast<uint32_t>(fine_weight) >> kFineBits);
  atomic_add(&memory.high[at], static_cast<uint32_t>(fine_weight >> 32));
}

SC_DEVICE Count weight_of_bin(const SelectionShared& memory, int bin) {
  const int at = bin ^ bin / kWarpLanes;
  return (static_cast<Count>(memory.high[at]) << kLowBits) + memory.low[at];
}

// By the first warp: the largest bin at which the weight of it and of larger ones reaches
// wanted(all), where `all` is the weight of all of them, and not less than that.
template <typename Wanted>
SC_DEVICE void choose_bin(SelectionShared& memory, const Wanted& wanted) {
  // A lane has consecutive bins, the first lane the largest ones.
  const int largest = kBins - 1 - lane_index() * kBinsPerLane;
  Count own = 0;
  SC_UNROLL_BY(8)
  for (int i = 0; i < kBinsPerLane; ++i) own += weight_of_bin(memory, largest - i);
  const Count reached = warp_running_sum(own);
  const Count target = wanted(shuffle(kAllLanes, reached, kWarpLanes - 1));
  const uint32_t hits = ballot(kAllLanes, reached - own < target && reached >= target);
  // Its bins, one a lane.
  const int lane = lowest_bit(hits);
  const int bin = kBins - 1 - lane * kBinsPerLane - lane_index();
  Count above = shuffle(kAllLanes, reached - own, lane);
  own = weight_of_bin(memory, bin);
  above += warp_running_sum(own) - own;
  if (above >= target || above + own < target) return;
  memory.chosen = bin;
  memory.above = above;
  memory.left = target - above;
}

// Of the candidates with such bits, the index of the one that has `rank` - 1 of them before it.
SC_DEVICE int candidate_of_rank(SelectionShared& memory, uint32_t bits, int rank) {
  const int count = static_cast<int>(memory.candidates);
  for (int i = thread_index(); i < count; i += block_threads()) {
    if (memory.bits[i] != bits) continue;
    int place = 0;
    for (int j = 0; j < count; ++j) {
      place += memory.bits[j] == bits && memory.index[j] <= memory.index[i] ? 1 : 0;
    }
    if (place == rank) memory.last = memory.index[i];
  }
  sync_block();
  return memory.last;
}

// What a filter asks for: entries whose weight reaches a number of them, or a share of all mass.
struct FilterTarget {
  bool by_mass;
  int top_k;
  float top_p;

  // Of an entry; the same of equals.
  SC_DEVICE Count fine_weight(uint32_t bits) const {
    const Count mass = fine_mass_of(bits);  // without a branch
    return by_mass ? mass : Count{1} << kFineBits;
  }
  SC_DEVICE Count weight(uint32_t bits) const { return fine_weight(bits) >> kFineBits; }
  bool of_softmax;  // whose mass is 1

  // Of those whose weights have this sum: at least 1, at most all.
  SC_DEVICE Count of(Count all) const {
    const Count whole = of_softmax ? Count{1} << kUnitBits : all;
    const double share = ceil(static_cast<double>(top_p) * static_cast<double>(whole));
    const Count wanted = by_mass ? static_cast<Count>(share) : static_cast<Count>(top_k);
    return wanted < 1 ? 1 : wanted < all ? wanted : all;
  }
};

// So few that each may be compared with all.
constexpr uint32_t kFewCandidates = 128;

// Of few candidates, by a warp each: the one at which the weight of it and of those before it, by
// falling bits and rising index, reaches `left`.
SC_DEVICE Selected candidate_of_weight(SelectionShared& memory, Count left,
                                       const FilterTarget& target) {
  const int count = static_cast<int>(memory.candidates);
  for (int i = warp_index(); i < count; i += block_warps()) {
    const uint32_t bits = memory.bits[i];
    const int index = memory.index[i];
    Count before = 0;
    for (int j = lane_index(); j < count; j += kWarpLanes) {
      const uint32_t other = memory.bits[j];
      const bool ahead = (other > bits) | ((other == bits) & (memory.index[j] < index));
      before += ahead ? target.weight(other) : 0;
    }
    before = sum_of_lanes(before);
    const Count with = before + target.weight(bits);
    if (lane_index() != 0 || before >= left || with < left) continue;
    memory.found = {{bits, 0, index}, with};
  }
  sync_block();
  return memory.found;
}

// use(bits, v, whether it takes part) of a row's entries.
template <typename Use>
SC_DEVICE void for_kept(const ProbabilityRow& row, int count, const Selection& kept,
                        const Use& use) {
  for_parts<Way::kBack>(count, [&](int, const RowPart& part) {
    const auto value = [=](int v) { return row.unfiltered(v); };
    const auto take = [&](const auto& values, int first, const auto& there) {
      int v = first;
      SC_UNROLL
      for (const float one : values) {
        const uint32_t bits = bits_of(one);
        const bool takes_part = (bits > kept.bits) | ((bits == kept.bits) & (v <= kept.last));
        use(bits, v, there(v) & takes_part);
        v += kWarpLanes;
      }
    };
    for_batches<kBatch / 2, Way::kBack>(part, value, take);
  });
}

// Entries with bits from `least` to `least` + `span`. Most batches have none.
SC_DEVICE void collect_candidates(SelectionShared& memory, const ProbabilityRow& row, int count,
                                  const Selection& kept, uint32_t least, uint32_t span) {
  for_parts(count, [&](int, const RowPart& part) {
    const auto value = [=](int v) { return bits_of(row.unfiltered(v)) - least; };
    for_batches<kBatch / 2>(part, value, [&](const auto& above, int first, const auto& there) {
      bool any = false;
      SC_UNROLL
      for (const uint32_t one : above) any |= one <= span;
      if (!any) return;
      int v = first;
      SC_UNROLL
      for (const uint32_t one : above) {
        if ((one <= span) & there(v) & kept.keeps(one + least, v)) {
          const uint32_t at = atomic_add(&memory.candidates, uint32_t{1});
          if (at < kMostCandidates) {
            memory.bits[at] = one + least;
            memory.index[at] = v;
          }
        }
        v += kWarpLanes;
      }
    });
  });
  sync_block();
}

// Adds what takes part, candidates once they are collected, to bins of 2^shift bits each.
SC_DEVICE void fill_bins(SelectionShared& memory, const ProbabilityRow& row, int count,
                         const Selection& kept, uint32_t least, uint32_t span, int shift,
                         bool collected, const FilterTarget& target) {
  for (int bin = thread_index(); bin < kBins; bin += block_threads()) {
    memory.low[bin] = memory.high[bin] = 0;
  }
  sync_block();
  const auto add = [&](uint32_t bits, int, bool takes_part) {
    const uint32_t above = bits - least;
    if (takes_part & (above <= span)) add_to_bin(memory, above >> shift, target.fine_weight(bits));
  };
  if (collected) {
    const int candidates = static_cast<int>(memory.candidates);
    for (int i = thread_index(); i < candidates; i += block_threads()) add(memory.bits[i], 0, true);
  } else {
    for_kept(row, count, kept, add);
  }
  sync_block();
}

// What is left of the target falls to equals, by lowest index.
SC_DEVICE Selected select_equals(SelectionShared& memory, const ProbabilityRow& row, int count,
                                 const Selection& kept, uint32_t bits, Count left, bool collected,
                                 const FilterTarget& target) {
  const Count one = target.weight(bits);
  const int equals = static_cast<int>((left + one - 1) / one);
  int last;
  if (collected) {
    last = candidate_of_rank(memory, bits, equals);
  } else {
    const auto equal = [=](int v) {
      const uint32_t own = bits_of(row.unfiltered(v));
      return (own == bits) & kept.keeps(own, v) ? 1 : 0;
    };
    last = find_in_order<kBatch / 4>(count, equals - 1, equal, memory.equals);
  }
  return {{bits, 0, last}, static_cast<Count>(equals) * one};
}

// The first entries of a row, by falling probability and rising index, whose weight together
// reaches the target.
//   kept         entries that take part
//   least, most  bits: the boundary is not below one, and no entry above the other
SC_DEVICE Selected select(const ProbabilityRow& row, int count, const Selection& kept,
                          uint32_t least, uint32_t most, const FilterTarget& target) {
  SelectionShared& memory = shared<SelectionShared>();
  uint32_t span = most - least;
  int shift = 0;
  while (span >> shift >= kBins) ++shift;
  Count left = 0, above = 0;  // of the target; of larger entries than the range's
  bool collected = false;
  for (bool first_round = true;; first_round = false) {
    fill_bins(memory, row, count, kept, least, span, shift, collected, target);
    if (warp_index() == 0) {
      choose_bin(memory, [&](Count all) { return first_round ? target.of(all) : left; });
    }
    if (thread_index() == 0 && !collected) memory.candidates = 0;
    sync_block();
    left = memory.left;
    above += memory.above;
    least += static_cast<uint32_t>(memory.chosen) << shift;
    span = (1u << shift) - 1u;
    if (shift == 0) break;
    if (!collected) {
      collect_candidates(memory, row, count, kept, least, span);
      collected = memory.candidates <= kMostCandidates;
      if (memory.candidates <= kFewCandidates) break;
    }
    shift = shift > kBinBits ? shift - kBinBits : 0;
  }
  const bool few = collected && memory.candidates <= kFewCandidates;
  Selected selected = few ? candidate_of_weight(memory, left, target)
                          : select_equals(memory, row, count, kept, least, left, collected, target);
  selected.weight += above;
  sync_block();
  return selected;
}

// filter_top of sampling.h, of a softmax.
SC_DEVICE void filter_row(ProbabilityRow& row, int count, int top_k, float top_p) {
  const bool by_count = top_k > 0 && top_k < count;
  const bool by_mass = top_p < 1.0f;
  Selection kept = {0, 0, -1};  // all that are positive
  double weight = 0.0;
  SC_UNROLL_BY(1)
  for (int filter = 0; filter < 2; ++filter) {
    const bool mass = filter == 1;
    if (mass ? !by_mass : !by_count) continue;
    // The entries from the boundary on have 1 - top_p of the mass at least, and are as many as the
    // row at most; half of that covers what sums and products round.
    const float least = by_count ? 0.0f : 0.5f * (1.0f - top_p) / static_cast<float>(count);
    // The largest is the factor, but for what an exponential next to 1 may be too large by.
    constexpr uint32_t kRounding = 16;
    const uint32_t most = bits_of(row.factor) + kRounding;
    const Selected selected =
        select(row, count, kept, bits_of(least) + 1, most, {mass, top_k, top_p, !by_count});
    kept = selected.kept;
    weight = static_cast<double>(selected.weight) * kUnit;
  }
  if (!by_count && !by_mass) return;
  row.kept = kept;
  if (!by_mass) {
    const ProbabilityRow filtered = row;
    weight = row_sum(count, [=](int v) { return filtered[v]; });
  }
  row.share = static_cast<float>(1.0 / weight);
}

}  // namespace speccascade
