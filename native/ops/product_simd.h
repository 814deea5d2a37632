// How one line of a packed weight meets one group of inputs, for each type of
// weight: what a tile (gemm_simd.h) accumulates in, loads and does per step.
// Included by kernels_simd.cpp through gemm_simd.h.
#pragma once

#include "ops/cpu_kernels.h"
#include "ops/simd.h"

namespace speccascade {
namespace SC_SIMD_NAMESPACE {

// Bytes of a vector, and vectors in a line of a panel.
constexpr int kVecBytes = kLanes * 4;
constexpr int kLineVecs = static_cast<int>(kLineBytes) / kVecBytes;

SC_INLINE IntVec load_ints(const void* p) {
  IntVec v;
  memcpy(&v, p, sizeof(v));
  return v;
}

SC_INLINE int32_t word_at(const char* row, int64_t group) {
  int32_t word;
  memcpy(&word, row + group * 4, sizeof(word));
  return word;
}

#if defined(SC_AVX512)
SC_INLINE IntVec splat_int(int32_t x) { return (IntVec)_mm512_set1_epi32(x); }
#elif defined(SC_AVX2)
SC_INLINE IntVec splat_int(int32_t x) { return (IntVec)_mm256_set1_epi32(x); }
#else
SC_INLINE IntVec splat_int(int32_t x) { return IntVec{x, x, x, x}; }
#endif

// A product's interface: Sum accumulates; Weight is one vector of a line; Input is
// one group of a row, in every lane. kRaw: rows are not padded, and input_tail loads
// a last group that k ends inside of. kIntegers: sums are integers.

struct F32Product {
  using Sum = Vec;
  using Weight = Vec;
  using Input = Vec;
  static constexpr int kGroup = 1;
  static constexpr bool kRaw = false;
  static constexpr bool kIntegers = false;
  static SC_INLINE Weight weight(const char* at) {
    return load(reinterpret_cast<const float*>(at));
  }
  static SC_INLINE Input input(const char* row, int64_t group) {
    return splat(reinterpret_cast<const float*>(row)[group]);
  }
  static SC_INLINE Sum step(Sum sum, Weight w, Input x) { return sum + x * w; }
};

#if defined(SC_AVX512_BF16)

// Inputs in bf16 as well; the processor multiplies and adds pairs.
struct Bf16Product {
  using Sum = Vec;
  using Weight = __m512i;
  using Input = __m512i;
  static constexpr int kGroup = 2;
  static constexpr bool kRaw = false;
  static constexpr bool kIntegers = false;
  static SC_INLINE Weight weight(const char* at) { return _mm512_loadu_si512(at); }
  static SC_INLINE Input input(const char* row, int64_t group) {
    return _mm512_set1_epi32(word_at(row, group));
  }
  static SC_INLINE Sum step(Sum sum, Weight w, Input x) {
    return (Vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)w, (__m512bh)x);
  }
};

#else

// Weights widened to f32: the upper halves of the words, and the lower ones.
struct Bf16Product {
  using Sum = Vec;
  struct Weight {
    Vec first, second;
  };
  struct Input {
    Vec first, second;
  };
  static constexpr int kGroup = 2;
  static constexpr bool kRaw = true;
  static constexpr bool kIntegers = false;
  static SC_INLINE Weight weight(const char* at) {
    const IntVec words = load_ints(at);
    return {(Vec)(words << 16), (Vec)(words & splat_int(static_cast<int32_t>(0xffff0000u)))};
  }
  static SC_INLINE Input input(const char* row, int64_t group) {
    const float* x = reinterpret_cast<const float*>(row) + 2 * group;
    return {splat(x[0]), splat(x[1])};
  }
  static SC_INLINE Input input_tail(const char* row, int64_t group) {
    return {splat(reinterpret_cast<const float*>(row)[2 * group]), Vec{}};
  }
  static SC_INLINE Sum step(Sum sum, Weight w, Input x) {
    sum += x.first * w.first;
    return sum + x.second * w.second;
  }
};

#endif

// Weights are unsigned bytes, 128 too large, and inputs signed ones: what the sums of
// a group are too large by depends on the inputs alone, and is where they start.
#if defined(SC_VNNI)

struct Int8Product {
  using Sum = IntVec;
  using Weight = __m512i;
  using Input = __m512i;
  static constexpr int kGroup = 4;
  static constexpr bool kRaw = false;
  static constexpr bool kIntegers = true;
  static SC_INLINE Weight weight(const char* at) { return _mm512_loadu_si512(at); }
  static SC_INLINE Input input(const char* row, int64_t group) {
    return _mm512_set1_epi32(word_at(row, group));
  }
  static SC_INLINE Sum step(Sum sum, Weight w, Input x) {
    return (IntVec)_mm512_dpbusd_epi32((__m512i)sum, w, x);
  }
};

#else

#if defined(SC_AVX512)
SC_INLINE IntVec multiply_halves(IntVec a, IntVec b) {
  return (IntVec)_mm512_madd_epi16((__m512i)a, (__m512i)b);
}
typedef int16_t ShortVec __attribute__((vector_size(64)));
#elif defined(SC_AVX2)
SC_INLINE IntVec multiply_halves(IntVec a, IntVec b) {
  return (IntVec)_mm256_madd_epi16((__m256i)a, (__m256i)b);
}
typedef int16_t ShortVec __attribute__((vector_size(32)));
#else
typedef int16_t ShortVec __attribute__((vector_size(16)));
// Per word: product of the lower halves plus that of the upper ones.
SC_INLINE IntVec multiply_halves(IntVec a, IntVec b) {
  return ((a << 16) >> 16) * ((b << 16) >> 16) + (a >> 16) * (b >> 16);
}
#endif

// Bytes of a word as halves: bytes 0 and 2, and bytes 1 and 3. Products of halves
// never saturate, as products of bytes would.
struct Int8Product {
  using Sum = IntVec;
  struct Weight {
    IntVec even, odd;
  };
  using Input = Weight;
  static constexpr int kGroup = 4;
  static constexpr bool kRaw = false;
  static constexpr bool kIntegers = true;
  static SC_INLINE Weight weight(const char* at) {
    const IntVec words = load_ints(at);
    return {words & 0x00ff00ff, (words >> 8) & 0x00ff00ff};
  }
  static SC_INLINE Input input(const char* row, int64_t group) {
    const ShortVec halves = (ShortVec)splat_int(word_at(row, group));
    return {(IntVec)((halves << 8) >> 8), (IntVec)(halves >> 8)};
  }
  static SC_INLINE Sum step(Sum sum, Weight w, Input x) {
    return sum + multiply_halves(w.even, x.even) + multiply_halves(w.odd, x.odd);
  }
};

#endif

}  // namespace SC_SIMD_NAMESPACE
}  // namespace speccascade
