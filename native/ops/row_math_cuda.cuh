// RowMath (row_math.h) for a block of a GPU: all threads of the block make each pass together, with
// the same arguments, and get the same result. Sums are made in double in an order that the row's
// length alone decides; a block has row_threads() of it, or more.
//
// Every pass that writes has a barrier before and after, so that what it writes may be read at once
// by any thread, and what it overwrites was read by all.
#pragma once

#include <cmath>

#include "base/cuda_intrinsics.h"
#include "ops/row_peak_cuda.cuh"

namespace speccascade {

// The largest block that computes with rows; small vocabularies leave fewer threads something to
// do.
constexpr int kMaxRowThreads = 512;
constexpr int kMaxRowWarps = kMaxRowThreads / kWarpLanes;

// Of a kernel over rows of this length. A block may have more, which have no entries: sums depend
// on this number.
SC_HOST_DEVICE inline int row_threads(int vocabulary) {
  const int threads = (vocabulary / 8 + kWarpLanes - 1) / kWarpLanes * kWarpLanes;
  if (threads < kWarpLanes) return kWarpLanes;
  return threads < kMaxRowThreads ? threads : kMaxRowThreads;
}

struct RowPartials {
  double sum[kMaxRowWarps];
  float value[kMaxRowWarps];
  int index[kMaxRowWarps];
  int found;
};

// Where this thread's entries begin; the next is row_threads(count) on.
SC_DEVICE int first_entry(int count) {
  return thread_index() < row_threads(count) ? thread_index() : count;
}

// A warp's consecutive part of a row, for passes that go by the order of entries.
struct RowSegment {
  int begin, end;
};

SC_DEVICE RowSegment row_segment(int count) {
  const int threads = row_threads(count);
  const int length = (count + threads - 1) / threads * kWarpLanes;
  const int begin = warp_index() * length;
  if (begin >= count) return {count, count};
  return {begin, count - begin < length ? count : begin + length};
}

SC_DEVICE double warp_sum(double value) {
  for (int bits = kWarpLanes / 2; bits > 0; bits /= 2) value += shuffle_xor(kAllLanes, value, bits);
  return value;
}

// The sum over this lane and those before it.
template <typename T>
SC_DEVICE T warp_running_sum(T value) {
  for (int offset = 1; offset < kWarpLanes; offset *= 2) {
    const bool has = lane_index() >= offset;
    const T before = shuffle(kAllLanes, value, has ? lane_index() - offset : lane_index());
    if (has) value += before;
  }
  return value;
}

// The sum over the block's threads, the same in all.
SC_DEVICE double block_sum(double own) {
  RowPartials& partials = shared<RowPartials>();
  own = warp_sum(own);
  if (lane_index() == 0) partials.sum[warp_index()] = own;
  sync_block();
  double total = 0.0;
  for (int w = 0; w < block_threads() / kWarpLanes; ++w) total += partials.sum[w];
  sync_block();
  return total;
}

// The largest of the entries; index 0 where none is a number. entry(v): a value and its index.
template <typename Entry>
SC_DEVICE RowPeak block_maximum(int count, const Entry& entry) {
  RowPartials& partials = shared<RowPartials>();
  RowPeak largest = no_peak();
  for (int v = thread_index(); v < count; v += block_threads()) take_larger(largest, entry(v));
  largest = largest_of_lanes<kWarpLanes>(largest);
  if (lane_index() == 0) {
    partials.value[warp_index()] = largest.value;
    partials.index[warp_index()] = largest.index;
  }
  sync_block();
  for (int w = 0; w < block_threads() / kWarpLanes; ++w) {
    take_larger(largest, {partials.value[w], partials.index[w]});
  }
  sync_block();
  if (largest.index == kNoIndex) largest.index = 0;
  return largest;
}

SC_DEVICE RowPeak block_maximum(const float* row, int count) {
  return block_maximum(count, [=](int v) { return RowPeak{row[v], v}; });
}

// The first entry at which the running sum of weight(v) exceeds `target`, among entries of positive
// weight; the last of those where rounding runs past the end, 0 where there is none. Real is
// double, or an integer type for what must be exact.
template <typename Real, typename Weight>
SC_DEVICE int find_in_order(int count, Real target, const Weight& weight,
                            Real (&sums)[kMaxRowWarps]) {
  RowPartials& partials = shared<RowPartials>();
  const RowSegment segment = row_segment(count);
  Real own = 0;
  for (int v = segment.begin + lane_index(); v < segment.end; v += kWarpLanes) own += weight(v);
  for (int bits = kWarpLanes / 2; bits > 0; bits /= 2) own += shuffle_xor(kAllLanes, own, bits);
  if (lane_index() == 0) sums[warp_index()] = own;
  if (thread_index() == 0) partials.found = 0;
  sync_block();
  int chosen = -1;
  Real before = 0, mass = 0;
  for (int w = 0; w < block_threads() / kWarpLanes && !(target < mass); ++w) {
    if (!(sums[w] > 0)) continue;
    chosen = w;
    before = mass;
    mass += sums[w];
  }
  if (chosen == warp_index()) {
    int found = -1, last = segment.begin;
    for (int base = segment.begin; base < segment.end && found < 0; base += kWarpLanes) {
      const int v = base + lane_index();
      const Real entry = v < segment.end ? weight(v) : Real{0};
      const Real running = before + warp_running_sum(entry);
      const uint32_t hits = ballot(kAllLanes, entry > 0 && target < running);
      const uint32_t positive = ballot(kAllLanes, entry > 0);
      if (hits != 0) found = base + lowest_bit(hits);
      if (positive != 0) last = base + highest_bit(positive);
      before = shuffle(kAllLanes, running, kWarpLanes - 1);
    }
    if (lane_index() == 0) partials.found = found >= 0 ? found : last;
  }
  sync_block();
  const int result = partials.found;
  sync_block();
  return result;
}

struct BlockMath {
  using Real = float;

