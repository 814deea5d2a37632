// Rows of inputs in the type that they are multiplied in: bf16, or bytes with a
// scale. Included by kernels_simd.cpp.
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

// The largest magnitude of a row; NaN if an entry is not finite.
inline float largest_of(const float* x, int k) {
  Vec best = {};
  Vec poison = {};  // 0 x entry: stays 0 unless an entry is not finite
  int i = 0;
  for (; i + kLanes <= k; i += kLanes) {
    const Vec value = load(x + i);
    best = max(best, max(value, -value));
    poison += value * 0.0f;
  }
  float largest = reduce_max(best);
  float bad = reduce_add(poison);
  for (; i < k; ++i) {
    const float size = x[i] < 0.0f ? -x[i] : x[i];
    largest = size > largest ? size : largest;
    bad += x[i] * 0.0f;
  }
  return largest + bad;
}

// A row as integers of 16 bits, padded to a group with zeros: upper bytes, 128 too
// large and so unsigned, and lower bytes. Returns the scale.
inline float quantize_row(const float* x, int k, char* upper, char* lower) {
  const float largest = largest_of(x, k);
  const bool finite = largest == largest;
  // Below this the inverse is not finite, and the row as good as zero.
  const bool some = finite && largest > 1e-30f;
  const float inverse = some ? 32512.0f / largest : 0.0f;
  const int padded = (k + 3) / 4 * 4;
  int i = 0;
#if defined(SC_AVX512)
  for (; i + kLanes <= k; i += kLanes) {
    const __m512i value = _mm512_add_epi32(_mm512_cvtps_epi32((__m512)(load(x + i) * inverse)),
                                           _mm512_set1_epi32(128 << 8));
    const __m128i high = _mm512_cvtepi32_epi8(_mm512_srli_epi32(value, 8));
    const __m128i low = _mm512_cvtepi32_epi8(value);
    memcpy(upper + i, &high, sizeof(high));
    memcpy(lower + i, &low, sizeof(low));
  }
#endif
  for (; i < padded; ++i) {
    const long value = (i < k && some ? __builtin_lrintf(x[i] * inverse) : 0) + (128 << 8);
    upper[i] = static_cast<char>(value >> 8);
    lower[i] = static_cast<char>(value);
  }
  return finite ? (some ? largest / 32512.0f : 0.0f) : largest;
}

inline float prepare_row(DType dtype, int parts, const float* x, int k, char* out, size_t stride) {
  if (dtype == DType::kInt8) return quantize_row(x, k, out, out + stride);
  round_row(parts, x, k, out, stride);
  return 1.0f;
}

}  // namespace SC_SIMD_NAMESPACE
}  // namespace speccascade
