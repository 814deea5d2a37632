// cuda_intrinsics.h over the emulation.
#pragma once

#include <cmath>
#include <cstring>
#include <type_traits>

#include "base/cuda_intrinsics.h"
#include "base/dtype.h"
#include "emulation/cuda_emulation.h"

#define SC_DEVICE inline
#define SC_FUNCTION inline
#define SC_KERNEL(...) static ::speccascade::emulation::KernelOf<__VA_ARGS__>
#define SC_IN_PLACE const
#define SC_UNROLL
#define SC_UNROLL_BY(count)

// Of KernelOf's: they are what it is about.
#if defined(__clang__)
#pragma clang diagnostic ignored "-Wdeprecated-volatile"
#else
#pragma GCC diagnostic ignored "-Wvolatile"
#endif
#pragma GCC diagnostic ignored "-Wignored-qualifiers"

namespace speccascade {

namespace emulation {

// A kernel's launch bound as a part of its type, where launch() finds it: a macro in front of a
// function can say nothing else. What the qualifiers of void stand for:
constexpr int kBounds[] = {64, 128, 256, 512};

template <int kThreads, int kBlocks = 1>
struct KernelType {
  static_assert(kThreads > 0 && kThreads <= kBounds[3] && kBlocks > 0, "no bound stands for it");
  using Upper = std::conditional_t<kThreads <= kBounds[2], volatile void, const volatile void>;
  using Lower = std::conditional_t<kThreads <= kBounds[0], void, const void>;
  using Type = std::conditional_t<kThreads <= kBounds[1], Lower, Upper>;
};
template <int... kArguments>
using KernelOf = typename KernelType<kArguments...>::Type;

// Rounded up to a bound that there is.
template <typename Result>
constexpr int bound_of_kernel() {
  return kBounds[(std::is_volatile_v<Result> ? 2 : 0) + (std::is_const_v<Result> ? 1 : 0)];
}

}  // namespace emulation

SC_DEVICE int thread_index() { return emulation::place().thread; }
SC_DEVICE int block_index() { return emulation::place().block; }
SC_DEVICE int block_threads() { return emulation::place().threads; }
SC_DEVICE int grid_blocks() { return emulation::place().blocks; }

SC_DEVICE void sync_block() { emulation::sync_block(); }
SC_DEVICE void sync_grid(GridBarrier*) { emulation::sync_grid(); }

SC_DEVICE void sync_warp(uint32_t mask) {
  emulation::meet(
      mask, [](void* const*, uint32_t) {}, nullptr);
}

SC_DEVICE uint32_t ballot(uint32_t mask, bool flag) {
  struct Vote {
    bool flag;
    uint32_t flags;
  } own = {flag, 0};
  const auto count = [](void* const* votes, uint32_t lanes) {
    uint32_t flags = 0;
    for (int lane = 0; lane < kWarpLanes; ++lane) {
      const bool here = (lanes >> lane & 1u) != 0;
      if (here && static_cast<Vote*>(votes[lane])->flag) flags |= 1u << lane;
    }
    for (int lane = 0; lane < kWarpLanes; ++lane) {
      if ((lanes >> lane & 1u) != 0) static_cast<Vote*>(votes[lane])->flags = flags;
    }
  };
  emulation::meet(mask, count, &own);
  return own.flags;
}

template <typename T>
struct EmulatedShuffle {
  T value, received;
  int from;
};

template <typename T>
inline void exchange(void* const* offers, uint32_t lanes) {
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    if ((lanes >> lane & 1u) == 0) continue;
    auto* own = static_cast<EmulatedShuffle<T>*>(offers[lane]);
    const void* from = offers[own->from % kWarpLanes];
    // A lane that does not take part has nothing to give: poison, as its register may hold
    // anything.
    if (from == nullptr) {
      std::memset(&own->received, 0xff, sizeof(T));
    } else {
      own->received = static_cast<const EmulatedShuffle<T>*>(from)->value;
    }
  }
}

template <typename T>
SC_DEVICE T shuffle(uint32_t mask, T value, int lane) {
  EmulatedShuffle<T> own = {value, value, lane};
  emulation::meet(mask, exchange<T>, &own);
  return own.received;
}
template <typename T>
SC_DEVICE T shuffle_xor(uint32_t mask, T value, int bits) {
  return shuffle(mask, value, (emulation::place().thread % kWarpLanes) ^ bits);
}

SC_DEVICE int lowest_bit(uint32_t bits) { return __builtin_ctz(bits); }
SC_DEVICE int highest_bit(uint32_t bits) { return 31 - __builtin_clz(bits); }

