// cuda_intrinsics_sm90.h on a GPU: PTX of compute capability 9.0a.
#pragma once

#include "base/cuda_intrinsics_sm90.h"

#if defined(__CUDA_ARCH__) && !defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define SC_WARPGROUP_THREADS(threads) 32
#else
#define SC_WARPGROUP_THREADS(threads) threads
#endif

namespace speccascade {

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

constexpr bool kHasWarpgroups = true;

// A descriptor of a matrix in shared memory (PTX ISA, wgmma, matrix descriptor): bits 0 .. 13 the
// address / 16, 32 .. 45 the bytes between groups of eight rows / 16, 62 .. 63 the swizzle: 1 is
// that of 128 bytes.
using SharedTile = uint64_t;

SC_DEVICE SharedTile shared_tile(const void* at) {
  constexpr uint64_t kGroupBytes = 1024;
  return uint64_t{1} << 62 | (kGroupBytes / 16) << 32 | uint64_t{1} << 16 |
         (shared_address(at) & 0x3ffffu) / 16;
}
SC_DEVICE SharedTile tile_step(SharedTile tile, int step) {
  return tile + static_cast<uint64_t>(2 * step);
}

SC_DEVICE void fence_shared() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
SC_DEVICE void warpgroup_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
SC_DEVICE void warpgroup_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int kLeft>
SC_DEVICE void warpgroup_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kLeft) : "memory");
}

template <int kCount>
SC_DEVICE void hold(float (&sums)[kCount]) {
  SC_UNROLL
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+f"(sums[i])::"memory");
}
template <int kCount>
SC_DEVICE void hold(uint32_t (&words)[kCount]) {
  SC_UNROLL
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+r"(words[i])::"memory");
}

// What other threads may have written is not moved across barriers.
SC_DEVICE Words4 load_here(const void* at) {
  Words4 v;
  asm volatile("ld.global.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.word[0]), "=r"(v.word[1]), "=r"(v.word[2]), "=r"(v.word[3])
               : "l"(at)
               : "memory");
  return v;
}
SC_DEVICE void prefetch_range(const void* at, int bytes) {
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(at), "r"(bytes) : "memory");
}

// "+f" of so many sums from the i-th on.
#define SC_SUMS_4(i) "+f"(sums[i]), "+f"(sums[i + 1]), "+f"(sums[i + 2]), "+f"(sums[i + 3])
#define SC_SUMS_16(i) SC_SUMS_4(i), SC_SUMS_4(i + 4), SC_SUMS_4(i + 8), SC_SUMS_4(i + 12)
#define SC_SUMS_32(i) SC_SUMS_16(i), SC_SUMS_16(i + 16)
#define SC_SUMS_64(i) SC_SUMS_32(i), SC_SUMS_32(i + 32)

SC_DEVICE void warpgroup_multiply(float (&sums)[16], const uint32_t (&a)[4], SharedTile tile,
                                  bool adds) {
  asm volatile(
      "{.reg .pred adds;\n"
      "setp.ne.b32 adds, %21, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n32k16.f32.bf16.bf16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15}, "
      "{%16, %17, %18, %19}, %20, adds, 1, 1, 0;}\n"
      : SC_SUMS_16(0)
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(tile), "r"(static_cast<int>(adds)));
}

SC_DEVICE void warpgroup_multiply(float (&sums)[32], const uint32_t (&a)[4], SharedTile tile,
                                  bool adds) {
  asm volatile(
      "{.reg .pred adds;\n"
      "setp.ne.b32 adds, %37, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
      "{%32, %33, %34, %35}, %36, adds, 1, 1, 0;}\n"
      : SC_SUMS_32(0)
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(tile), "r"(static_cast<int>(adds)));
}

SC_DEVICE void warpgroup_multiply(float (&sums)[64], const uint32_t (&a)[4], SharedTile tile,
                                  bool adds) {
  asm volatile(
      "{.reg .pred adds;\n"
      "setp.ne.b32 adds, %69, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
      "{%64, %65, %66, %67}, %68, adds, 1, 1, 0;}\n"
      : SC_SUMS_64(0)
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(tile), "r"(static_cast<int>(adds)));
}

SC_DEVICE void warpgroup_multiply(float (&sums)[128], const uint32_t (&a)[4], SharedTile tile,
                                  bool adds) {
  asm volatile(
      "{.reg .pred adds;\n"
      "setp.ne.b32 adds, %133, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "
      "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "
      "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "
      "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, "
      "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, "
      "%127}, "
      "{%128, %129, %130, %131}, %132, adds, 1, 1, 0;}\n"
      : SC_SUMS_64(0), SC_SUMS_64(64)
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(tile), "r"(static_cast<int>(adds)));
}

#undef SC_SUMS_4
#undef SC_SUMS_16
#undef SC_SUMS_32
#undef SC_SUMS_64

#else

constexpr bool kHasWarpgroups = false;

// Named, never reached.
using SharedTile = uint64_t;
SC_DEVICE SharedTile shared_tile(const void*) { return 0; }
SC_DEVICE SharedTile tile_step(SharedTile tile, int) { return tile; }
SC_DEVICE void fence_shared() {}
SC_DEVICE void warpgroup_fence() {}
SC_DEVICE void warpgroup_commit() {}
template <int kLeft>
SC_DEVICE void warpgroup_wait() {}
template <typename Register, int kCount>
SC_DEVICE void hold(const Register (&)[kCount]) {}
SC_DEVICE Words4 load_here(const void*) { return {}; }
SC_DEVICE void prefetch_range(const void*, int) {}
template <int kCount>
SC_DEVICE void warpgroup_multiply(float (&)[kCount], const uint32_t (&)[4], SharedTile, bool) {}

#endif

}  // namespace speccascade