  static SC_DEVICE void softmax(const float* logits, int count, float max, float temperature,
                                float* out) {
    const float inverse = temperature > 1e-30f ? 1.0f / temperature : 1e30f;
    const auto power = [=](int v) { return expf((logits[v] - max) * inverse); };
    const float factor = 1.0f / sum_of(count, power);
    // Made twice rather than written and read again.
    for_each(count, [=](int v) { out[v] = power(v) * factor; });
  }

  static SC_DEVICE float sum(const float* row, int count) {
    return sum_of(count, [=](int v) { return row[v]; });
  }

  static SC_DEVICE float positive_difference(const float* a, const float* b, int count,
                                             float* out) {
    double own = 0.0;
    sync_block();
    for (int v = first_entry(count); v < count; v += row_threads(count)) {
      const float difference = a[v] > b[v] ? a[v] - b[v] : 0.0f;
      out[v] = difference;
      own += static_cast<double>(difference);
    }
    return static_cast<float>(block_sum(own));
  }

  static SC_DEVICE void scale(float* row, int count, float factor) {
    for_each(count, [=](int v) { row[v] *= factor; });
  }

  template <typename Term>
  static SC_DEVICE float sum_of(int count, const Term& term) {
    double own = 0.0;
    for (int v = first_entry(count); v < count; v += row_threads(count)) {
      own += static_cast<double>(term(v));
    }
    return static_cast<float>(block_sum(own));
  }

  static SC_DEVICE float max(const float* row, int count) {
    return block_maximum(row, count).value;
  }

  static SC_DEVICE int argmax(const float* row, int count) {
    return block_maximum(row, count).index;
  }

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
      best[found] = next.index;
      last = next;
    }
    return wanted;
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

  static SC_DEVICE int draw(const float* weights, int count, float total, float uniform) {
    const double target = static_cast<double>(uniform) * static_cast<double>(total);
    const auto weight = [=](int v) {
      return weights[v] > 0.0f ? static_cast<double>(weights[v]) : 0.0;
    };
    return find_in_order(count, target, weight, shared<RowPartials>().sum);
  }
};

}  // namespace speccascade