template <typename T>
SC_DEVICE T& shared() {
  static_assert(std::is_trivially_default_constructible_v<T>, "shared memory is not initialised");
  static const char tag = 0;
  return *static_cast<T*>(
      emulation::shared_memory(&tag, sizeof(T), alignof(T) < 16 ? 16 : alignof(T)));
}

template <typename T>
SC_DEVICE T& dynamic_shared() {
  static_assert(std::is_trivially_default_constructible_v<T>, "shared memory is not initialised");
  return *static_cast<T*>(emulation::dynamic_memory(sizeof(T)));
}

template <typename T>
SC_DEVICE T atomic_add(T* at, T value) {
  static_assert(std::is_integral_v<T>, "sums of floats would depend on the order");
  const T before = *at;
  *at = before + value;
  return before;
}

SC_DEVICE void wait_for_previous() { emulation::wait_for_previous(); }

// Reads, so that an address that is not there shows.
SC_DEVICE void prefetch(const void* at) {
  [[maybe_unused]] const char byte = *static_cast<const volatile char*>(at);
}

SC_DEVICE void settle(int64_t&) {}
SC_DEVICE int32_t read_now(const int32_t* at) { return *at; }
SC_DEVICE float inverse_root(float x) { return 1.0f / std::sqrt(x); }
SC_DEVICE float fast_log(float x) { return std::log(x); }
SC_DEVICE void keep(float) {}

SC_DEVICE Words4 load_streaming(const void* at) {
  if (reinterpret_cast<uintptr_t>(at) % 16 != 0) emulation::stop("unaligned load of bytes", 16);
  Words4 v;
  std::memcpy(&v, at, sizeof(v));
  return v;
}

template <int kCount>
SC_DEVICE void check_aligned(const void* at) {
  constexpr int kBytes = 4 * kCount;
  if (reinterpret_cast<uintptr_t>(at) % kBytes != 0) emulation::stop("unaligned words", kBytes);
}
template <int kCount>
SC_DEVICE void load_words(const void* at, uint32_t (&words)[kCount]) {
  check_aligned<kCount>(at);
  std::memcpy(words, at, sizeof(words));
}
template <int kCount>
SC_DEVICE void store_words(void* at, const uint32_t (&words)[kCount]) {
  check_aligned<kCount>(at);
  std::memcpy(at, words, sizeof(words));
}

SC_DEVICE void copy_async(void* to, const void* from, int used) {
  emulation::copy_async(to, from, 16, used);
}
SC_DEVICE void commit_copies() { emulation::commit_copies(); }
template <int kLeft>
SC_DEVICE void wait_copies() {
  emulation::wait_copies(kLeft);
}

SC_DEVICE void mma_bf16(float (&sums)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  emulation::mma(emulation::Element::kBF16, {sums, a, b});
}
SC_DEVICE void mma_f16(float (&sums)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  emulation::mma(emulation::Element::kF16, {sums, a, b});
}
SC_DEVICE void load_matrices(const void* row, uint32_t (&out)[4]) {
  emulation::load_matrices(row, out, false);
}
SC_DEVICE void load_transposed(const void* row, uint32_t (&out)[4]) {
  emulation::load_matrices(row, out, true);
}

SC_DEVICE uint32_t bf16_pair(float first, float second) {
  return float_to_bf16(first) | static_cast<uint32_t>(float_to_bf16(second)) << 16;
}

SC_DEVICE uint32_t subtract_bf16(uint32_t x, uint32_t y) {
  const auto lower = [](uint32_t pair) { return bf16_to_float(static_cast<uint16_t>(pair)); };
  return bf16_pair(lower(x) - lower(y), lower(x >> 16) - lower(y >> 16));
}

SC_DEVICE uint32_t masked_onto(uint32_t bits, uint32_t mask, uint32_t base) {
  return (bits & mask) | base;
}

SC_DEVICE uint32_t pick_bytes(uint32_t x, uint32_t y, uint32_t picks) {
  const uint64_t both = static_cast<uint64_t>(y) << 32 | x;
  uint32_t picked = 0;
  for (int i = 0; i < 4; ++i) {
    const uint32_t from = picks >> (4 * i) & 7u;
    picked |= static_cast<uint32_t>(both >> (8 * from) & 0xffu) << (8 * i);
  }
  return picked;
}

SC_DEVICE float exp2_flushed(float x) { return x < -126.0f ? 0.0f : exp2f(x); }

}  // namespace speccascade
