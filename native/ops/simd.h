// The vector of the instruction set this file is compiled for, and the few
// functions kernels need on it. Included by *_simd.cpp alone: those are compiled
// once per instruction set, each into a namespace of its own, and use neither
// the standard library's templates nor other inline functions, so that no code
// of one instruction set is ever linked into another.
#pragma once

#include <cstdint>
#include <cstring>

// What the instruction set of this copy offers (CMakeLists.txt has its flags).
#if defined(SPECCASCADE_ISA_AVX512BF16)
#define SC_AVX512_BF16
#endif
#if defined(SPECCASCADE_ISA_AVX512VNNI) || defined(SC_AVX512_BF16)
#define SC_VNNI
#endif
#if defined(SPECCASCADE_ISA_AVX512) || defined(SC_VNNI)
#define SC_AVX512
#elif defined(SPECCASCADE_ISA_AVX2)
#define SC_AVX2
#endif

#if defined(SC_AVX512) || defined(SC_AVX2)
#include <immintrin.h>
#endif

#if defined(__GNUC__) && !defined(__clang__)
// gcc 12 takes the deliberately undefined operand inside its own intrinsics for a mistake.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#define SC_CONCAT_(a, b) a##b
#define SC_CONCAT(a, b) SC_CONCAT_(a, b)
#define SC_SIMD_NAMESPACE SC_CONCAT(simd_, SPECCASCADE_ISA)
#define SC_INLINE inline __attribute__((always_inline))
#define SC_LAMBDA_INLINE __attribute__((always_inline))

namespace speccascade {
namespace SC_SIMD_NAMESPACE {

#if defined(SC_AVX512)
constexpr int kLanes = 16;
#elif defined(SC_AVX2)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

typedef float Vec __attribute__((vector_size(kLanes * 4)));
typedef int32_t IntVec __attribute__((vector_size(kLanes * 4)));
typedef uint32_t WordVec __attribute__((vector_size(kLanes * 4)));
typedef uint16_t HalfVec __attribute__((vector_size(kLanes * 2)));

SC_INLINE Vec load(const float* p) {
  Vec v;
  memcpy(&v, p, sizeof(v));
  return v;
}

SC_INLINE void store(float* p, Vec v) { memcpy(p, &v, sizeof(v)); }

// `count` < kLanes floats, and `rest` in the other lanes.
SC_INLINE Vec load_part(const float* p, int count, float rest) {
#if defined(SC_AVX512)
  const auto lanes = static_cast<__mmask16>((1u << count) - 1);
  return (Vec)_mm512_mask_loadu_ps(_mm512_set1_ps(rest), lanes, p);
#else
  float lane[kLanes];
  for (int i = 0; i < kLanes; ++i) lane[i] = i < count ? p[i] : rest;
  return load(lane);
#endif
}

// The first `count` < kLanes lanes.
SC_INLINE void store_part(float* p, Vec v, int count) {
#if defined(SC_AVX512)
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << count) - 1), (__m512)v);
#else
  for (int i = 0; i < count; ++i) p[i] = v[i];
#endif
}

// Of bf16; float_to_bf16 (base/dtype.h) of every lane.
SC_INLINE Vec load(const uint16_t* p) {
#if defined(SC_AVX512)
  // gcc 12 would widen one half after the other.
  const __m512i words = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)p));
  return (Vec)_mm512_slli_epi32(words, 16);
#else
  HalfVec halves;
  memcpy(&halves, p, sizeof(halves));
  return (Vec)(__builtin_convertvector(halves, WordVec) << 16);
#endif
}

SC_INLINE void store(uint16_t* p, Vec v) {
  const WordVec bits = (WordVec)v;
  const WordVec nearest = bits + 0x7fffu + ((bits >> 16) & 1u);
  const IntVec not_a_number = ((IntVec)v & 0x7fffffff) > 0x7f800000;
  const WordVec rounded = not_a_number ? bits | 0x400000u : nearest;
  const HalfVec halves = __builtin_convertvector(rounded >> 16, HalfVec);
  memcpy(p, &halves, sizeof(halves));
}

// Those of one entry.
SC_INLINE float widened(float x) { return x; }
SC_INLINE float widened(uint16_t half) {
  const uint32_t bits = static_cast<uint32_t>(half) << 16;
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

// Intrinsics where the compiler's own broadcast takes several instructions.
#if defined(SC_AVX512)
SC_INLINE Vec splat(float x) { return (Vec)_mm512_set1_ps(x); }
#elif defined(SC_AVX2)
SC_INLINE Vec splat(float x) { return (Vec)_mm256_set1_ps(x); }
#else
SC_INLINE Vec splat(float x) { return Vec{x, x, x, x}; }
#endif

SC_INLINE Vec max(Vec a, Vec b) { return a > b ? a : b; }

// The upper half of the lanes joined to the lower one, until one is left: the order depends on the
// vector's width alone.
template <typename Join>
SC_INLINE float join_lanes(Vec v, const Join& join) {
  typedef float Quad __attribute__((vector_size(16)));
#if defined(SC_AVX512)
  typedef float Half __attribute__((vector_size(32)));
  const Half half = join(__builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7),
                         __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15));
#elif defined(SC_AVX2)
  const Vec half = v;
#endif
#if defined(SC_AVX512) || defined(SC_AVX2)
  const Quad quad = join(__builtin_shufflevector(half, half, 0, 1, 2, 3),
                         __builtin_shufflevector(half, half, 4, 5, 6, 7));
#else
  const Quad quad = v;
#endif
  const Quad pair = join(quad, __builtin_shufflevector(quad, quad, 2, 3, 2, 3));
  return join(pair, __builtin_shufflevector(pair, pair, 1, 1, 1, 1))[0];
}

SC_INLINE float reduce_add(Vec v) {
  return join_lanes(v, [](auto a, auto b) SC_LAMBDA_INLINE { return a + b; });
}

// Of numbers; with a NaN among them, one of the lanes.
SC_INLINE float reduce_max(Vec v) {
  return join_lanes(v, [](auto a, auto b) SC_LAMBDA_INLINE { return a > b ? a : b; });
}

// e^x to about 1 ulp; 0 below -87.3 (minus infinity included), e^88 above 88.
// Range reduction by ln 2 in two parts, then a polynomial on [-ln2/2, ln2/2];
// the coefficients are those of Moshier's Cephes library (expf).
SC_INLINE Vec exp(Vec input) {
  const Vec x = input > 88.0f ? splat(88.0f) : input;
  const Vec magic = splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
  const Vec whole = (x * 1.44269504088896341f + magic) - magic;
  const Vec r = (x - whole * 0.693359375f) - whole * -2.12194440e-4f;
  Vec p = splat(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  const Vec clamped = whole < -126.0f ? splat(-126.0f) : whole;
  const IntVec power = (__builtin_convertvector(clamped, IntVec) + 127) << 23;
  const Vec value = p * (Vec)power;
  // A NaN fails both comparisons and comes out as NaN.
  return x < -87.3f ? Vec{} : value;
}

}  // namespace SC_SIMD_NAMESPACE
}  // namespace speccascade
