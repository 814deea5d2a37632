// What the processor could do at best: loops that only read, and loops that only
// multiply and add in registers. Benchmarks set kernels against them. Included by
// kernels_simd.cpp.
#pragma once

#include "ops/product_simd.h"

namespace speccascade {
namespace SC_SIMD_NAMESPACE {

// Reads `lines` lines of 128 bytes; returns something that depends on all of them.
inline int32_t read_lines(const char* data, int64_t lines) {
  IntVec sum[kLineVecs] = {};
  for (int64_t line = 0; line < lines; ++line) {
    for (int v = 0; v < kLineVecs; ++v) {
      sum[v] += load_ints(data + line * static_cast<int64_t>(kLineBytes) + v * kVecBytes);
    }
  }
  for (int v = 1; v < kLineVecs; ++v) sum[0] += sum[v];
  int32_t total = 0;
  for (int lane = 0; lane < kLanes; ++lane) total += sum[0][lane];
  return total;
}

// Enough independent sums to hide the latency of one.
constexpr int kLoopSums = kLanes == 16 ? 14 : 8;

template <typename Product>
int64_t multiply_add_steps(const char* data, int64_t steps, float* sink) {
  // Different from each other: equal sums could be computed once for all.
  typename Product::Sum sum[kLoopSums];
#pragma GCC unroll 16
  for (int s = 0; s < kLoopSums; ++s) memcpy(&sum[s], data + s * 4, sizeof(sum[s]));
  for (int64_t i = 0; i < steps; ++i) {
    // Read anew: steps that are all alike could be done as one.
    __asm__ volatile("" ::: "memory");
    const typename Product::Weight w = Product::weight(data);
    const typename Product::Input x = Product::input(data, 1);
#pragma GCC unroll 16
    for (int s = 0; s < kLoopSums; ++s) sum[s] = Product::step(sum[s], w, x);
  }
#pragma GCC unroll 16
  for (int s = 1; s < kLoopSums; ++s) sum[0] += sum[s];
  const typename Product::Sum total = sum[0];
  memcpy(sink, &total, sizeof(float));
  return steps * kLoopSums * kLanes * Product::kGroup;
}

// `data`: a line of operands. Returns the multiply-adds done.
inline int64_t multiply_add_loop(DType dtype, const char* data, int64_t steps, float* sink) {
  switch (dtype) {
    case DType::kBF16:
      return multiply_add_steps<Bf16Product>(data, steps, sink);
    case DType::kInt8:
      return multiply_add_steps<Int8Product>(data, steps, sink);
    default:
      return multiply_add_steps<F32Product>(data, steps, sink);
  }
}

}  // namespace SC_SIMD_NAMESPACE
}  // namespace speccascade
