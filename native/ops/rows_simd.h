// Kernels on single rows: norm, attention of some heads, and the passes over a
// vocabulary row that sampling needs. Included by kernels_simd.cpp.
#pragma once

#include "ops/cpu_kernels.h"
#include "ops/simd.h"

namespace speccascade {
namespace SC_SIMD_NAMESPACE {

// Entries summed lane-wise in float before they go into a double: bounds the
// relative error of a sum over any vocabulary to about 1e-6.
constexpr int kSumChunk = 1024;

SC_INLINE float dot(const float* a, const float* b, int count) {
  Vec first = {}, second = {};
  int i = 0;
  for (; i + 2 * kLanes <= count; i += 2 * kLanes) {
    first += load(a + i) * load(b + i);
    second += load(a + i + kLanes) * load(b + i + kLanes);
  }
  for (; i + kLanes <= count; i += kLanes) first += load(a + i) * load(b + i);
  float sum = reduce_add(first + second);
  for (; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

inline void rms_norm_row(const float* x, const float* weight, int width, float epsilon, float scale,
                         float* out) {
  const float mean = dot(x, x, width) / static_cast<float>(width);
  const float factor = 1.0f / __builtin_sqrtf(mean + epsilon);
  int i = 0;
  for (; i + kLanes <= width; i += kLanes) {
    store(out + i, load(x + i) * factor * load(weight + i) * scale);
  }
  for (; i < width; ++i) out[i] = x[i] * factor * weight[i] * scale;
}

inline float exp_row(const float* row, int count, float max, float inverse_temperature,
                     float* out) {
  double total = 0.0;
  for (int begin = 0; begin < count; begin += kSumChunk) {
    const int end = count - begin < kSumChunk ? count : begin + kSumChunk;
    Vec sums = {};
    int i = begin;
    for (; i + kLanes <= end; i += kLanes) {
      const Vec value = exp((load(row + i) - max) * inverse_temperature);
      store(out + i, value);
      sums += value;
    }
    if (i < end) {
      const Vec part = load_part(row + i, end - i, -__builtin_inff());
      const Vec value = exp((part - max) * inverse_temperature);
      store_part(out + i, value, end - i);
      sums += value;
    }
    total += static_cast<double>(reduce_add(sums));
  }
  return static_cast<float>(total);
}

inline float sum_row(const float* row, int count) {
  double total = 0.0;
  for (int begin = 0; begin < count; begin += kSumChunk) {
    const int end = count - begin < kSumChunk ? count : begin + kSumChunk;
    Vec sums = {};
    int i = begin;
    for (; i + kLanes <= end; i += kLanes) sums += load(row + i);
    float tail = 0.0f;
    for (; i < end; ++i) tail += row[i];
    total += static_cast<double>(reduce_add(sums) + tail);
  }
  return static_cast<float>(total);
}

inline float positive_difference(const float* a, const float* b, int count, float* out) {
  int i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    store(out + i, max(load(a + i) - load(b + i), Vec{}));
  }
  for (; i < count; ++i) {
    const float difference = a[i] - b[i];
    out[i] = difference > 0.0f ? difference : 0.0f;
  }
  return sum_row(out, count);
}

inline void scale_row(float* row, int count, float factor) {
  int i = 0;
  for (; i + kLanes <= count; i += kLanes) store(row + i, load(row + i) * factor);
  for (; i < count; ++i) row[i] *= factor;
}

inline int argmax(const float* row, int count, bool* finite) {
  const Vec limit = splat(3.402823466e38f);
  Vec best = splat(-__builtin_inff());
  IntVec good = IntVec{} - 1;
  int i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const Vec value = load(row + i);
    good &= value <= limit;  // false for NaN and +infinity
    best = max(best, value);
  }
  float top = reduce_max(best);
  bool ok = true;
  for (int lane = 0; lane < kLanes; ++lane) ok = ok && good[lane] != 0;
  for (; i < count; ++i) {
    ok = ok && row[i] <= 3.402823466e38f;
    top = row[i] > top ? row[i] : top;
  }
  *finite = ok;
  int first = 0;
  for (; first + kLanes <= count; first += kLanes) {
    const IntVec same = load(row + first) == splat(top);
    IntVec any = same;
    for (int width = kLanes / 2; width > 0; width /= 2) {
      for (int lane = 0; lane < width; ++lane) any[lane] |= any[lane + width];
    }
    if (any[0] != 0) break;
  }
  for (; first < count; ++first) {
    if (row[first] == top) return first;
  }
  return 0;
}

// The neighbouring lanes' sums of a, then those of b.
SC_INLINE Vec fold(Vec a, Vec b) {
  IntVec even, odd;
  for (int i = 0; i < kLanes; ++i) {
    even[i] = 2 * i;
    odd[i] = 2 * i + 1;
  }
#if defined(__clang__)
  Vec evens, odds;
  for (int i = 0; i < kLanes; ++i) {
    evens[i] = 2 * i < kLanes ? a[(2 * i) % kLanes] : b[(2 * i) % kLanes];
    odds[i] = 2 * i < kLanes ? a[(2 * i + 1) % kLanes] : b[(2 * i + 1) % kLanes];
  }
  return evens + odds;
#else
  return __builtin_shuffle(a, b, even) + __builtin_shuffle(a, b, odd);
#endif
}

SC_INLINE float* scores_of(const AttendHeads& a, int head, int query) {
  return a.scores + (static_cast<int64_t>(head) * kMaxQueries + query) * a.score_stride;
}

// Keys of a block, whose scores are one vector.
constexpr int kBlock = kLanes;
static_assert(kBlock <= kScoreSlack);

// Where the first head's entries of a block of shared keys, or of their values, lie, and those that
// are read after them: rows lie too far apart for the processor to foresee which is next.
// Entry: float, or uint16_t for bf16.
template <typename Entry>
struct BlockRows {
  const Entry* row[kBlock];
  const Entry* next[kBlock];
  int count;

