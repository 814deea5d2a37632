// Rows of inputs in the type that they are multiplied in: bf16, or bytes with
// scales. Included by kernels_simd.cpp.
#pragma once

#include "ops/cpu_kernels.h"
#include "ops/simd.h"

namespace speccascade {
namespace SC_SIMD_NAMESPACE {

#if defined(SC_AVX512_BF16)
constexpr bool kRoundsInputs = true;

// Rounds 16 entries; leaves in `value` what rounding took away.
SC_INLINE void round_vector(Vec& value, void* out, size_t bytes) {
  const __m256bh bits = _mm512_cvtneps_pbh((__m512)value);
  memcpy(out, &bits, bytes);
  value -= (Vec)_mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)bits), 16);
}

inline void round_row(int parts, const float* x, int k, char* out, size_t stride) {
  int i = 0;
  for (; i + kLanes <= k; i += kLanes) {
    Vec value = load(x + i);
    round_vector(value, out + i * 2, sizeof(__m256bh));
    if (parts == 2) round_vector(value, out + stride + i * 2, sizeof(__m256bh));
  }
  if (i == k) return;
  float lane[kLanes] = {};
  for (int j = 0; i + j < k; ++j) lane[j] = x[i + j];
  Vec value = load(lane);
  const size_t bytes = static_cast<size_t>((k - i + 1) / 2) * 4;
  round_vector(value, out + i * 2, bytes);
  if (parts == 2) round_vector(value, out + stride + i * 2, bytes);
}
#else
constexpr bool kRoundsInputs = false;

inline void round_row(int, const float*, int, char*, size_t) {}
#endif

typedef int8_t ByteVec __attribute__((vector_size(kLanes)));

#if defined(SC_AVX512)
SC_INLINE int32_t largest_lane(IntVec v) { return _mm512_reduce_max_epi32((__m512i)v); }
SC_INLINE int32_t sum_of_lanes(IntVec v) { return _mm512_reduce_add_epi32((__m512i)v); }
#else
SC_INLINE int32_t largest_lane(IntVec v) {
  int32_t largest = v[0];
  for (int i = 1; i < kLanes; ++i) largest = v[i] > largest ? v[i] : largest;
  return largest;
}
SC_INLINE int32_t sum_of_lanes(IntVec v) {
  int32_t sum = 0;
  for (int i = 0; i < kLanes; ++i) sum += v[i];
  return sum;
}
#endif

// The bits of the largest magnitude among a group: of non-negative floats the order
// is that of their bits, with infinity and NaN above all numbers.
SC_INLINE int32_t largest_bits(const float* x) {
  IntVec best = {};
  for (int i = 0; i < kScaleGroup; i += kLanes) {
    const IntVec bits = (IntVec)load(x + i) & 0x7fffffff;
    best = bits > best ? bits : best;
  }
  return largest_lane(best);
}

// A group as integers of 8 bits with their scale, and what its sums are too large by
// with weights that are stored 128 too large.
SC_INLINE void quantize_group(const float* x, char* out, float* scale, int32_t* offset) {
  const int32_t bits = largest_bits(x);
  float largest;
  memcpy(&largest, &bits, sizeof(largest));
  const bool finite = bits < 0x7f800000;
  // Below this the inverse is not finite, and the group as good as zero.
  const bool some = finite && largest > 1e-30f;
  const float inverse = some ? 127.0f / largest : 0.0f;
  const Vec magic = splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
  IntVec sums = {};
  for (int i = 0; i < kScaleGroup; i += kLanes) {
    const Vec whole = some ? (load(x + i) * inverse + magic) - magic : Vec{};
    const IntVec integers = __builtin_convertvector(whole, IntVec);
    const ByteVec bytes = __builtin_convertvector(integers, ByteVec);
    memcpy(out + i, &bytes, sizeof(bytes));
    sums += integers;
  }
  *offset = -128 * sum_of_lanes(sums);
  *scale = some ? largest / 127.0f : finite ? 0.0f : largest * 0.0f;  // NaN unless finite
}

// A row in groups of integers: the bytes of all, then scale and offset of each. The
// last group is filled up with zeros.
inline void quantize_row(const float* x, int k, char* out) {
  const int groups = (k + kScaleGroup - 1) / kScaleGroup;
  char* tail = out + groups * kScaleGroup;
  for (int g = 0; g < groups; ++g) {
    const int begin = g * kScaleGroup;
    float padded[kScaleGroup] = {};
    const bool whole = begin + kScaleGroup <= k;
    if (!whole) memcpy(padded, x + begin, static_cast<size_t>(k - begin) * sizeof(float));
    float scale;
    int32_t offset;
    quantize_group(whole ? x + begin : padded, out + begin, &scale, &offset);
    memcpy(tail + g * 8, &scale, 4);
    memcpy(tail + g * 8 + 4, &offset, 4);
  }
}

inline void prepare_row(DType dtype, int parts, const float* x, int k, char* out, size_t stride) {
  if (dtype == DType::kInt8) return quantize_row(x, k, out);
  round_row(parts, x, k, out, stride);
}

}  // namespace SC_SIMD_NAMESPACE
}  // namespace speccascade
