// Kernels on single rows: norm, attention of one head, and the passes over a
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
      float tail[kLanes];
      for (int j = 0; j < kLanes; ++j) tail[j] = i + j < end ? row[i + j] : -__builtin_inff();
      const Vec value = exp((load(tail) - max) * inverse_temperature);
      store(tail, value);
      for (int j = 0; i + j < end; ++j) out[i + j] = tail[j];
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
  for (int j = 0; j < count; ++j) {
    if (row[j] == top) return j;
  }
  return 0;
}

inline void attend_head(const AttendHead& a) {
  float max_score = -__builtin_inff();
  for (int j = 0; j < a.num_keys; ++j) {
    const int64_t row = a.key_rows ? a.key_rows[j] : j;
    float score = dot(a.query, a.keys + row * a.row_stride, a.head_dim);
    if (a.bias) score += a.bias[j];
    a.scores[j] = score;
    max_score = score > max_score ? score : max_score;
  }
  const float total = exp_row(a.scores, a.num_keys, max_score, 1.0f, a.scores);
  const float factor = 1.0f / total;
  constexpr int kBlock = 4 * kLanes;
  int d = 0;
  for (; d + kBlock <= a.head_dim; d += kBlock) {
    Vec sum[4] = {};
    for (int j = 0; j < a.num_keys; ++j) {
      const int64_t row = a.key_rows ? a.key_rows[j] : j;
      const float* value = a.values + row * a.row_stride + d;
      for (int v = 0; v < 4; ++v) sum[v] += splat(a.scores[j]) * load(value + v * kLanes);
    }
    for (int v = 0; v < 4; ++v) store(a.out + d + v * kLanes, sum[v] * factor);
  }
  for (; d + kLanes <= a.head_dim; d += kLanes) {
    Vec sum = {};
    for (int j = 0; j < a.num_keys; ++j) {
      const int64_t row = a.key_rows ? a.key_rows[j] : j;
      sum += splat(a.scores[j]) * load(a.values + row * a.row_stride + d);
    }
    store(a.out + d, sum * factor);
  }
  for (; d < a.head_dim; ++d) {
    float sum = 0.0f;
    for (int j = 0; j < a.num_keys; ++j) {
      const int64_t row = a.key_rows ? a.key_rows[j] : j;
      sum += a.scores[j] * a.values[row * a.row_stride + d];
    }
    a.out[d] = sum * factor;
  }
}

}  // namespace SC_SIMD_NAMESPACE
}  // namespace speccascade