  // The last key stands in for those past it. After the keys come the values, after those nothing:
  // the last block's own rows stand in.
  SC_INLINE BlockRows(const AttendHeads& a, bool values, int first) {
    const int keys = a.shared.count;
    count = keys - first < kBlock ? keys - first : kBlock;
    const bool ends = first + kBlock >= keys;
    const bool values_next = values || ends;
    const int begin = !ends ? first + kBlock : values ? first : 0;
    for (int j = 0; j < kBlock; ++j) {
      row[j] = at(a, values, first + j);
      next[j] = at(a, values_next, begin + j);
    }
  }

  // Asks for what a head reads next.
  SC_INLINE void ask_ahead(const AttendHeads& a, int head) const {
    const int bytes = a.head_dim * static_cast<int>(sizeof(Entry));
    for (int j = 0; j < kBlock; ++j) {
      const char* part = reinterpret_cast<const char*>(next[j] + head * a.head_dim);
      for (int i = 0; i < bytes; i += 64) __builtin_prefetch(part + i, 0, 3);
    }
  }

 private:
  static SC_INLINE const Entry* at(const AttendHeads& a, bool values, int j) {
    const int key = j < a.shared.count ? j : a.shared.count - 1;
    const void* all = values ? a.values : a.keys;
    return static_cast<const Entry*>(all) +
           (a.shared.rows ? a.shared.rows[key] : key) * a.row_stride;
  }
};

// The products of a query's entries [0, whole) with those of a key, lane by lane. kDim: `whole`
// where it is known.
template <int Q, int kDim, typename Entry>
SC_INLINE void multiply_key(const float* const (&query)[kMaxQueries], int at, const Entry* key,
                            int whole, Vec (&sum)[Q]) {
  if constexpr (kDim > 0) whole = kDim;
#pragma GCC unroll 16
  for (int d = 0; d < whole; d += kLanes) {
    const Vec part = load(key + d);
    for (int q = 0; q < Q; ++q) sum[q] += load(query[q] + at + d) * part;
  }
}

// Scores of a block of keys for a head of Q queries; for keys past the last one anything. The
// products of a key stay in a vector of its own; folding kLanes of them takes as many shuffles as
// adding up two would.
template <int Q, int kDim, typename Entry>
SC_INLINE void score_block(const AttendHeads& a, const BlockRows<Entry>& keys, int head,
                           int first) {
  const int at = head * a.head_dim;
  Vec sums[Q][kBlock];
  const int whole = a.head_dim / kLanes * kLanes;
  // Whole blocks alone are fast.
  for (int j = 0; j < kBlock; ++j) {
    Vec sum[Q] = {};
    multiply_key<Q, kDim>(a.query, at, keys.row[j] + at, whole, sum);
    for (int q = 0; q < Q; ++q) sums[q][j] = sum[q];
  }
  for (int q = 0; q < Q; ++q) {
    float* scores = scores_of(a, head, q) + first;
    for (int n = kBlock; n > 1; n /= 2) {
      for (int j = 0; j < n / 2; ++j) sums[q][j] = fold(sums[q][2 * j], sums[q][2 * j + 1]);
    }
    store(scores, sums[q][0]);
    if constexpr (kDim > 0) continue;
    for (int j = 0; whole < a.head_dim && j < keys.count; ++j) {
      const Entry* key = keys.row[j] + at;
      for (int d = whole; d < a.head_dim; ++d) scores[j] += a.query[q][at + d] * widened(key[d]);
    }
  }
}

// out[d .. d + width) += sum_j scores[j] * value_j over a block, entries counted from the first
// head's.
template <int Q, typename Entry, int kVecs>
SC_INLINE void weigh_values(const AttendHeads& a, const BlockRows<Entry>& values, int head, int d,
                            int first) {
  Vec sum[Q][kVecs];
  const float* scores[Q];
  for (int q = 0; q < Q; ++q) {
    scores[q] = scores_of(a, head, q) + first;
    for (int v = 0; v < kVecs; ++v) sum[q][v] = load(a.out[q] + d + v * kLanes);
  }
  for (int j = 0; j < values.count; ++j) {
    const Entry* value = values.row[j] + d;
    Vec part[kVecs];
    for (int v = 0; v < kVecs; ++v) part[v] = load(value + v * kLanes);
    for (int q = 0; q < Q; ++q) {
      const Vec score = splat(scores[q][j]);
      for (int v = 0; v < kVecs; ++v) sum[q][v] += score * part[v];
    }
  }
  for (int q = 0; q < Q; ++q) {
    for (int v = 0; v < kVecs; ++v) store(a.out[q] + d + v * kLanes, sum[q][v]);
  }
}

// weigh_values of a whole head.
template <int Q, typename Entry>
SC_INLINE void weigh_block(const AttendHeads& a, const BlockRows<Entry>& values, int head,
                           int first) {
  constexpr int kWide = kLanes == 16 || Q == 1 ? 4 : 2;
  const int end = (head + 1) * a.head_dim;
  int d = head * a.head_dim;
  for (; d + kWide * kLanes <= end; d += kWide * kLanes) {
    weigh_values<Q, Entry, kWide>(a, values, head, d, first);
  }
  for (; d + kLanes <= end; d += kLanes) weigh_values<Q, Entry, 1>(a, values, head, d, first);
  for (; d < end; ++d) {
    for (int q = 0; q < Q; ++q) {
      const float* scores = scores_of(a, head, q) + first;
      float sum = a.out[q][d];
      for (int j = 0; j < values.count; ++j) sum += scores[j] * widened(values.row[j][d]);
      a.out[q][d] = sum;
    }
  }
}

// Scores of one query to weights that sum up to what is returned. Never inlined:
// compiled once, it gives the same bits whatever the query's company.
__attribute__((noinline)) inline float weights_of(float* scores, const float* bias, int num_keys) {
  Vec highest = splat(-__builtin_inff());
  int i = 0;
  for (; i + kLanes <= num_keys; i += kLanes) {
    const Vec value = bias ? load(scores + i) + load(bias + i) : load(scores + i);
    store(scores + i, value);
    highest = max(highest, value);
  }
  if (i < num_keys) {
    const int count = num_keys - i;
    Vec value = load_part(scores + i, count, -__builtin_inff());
    if (bias) value += load_part(bias + i, count, 0.0f);
    store_part(scores + i, value, count);
    highest = max(highest, value);
  }
  return exp_row(scores, num_keys, reduce_max(highest), 1.0f, scores);
}

// Keys outermost, so that memory is read row by row and not in pieces of a head. What is read after
// a block is on its way meanwhile; both stay in the first-level cache.
template <int Q, int kDim, typename Entry>
SC_INLINE void score_keys(const AttendHeads& a) {
  for (int first = 0; first < a.shared.count; first += kBlock) {
    const BlockRows<Entry> keys(a, false, first);
    for (int h = 0; h < a.heads; ++h) {
      keys.ask_ahead(a, h);
      score_block<Q, kDim>(a, keys, h, first);
    }
  }
}

template <int Q, typename Entry>
SC_INLINE void weigh_keys(const AttendHeads& a) {
  for (int first = 0; first < a.shared.count; first += kBlock) {
    const BlockRows<Entry> values(a, true, first);
    for (int h = 0; h < a.heads; ++h) {
      values.ask_ahead(a, h);
      weigh_block<Q>(a, values, h, first);
    }
  }
}

// For score_keys and weigh_keys: query q alone, its own keys as the shared ones.
SC_INLINE AttendHeads alone(const AttendHeads& a, int q) {
  AttendHeads one = a;
  one.query[0] = a.query[q];
  one.out[0] = a.out[q];
  one.scores = scores_of(a, 0, q) + a.shared.count;
  one.shared = a.own[q];
  return one;
}

template <int Q, int kDim, typename Entry>
void attend_queries(const AttendHeads& a) {
  score_keys<Q, kDim, Entry>(a);
  for (int q = 0; q < Q; ++q) {
    if (a.own[q].count > 0) score_keys<1, kDim, Entry>(alone(a, q));
  }
  float factor[kMaxHeads][Q];
  for (int h = 0; h < a.heads; ++h) {
    for (int q = 0; q < Q; ++q) {
      const float* bias = a.bias[q] ? a.bias[q] + h * a.score_stride : nullptr;
      const int keys = a.shared.count + a.own[q].count;
      factor[h][q] = 1.0f / weights_of(scores_of(a, h, q), bias, keys);
    }
  }
  const int width = a.heads * a.head_dim;
  for (int q = 0; q < Q; ++q) memset(a.out[q], 0, static_cast<size_t>(width) * sizeof(float));
  weigh_keys<Q, Entry>(a);
  for (int q = 0; q < Q; ++q) {
    if (a.own[q].count > 0) weigh_keys<1, Entry>(alone(a, q));
  }
  for (int h = 0; h < a.heads; ++h) {
    for (int q = 0; q < Q; ++q) scale_row(a.out[q] + h * a.head_dim, a.head_dim, factor[h][q]);
  }
}

template <int kDim, typename Entry>
void attend_together(const AttendHeads& a) {
  switch (a.num_queries) {
    case 1:
      return attend_queries<1, kDim, Entry>(a);
    case 2:
      return attend_queries<2, kDim, Entry>(a);
    case 3:
      return attend_queries<3, kDim, Entry>(a);
    default:
      return attend_queries<4, kDim, Entry>(a);
  }
}

// Nearly every published checkpoint has heads of 64.
template <typename Entry>
void attend_any(const AttendHeads& a) {
  if (a.head_dim == 64) return attend_together<64, Entry>(a);
  attend_together<0, Entry>(a);
}

inline void attend_heads(const AttendHeads& a) {
  if (a.dtype == DType::kBF16) return attend_any<uint16_t>(a);
  attend_any<float>(a);
}

}  // namespace SC_SIMD_NAMESPACE
}  // namespace speccascade
