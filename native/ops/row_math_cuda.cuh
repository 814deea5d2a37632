// RowMath (row_math.h) for a block of a GPU: all threads of the block make each pass together, with
// the same arguments, and get the same result.
//
// Every pass that writes has a barrier before and after, so that what it writes may be read at once
// by any thread, and what it overwrites was read by all.
#pragma once

#include <type_traits>

#include "ops/row_parts_cuda.cuh"

namespace speccascade {

// Functions: large kernels have them in several places, and registers for one.
SC_FUNCTION RowPeak row_maximum(const float* row, int count) {
  return block_maximum(count, [=](int v) { return RowPeak{row[v], v}; });
}
SC_FUNCTION float row_largest(const float* row, int count) { return block_largest(row, count); }

// Which of consecutive sums, at most one a lane, has the target: the running sum exceeds it there,
// and nowhere before; the last positive one where rounding runs past the end, -1 where there is
// none. `before` becomes the sum of those before it.
template <typename Real>
SC_DEVICE int find_part(int parts, const Real* sums, Real target, Real& before) {
  static_assert(kMaxRowParts <= kWarpLanes, "a lane has one");
  const Real sum = lane_index() < parts ? sums[lane_index()] : Real{0};
  const bool counts = sum > 0;
  const Real running = before + warp_running_sum(counts ? sum : Real{0});
  const uint32_t hits = ballot(kAllLanes, counts && target < running);
  const uint32_t positive = ballot(kAllLanes, counts);
  if (positive == 0) return -1;
  const int chosen = hits != 0 ? lowest_bit(hits) : highest_bit(positive);
  const Real others = shuffle(kAllLanes, running, chosen > 0 ? chosen - 1 : 0);
  before = chosen > 0 ? others : before;
  return chosen;
}

// By a warp, of at most kCount entries a lane: find_in_order, `before` of which come others.
template <int kCount, typename Real, typename Weight>
SC_DEVICE int find_in_warp(const RowPart& range, Real target, Real before, const Weight& weight) {
  // A lane has consecutive entries.
  const int length = (range.end - range.begin + kWarpLanes - 1) / kWarpLanes;
  const int begin = range.begin + lane_index() * length;
  decltype(weight(0)) entries[kCount];
  SC_UNROLL
  for (int i = 0; i < kCount; ++i) {
    entries[i] = weight(begin + i < range.end ? begin + i : range.end - 1);
  }
  Real own = 0;
  SC_UNROLL
  for (int i = 0; i < kCount; ++i) {
    if (i >= length || begin + i >= range.end) entries[i] = 0;
    own += static_cast<Real>(entries[i]);
  }
  const Real running = before + warp_running_sum(own);
  const uint32_t hits = ballot(kAllLanes, own > 0 && target < running);
  const uint32_t positive = ballot(kAllLanes, own > 0);
  if (positive == 0) return 0;
  const int lane = hits != 0 ? lowest_bit(hits) : highest_bit(positive);
  const Real others = shuffle(kAllLanes, running, lane > 0 ? lane - 1 : 0);
  Real mass = lane > 0 ? others : before;
  int found = -1;
  SC_UNROLL
  for (int i = 0; i < kCount; ++i) {
    if (!(entries[i] > 0) || (found >= 0 && target < mass)) continue;
    mass += static_cast<Real>(entries[i]);
    found = begin + i;
  }
  return shuffle(kAllLanes, found, lane);
}

// The first entry at which the running sum of weight(v) exceeds `target`, among entries of positive
// weight; the last of those where rounding runs past the end, 0 where there is none. Real is
// double, or an integer type for what must be exact. Of the row's parts the one that has it is cut
// into parts again, until a warp has it at a glance. `summed`: whether `sums` are those of the
// parts already.
template <int kCount = kBatch, typename Real, typename Weight>
SC_DEVICE int find_in_order(int count, Real target, const Weight& weight,
                            Real (&sums)[kMaxRowParts], bool summed = false) {
  RowPart range = {0, count};
  Real before = 0;
  for (bool whole = true; range.end - range.begin > kCount * kWarpLanes; whole = false) {
    const int size = range.end - range.begin;
    const int parts = whole ? row_parts(count) : kMaxRowParts;
    const int length = whole ? row_part(count, 0).end
                             : (size + parts * kWarpLanes - 1) / (parts * kWarpLanes) * kWarpLanes;
    const auto part_of = [=](int p) {
      const int begin = range.begin + p * length;
      if (begin >= range.end) return RowPart{range.end, range.end};
      return RowPart{begin, range.end - begin < length ? range.end : begin + length};
    };
    if (!(whole && summed)) {
      for (int p = warp_index(); p < parts; p += block_warps()) {
        const Real sum = part_sum<Real, kCount>(part_of(p), weight);
        if (lane_index() == 0) sums[p] = sum;
      }
      sync_block();
    }
    const int chosen = find_part(parts, sums, target, before);
    sync_block();
    if (chosen < 0) return 0;
    range = part_of(chosen);
  }
  return find_in_warp<kCount>(range, target, before, weight);
}

SC_FUNCTION float row_total(const float* row, int count) {
  return static_cast<float>(row_sum(count, [=](int v) { return row[v]; }));
}

SC_FUNCTION int draw_from_row(const float* weights, int count, double target) {
  const auto weight = [=](int v) {
    const float entry = weights[v];
    return entry > 0.0f ? entry : 0.0f;
  };
  return find_in_order(count, target, weight, shared<RowPartials>().sum);
}

struct BlockMath {
  using Real = float;

