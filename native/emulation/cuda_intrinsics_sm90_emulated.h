// cuda_intrinsics_sm90.h over the emulation. Instructions are done when they are called, so kernels
// may take longer to wait than they do here, and not less.
#pragma once

#include "base/cuda_intrinsics_sm90.h"

#define SC_WARPGROUP_THREADS(threads) threads

namespace speccascade {

constexpr bool kHasWarpgroups = true;

using SharedTile = const char*;

SC_DEVICE SharedTile shared_tile(const void* at) { return static_cast<const char*>(at); }
SC_DEVICE SharedTile tile_step(SharedTile tile, int step) { return tile + 32 * step; }

SC_DEVICE void fence_shared() {}
SC_DEVICE void warpgroup_fence() {}
SC_DEVICE void warpgroup_commit() {}
template <int kLeft>
SC_DEVICE void warpgroup_wait() {}
template <typename Register, int kCount>
SC_DEVICE void hold(const Register (&)[kCount]) {}

template <int kCount>
SC_DEVICE void warpgroup_multiply(float (&sums)[kCount], const uint32_t (&a)[4], SharedTile tile,
                                  bool adds) {
  for (int i = 0; i < kCount && !adds; ++i) sums[i] = 0.0f;
  emulation::warpgroup_mma({sums, a, tile, 2 * kCount});
}

SC_DEVICE Words4 load_here(const void* at) { return load_streaming(at); }

// Reads, so that an address that is not there shows.
SC_DEVICE void prefetch_range(const void* at, int bytes) {
  if (reinterpret_cast<uintptr_t>(at) % 16 != 0 || bytes % 16 != 0 || bytes <= 0) {
    emulation::stop("unaligned range of bytes", bytes);
  }
  prefetch(at);
  prefetch(static_cast<const char*>(at) + bytes - 1);
}

}  // namespace speccascade
