// How a block goes through a row of the vocabulary.
//
// A row is cut into parts, as many as its length says, and a part into batches: a lane has a
// batch's entries under way together before it uses the first, because one load at a time from a
// thread would leave most of the memory's bandwidth unused. A warp makes whole parts, so sums come
// in an order that the row's length alone decides, in blocks of any number of warps: within a batch
// in float, in a tree of four levels (four roundings of a term, 2.4e-7 of it), batches in double.
#pragma once

#include <cmath>

#include "base/cuda_intrinsics.h"
#include "base/cuda_intrinsics_sm90.h"
#include "ops/probability_row.h"
#include "ops/row_peak_cuda.cuh"

namespace speccascade {

// The largest block that computes with rows.
constexpr int kMaxRowThreads = 512;
constexpr int kMaxRowWarps = kMaxRowThreads / kWarpLanes;
static_assert(kMaxRowParts == kMaxRowWarps, "a warp of the largest block has one");
constexpr int kBatch = 16;  // entries of a lane
constexpr int kBatchEntries = kBatch * kWarpLanes;

SC_HOST_DEVICE constexpr int row_batches(int count) {
  return (count + kBatchEntries - 1) / kBatchEntries;
}
SC_HOST_DEVICE constexpr int row_parts(int count) {
  const int batches = row_batches(count);
  return batches < 1 ? 1 : batches < kMaxRowParts ? batches : kMaxRowParts;
}
// Of a block that makes one row as fast as can be: a warp for each part.
SC_HOST_DEVICE constexpr int row_threads(int vocabulary) {
  return row_parts(vocabulary) * kWarpLanes;
}

// Of kernels over many rows, which have the GPU full anyway. So many blocks fit a multiprocessor:
// rows of a batch of 32 with drafts of 8 tokens run all at once on 132 of them.
constexpr int kRowBlockThreads = 256;
constexpr int kRowBlocks = 3;
SC_HOST_DEVICE constexpr int row_block_threads(int vocabulary) {
  const int threads = row_threads(vocabulary);
  return threads < kRowBlockThreads ? threads : kRowBlockThreads;
}

struct RowPartials {
  double sum[kMaxRowParts], second[kMaxRowParts];
  float value[kMaxRowWarps];
  int index[kMaxRowWarps];
};

SC_DEVICE float ProbabilityRow::unfiltered(int v) const {
  return exp2_flushed((logits[v] - max) * scale) * factor;
}

// Consecutive entries.
struct RowPart {
  int begin, end;
};

SC_DEVICE RowPart row_part(int count, int part) {
  const int parts = row_parts(count);
  const int length = (row_batches(count) + parts - 1) / parts * kBatchEntries;
  const int begin = part * length;
  if (begin >= count) return {count, count};
  return {begin, count - begin < length ? count : begin + length};
}

SC_DEVICE int block_warps() { return block_threads() / kWarpLanes; }

// Which way a pass goes. One back finds near, in the multiprocessor's cache, what one forth left.
enum class Way { kForth, kBack };

// body(part, its entries) for the parts of this warp.
template <Way kWay = Way::kForth, typename Body>
SC_DEVICE void for_parts(int count, const Body& body) {
  const int parts = row_parts(count);
  for (int turn = warp_index(); turn < parts; turn += block_warps()) {
    const int part = kWay == Way::kForth ? turn : parts - 1 - turn;
    body(part, row_part(count, part));
  }
}

// Has the memory send a row while something else is done: a part by an instruction, where there is
// one for it.
SC_DEVICE void prefetch_row(const float* row, int count) {
  if constexpr (kHasWarpgroups) {
    if (lane_index() != 0) return;
    for_parts(count, [&](int, const RowPart& part) {
      constexpr int kUnit = 16;
      const float* begin = row + part.begin;
      const auto behind = static_cast<int>(reinterpret_cast<uintptr_t>(begin) % kUnit);
      const int skipped = (kUnit - behind) % kUnit;
      const int bytes = (part.end - part.begin) * static_cast<int>(sizeof(float)) - skipped;
      if (bytes < kUnit) return;
      prefetch_range(reinterpret_cast<const char*>(begin) + skipped, bytes - bytes % kUnit);
    });
  } else {
    constexpr int kTogether = 8;  // 32 bytes
    for (int v = thread_index() * kTogether; v < count; v += block_threads() * kTogether) {
      prefetch(row + v);
    }
  }
}

// By a warp: take(values, first, there) for each of a lane's batches, where values[i] is value(v)
// of entry v = first + 32 i, if there(v); else the last entry's.
template <int kCount, bool kWhole, typename Value, typename Take>
SC_DEVICE void take_batch(int first, int end, const Value& value, const Take& take) {
  decltype(value(0)) values[kCount];
  SC_UNROLL
  for (int i = 0; i < kCount; ++i) {
    const int v = first + i * kWarpLanes;
    values[i] = value(kWhole || v < end ? v : end - 1);
  }
  take(values, first, [=](int v) { return kWhole || v < end; });
}
// Those behind the row's last whole batch.
template <typename Value, typename Take>
SC_DEVICE void for_last_batches(int base, int end, const Value& value, const Take& take) {
  constexpr int kFew = kBatch / 4;
  SC_UNROLL_BY(1)
  for (; base < end; base += kFew * kWarpLanes) {
    take_batch<kFew, false>(base + lane_index(), end, value, take);
  }
}
template <int kCount = kBatch, Way kWay = Way::kForth, typename Value, typename Take>
SC_DEVICE void for_batches(const RowPart& part, const Value& value, const Take& take) {
  constexpr int kEntries = kCount * kWarpLanes;
  if (kWay == Way::kForth) {
    int base = part.begin;
    SC_UNROLL_BY(1)
    for (; base + kEntries <= part.end; base += kEntries) {
      take_batch<kCount, true>(base + lane_index(), base + kEntries, value, take);
    }
    for_last_batches(base, part.end, value, take);
  } else {
    int end = part.end - (part.end - part.begin) % kEntries;
    for_last_batches(end, part.end, value, take);
    SC_UNROLL_BY(1)
    for (; end > part.begin; end -= kEntries) {
      take_batch<kCount, true>(end - kEntries + lane_index(), end, value, take);
    }
  }
}

// The sum of a batch's entries.
template <typename Type, int kCount, typename There>
SC_DEVICE Type batch_sum(Type (&values)[kCount], int first, const There& there) {
  SC_UNROLL
  for (int i = 0; i < kCount; ++i) {
    if (!there(first + i * kWarpLanes)) values[i] = Type{0};
  }
  SC_UNROLL
  for (int half = kCount / 2; half > 0; half /= 2) {
    // So many rounds whatever `half` is, or the loop would not be unrolled.
    SC_UNROLL
    for (int i = 0; i < kCount / 2; ++i) {
      if (i < half) values[i] += values[i + half];
    }
  }
  return values[0];
}

template <typename Real>
SC_DEVICE Real sum_of_lanes(Real value) {
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

// By a warp: the sum of value(v) over a part, the same in all lanes.
template <typename Real, int kCount = kBatch, Way kWay = Way::kForth, typename Value>
SC_DEVICE Real part_sum(const RowPart& part, const Value& value) {
  Real own = 0;
  for_batches<kCount, kWay>(part, value, [&](auto& values, int first, const auto& there) {
    own += static_cast<Real>(batch_sum(values, first, there));
  });
  return sum_of_lanes(own);
}

// The sum of what the row's parts left in `sums`, the same in all threads.
template <typename Real>
SC_DEVICE Real sum_of_parts(int count, const Real (&sums)[kMaxRowParts]) {
  sync_block();
  Real total = 0;
  for (int part = 0; part < row_parts(count); ++part) total += sums[part];
  sync_block();
  return total;
}

// The parts' sums stay in RowPartials until the next pass.
template <int kCount = kBatch, Way kWay = Way::kForth, typename Value>
SC_DEVICE double row_sum(int count, const Value& value) {
  RowPartials& partials = shared<RowPartials>();
  for_parts<kWay>(count, [&](int p, const RowPart& part) {
    const double sum = part_sum<double, kCount, kWay>(part, value);
    if (lane_index() == 0) partials.sum[p] = sum;
  });
  return sum_of_parts(count, partials.sum);
}

// The sums of both of what value(v) gives.
template <int kCount = kBatch, Way kWay = Way::kForth, typename Value>
SC_DEVICE SumPair<double> row_sums(int count, const Value& value) {
  RowPartials& partials = shared<RowPartials>();
  for_parts<kWay>(count, [&](int p, const RowPart& part) {
    SumPair<double> own;
    for_batches<kCount, kWay>(part, value, [&](auto& values, int first, const auto& there) {
      const auto sums = batch_sum(values, first, there);
      own += {static_cast<double>(sums.first), static_cast<double>(sums.second)};
    });
    own = {sum_of_lanes(own.first), sum_of_lanes(own.second)};
    if (lane_index() != 0) return;
    partials.sum[p] = own.first;
    partials.second[p] = own.second;
  });
  sync_block();
  SumPair<double> total;
  for (int part = 0; part < row_parts(count); ++part) {
    total += {partials.sum[part], partials.second[part]};
  }
  sync_block();
  return total;
}

// What a pass makes of an entry, and another row's entry that it reads beside.
struct TermBeside {
  float term, other;
};
template <int kCount>
struct Terms {
  float term[kCount];

  SC_DEVICE Terms(const TermBeside (&values)[kCount], float& largest) {
    SC_UNROLL
    for (int i = 0; i < kCount; ++i) {
      term[i] = values[i].term;
      largest = values[i].other > largest ? values[i].other : largest;
    }
  }
};

// row_sum, with the bits that it has, and the largest entry of the other row.
template <typename Value>
SC_DEVICE double row_sum_beside(int count, const Value& value, float& largest) {
  RowPartials& partials = shared<RowPartials>();
  float own_largest = -INFINITY;
  for_parts(count, [&](int p, const RowPart& part) {
    double own = 0.0;
    for_batches(part, value, [&](const auto& values, int first, const auto& there) {
      Terms terms(values, own_largest);
      own += static_cast<double>(batch_sum(terms.term, first, there));
    });
    own = sum_of_lanes(own);
    if (lane_index() == 0) partials.sum[p] = own;
  });
  own_largest = warp_max(own_largest);
  if (lane_index() == 0) partials.value[warp_index()] = own_largest;
  sync_block();
  largest = -INFINITY;
  for (int w = 0; w < block_warps(); ++w) {
    largest = partials.value[w] > largest ? partials.value[w] : largest;
  }
  return sum_of_parts(count, partials.sum);
}

// The largest value; minus infinity where none is a number.
SC_DEVICE float block_largest(const float* row, int count) {
  RowPartials& partials = shared<RowPartials>();
  float largest = -INFINITY;
  const auto take = [&](float value) { largest = value > largest ? value : largest; };
  for_parts(count, [&](int, const RowPart& part) {
    for_batches(
        part, [=](int v) { return row[v]; },
        [&](auto& values, int, const auto&) {
          SC_UNROLL
          for (const float value : values) take(value);
        });
  });
  largest = warp_max(largest);
  if (lane_index() == 0) partials.value[warp_index()] = largest;
  sync_block();
  for (int w = 0; w < block_warps(); ++w) take(partials.value[w]);
  sync_block();
  return largest;
}

// The largest of the entries; index 0 where none is a number. entry(v): a value and its index,
// which rises with v.
template <typename Entry>
SC_DEVICE RowPeak block_maximum(int count, const Entry& entry) {
  RowPartials& partials = shared<RowPartials>();
  RowPeak largest = no_peak();
  for_parts(count, [&](int, const RowPart& part) {
    for_batches(part, entry, [&](auto& peaks, int, const auto&) {
      SC_UNROLL
      for (const RowPeak& peak : peaks) {
        if (peak.value > largest.value) largest = peak;
      }
    });
  });
  largest = largest_of_lanes<kWarpLanes>(largest);
  if (lane_index() == 0) {
    partials.value[warp_index()] = largest.value;
    partials.index[warp_index()] = largest.index;
  }
  sync_block();
  for (int w = 0; w < block_warps(); ++w) {
    take_larger(largest, {partials.value[w], partials.index[w]});
  }
  sync_block();
  if (largest.index == kNoIndex) largest.index = 0;
  return largest;
}

}  // namespace speccascade