  static SC_DEVICE void softmax(const float* logits, int count, float max, float temperature,
                                float* out) {
    const float inverse = inverse_of(temperature);
    const auto power = [=](int v) { return expf((logits[v] - max) * inverse); };
    const float factor = 1.0f / static_cast<float>(row_sum(count, power));
    // Made twice rather than written and read again.
    write(out, count, [=](int v) { return power(v) * factor; });
  }

  // Finite: 0 x infinity at the maximum would be NaN.
  static SC_DEVICE float inverse_of(float temperature) {
    return temperature > 1e-30f ? 1.0f / temperature : 1e30f;
  }

  static SC_DEVICE float sum(const float* row, int count) { return row_total(row, count); }

  // These go back: a pass over the row was before them, as a rule.
  template <typename Term>
  static SC_DEVICE float sum_of(int count, const Term& term) {
    return static_cast<float>(row_sum<kBatch, Way::kBack>(count, term));
  }

  template <typename Term>
  static SC_DEVICE SumPair<float> sums_of(int count, const Term& term) {
    const SumPair<double> sums = row_sums<kBatch, Way::kBack>(count, term);
    return {static_cast<float>(sums.first), static_cast<float>(sums.second)};
  }

  // Of row's entries, and of term(v, row[v]).
  template <typename Term>
  static SC_DEVICE LargestAndSum<float> largest_and_sum(const float* row, int count,
                                                        const Term& term) {
    const auto both = [=](int v) {
      const float entry = row[v];
      return TermBeside{term(v, entry), entry};
    };
    LargestAndSum<float> found = {};
    found.sum = static_cast<float>(row_sum_beside(count, both, found.largest));
    return found;
  }

  static SC_DEVICE float positive_difference(const float* a, const float* b, int count,
                                             float* out) {
    return write_sum(out, count, [=](int v) { return surplus<float>(a[v], b[v]); });
  }

  static SC_DEVICE void scale(float* row, int count, float factor) {
    write(row, count, [=](int v) { return row[v] * factor; });
  }

  // Of what is summed with weights that make 1: errors of 2^-21 are small there.
  static SC_DEVICE float log(float x) { return fast_log(x); }

  // In one order for arrays and for rows that are made: of equal rows neither has the larger.
  template <typename Entry>
  static SC_DEVICE float entropy_of(int count, const Entry& entry) {
    const auto term = [=](int v) { return entropy_term<BlockMath, float>(entry(v)); };
    return static_cast<float>(row_sum<kBatch / 2>(count, term));
  }
  static SC_DEVICE float entropy(const float* row, int count);

  static SC_DEVICE float max(const float* row, int count) { return row_largest(row, count); }

  static SC_DEVICE int argmax(const float* row, int count) { return row_maximum(row, count).index; }

  // A pass for each.
  template <int kMost>
  static SC_DEVICE int top(const float* row, int count, int wanted, int32_t (&best)[kMost]) {
    RowPeak last = {INFINITY, -1};
    for (int found = 0; found < wanted; ++found) {
      const RowPeak next = block_maximum(count, [=](int v) {
        const float value = row[v];
        const bool behind = value < last.value || (value == last.value && v > last.index);
        return value > 0.0f && behind ? RowPeak{value, v} : no_peak();
      });
      if (!(next.value > 0.0f)) return found;
      // Or the array would lie in memory.
      SC_UNROLL
      for (int i = 0; i < kMost; ++i) {
        if (i == found) best[i] = next.index;
      }
      last = next;
    }
    return wanted;
  }

  // out[v] = value(v), which may read entry v of rows, and whatever no pass writes.
  template <int kCount = kBatch, typename Value>
  static SC_DEVICE void write(float* out, int count, const Value& value) {
    sync_block();
    for_parts(count, [&](int, const RowPart& part) { write_part<kCount>(out, part, value); });
    sync_block();
  }

  static SC_DEVICE void copy(const float* row, int count, float* out);

  // As write(); returns the sum of what it wrote.
  template <typename Value>
  static SC_DEVICE float write_sum(float* out, int count, const Value& value) {
    RowPartials& partials = shared<RowPartials>();
    sync_block();
    for_parts(count, [&](int p, const RowPart& part) {
      const double sum = sum_of_lanes(write_part<kBatch>(out, part, value));
      if (lane_index() == 0) partials.sum[p] = sum;
    });
    return static_cast<float>(sum_of_parts(count, partials.sum));
  }

  // body(v) may write entry v of rows, and read that entry and whatever no pass writes.
  template <typename Body>
  static SC_DEVICE void for_each(int count, const Body& body) {
    sync_block();
    for (int v = thread_index(); v < count; v += block_threads()) body(v);
    sync_block();
  }

  static SC_DEVICE void put(float* row, int index, float value) {
    alone([=] { row[index] = value; });
  }

  template <typename Body>
  static SC_DEVICE void alone(const Body& body) {
    sync_block();
    if (thread_index() == 0) body();
    sync_block();
  }

  // From an array, or entries that know how to draw.
  template <typename Entries>
  static SC_DEVICE int draw(const Entries& weights, int count, float total, float uniform) {
    const double target = static_cast<double>(uniform) * static_cast<double>(total);
    if constexpr (std::is_pointer_v<Entries>) {
      return draw_from_row(weights, count, target);
    } else {
      return weights.draw(count, target);
    }
  }

 private:
  // Returns this lane's sum of what it wrote.
  template <int kCount, typename Value>
  static SC_DEVICE double write_part(float* out, const RowPart& part, const Value& value) {
    double own = 0.0;
    for_batches<kCount>(part, value, [&](auto& values, int first, const auto& there) {
      int v = first;
      SC_UNROLL
      for (const float one : values) {
        if (there(v)) out[v] = one;
        v += kWarpLanes;
      }
      own += static_cast<double>(batch_sum(values, first, there));
    });
    return own;
  }
};

SC_FUNCTION float row_entropy(const float* row, int count) {
  return BlockMath::entropy_of(count, [=](int v) { return row[v]; });
}

SC_DEVICE float BlockMath::entropy(const float* row, int count) { return row_entropy(row, count); }

SC_FUNCTION void copy_row(const float* row, int count, float* out) {
  BlockMath::write(out, count, [=](int v) { return row[v]; });
}

SC_DEVICE void BlockMath::copy(const float* row, int count, float* out) {
  copy_row(row, count, out);
}

}  // namespace speccascade
