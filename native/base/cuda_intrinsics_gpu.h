// cuda_intrinsics.h on a GPU: built-ins and PTX (compute capability 8.0 and up).
#pragma once

#include <cuda_runtime.h>

#include "base/cuda_intrinsics.h"

#define SC_DEVICE __device__ __forceinline__
// A function of the device that is called, never inlined: code too long to stand in a kernel often.
#define SC_FUNCTION static __device__ __noinline__
// A kernel for blocks of at most so many threads; then, if given, how many blocks shall fit a
// multiprocessor by their registers.
#define SC_KERNEL(...) __global__ void __launch_bounds__(__VA_ARGS__)
// A kernel's parameter that functions are given by reference.
#define SC_IN_PLACE const __grid_constant__
// Before a loop: unrolled in full, or by a count.
#define SC_PRAGMA(text) _Pragma(#text)
#define SC_UNROLL SC_PRAGMA(unroll)
#define SC_UNROLL_BY(count) SC_PRAGMA(unroll count)

namespace speccascade {

// Told that an index is not negative, the compiler divides it by powers of two with one shift.
SC_DEVICE int index_below(unsigned value, int bound) {
  const int index = static_cast<int>(value);
  __builtin_assume(index >= 0 && index < bound);
  return index;
}
SC_DEVICE int thread_index() { return index_below(threadIdx.x, 1024); }
SC_DEVICE int block_index() { return index_below(blockIdx.x, 0x7fffffff); }
SC_DEVICE int block_threads() { return index_below(blockDim.x, 1025); }
SC_DEVICE int grid_blocks() { return index_below(gridDim.x, 0x7fffffff); }

SC_DEVICE void sync_block() { __syncthreads(); }
SC_DEVICE void sync_warp(uint32_t mask) { __syncwarp(mask); }
SC_DEVICE uint32_t ballot(uint32_t mask, bool flag) { return __ballot_sync(mask, flag); }

template <typename T>
SC_DEVICE T shuffle(uint32_t mask, T value, int lane) {
  return __shfl_sync(mask, value, lane);
}
template <typename T>
SC_DEVICE T shuffle_xor(uint32_t mask, T value, int bits) {
  return __shfl_xor_sync(mask, value, bits);
}

SC_DEVICE int lowest_bit(uint32_t bits) { return __ffs(static_cast<int>(bits)) - 1; }
SC_DEVICE int highest_bit(uint32_t bits) { return 31 - __clz(static_cast<int>(bits)); }

template <typename T>
SC_DEVICE T& shared() {
  __shared__ __align__(16) T memory;
  return memory;
}

template <typename T>
SC_DEVICE T& dynamic_shared() {
  extern __shared__ __align__(1024) char dynamic_memory[];
  return *reinterpret_cast<T*>(dynamic_memory);
}

template <typename T>
SC_DEVICE T atomic_add(T* at, T value) {
  return atomicAdd(at, value);
}

// The launch is cooperative: all blocks run at the same time.
SC_DEVICE void sync_grid(GridBarrier* barrier) {
  __syncthreads();
  if (threadIdx.x == 0) {
    volatile uint32_t* generation = &barrier->generation;
    const uint32_t before = *generation;
    __threadfence();
    if (atomicAdd(&barrier->arrived, 1u) == gridDim.x - 1) {
      barrier->arrived = 0;
      __threadfence();
      *generation = before + 1;
    } else {
      while (*generation == before) {
      }
    }
    __threadfence();
  }
  __syncthreads();
}

// Kernels behind this one may start once its blocks are here, while it waits itself: they prefetch
// their weights meanwhile, and wait for its end, which is behind that of the one before it.
SC_DEVICE void wait_for_previous() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// The compiler would rather work it out where it is used.
SC_DEVICE void settle(int64_t& offset) { asm volatile("" : "+l"(offset)); }
// A volatile load stays in front of a branch.
SC_DEVICE int32_t read_now(const int32_t* at) {
  int32_t value;
  asm volatile("ld.volatile.global.s32 %0, [%1];" : "=r"(value) : "l"(at));
  return value;
}

SC_DEVICE void prefetch(const void* at) { asm volatile("prefetch.global.L2 [%0];" ::"l"(at)); }

SC_DEVICE float inverse_root(float x) {
  float y;
  asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
SC_DEVICE float fast_log(float x) { return __logf(x); }
// A use that ptxas believes in, which drops loads whose values nothing reads.
SC_DEVICE void keep(float value) {
  asm volatile(
      "{\n"
      ".reg .pred largest;\n"
      "setp.eq.f32 largest, %0, 0f7F7FFFFF;\n"
      "@largest nanosleep.u32 0;\n"
      "}" ::"f"(value));
}

SC_DEVICE Words4 load_streaming(const void* at) {
  Words4 v;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.word[0]), "=r"(v.word[1]), "=r"(v.word[2]), "=r"(v.word[3])
               : "l"(at));
  return v;
}

template <int kCount>
struct alignas(4 * kCount) AlignedWords {
  uint32_t word[kCount];
};

template <int kCount>
SC_DEVICE void load_words(const void* at, uint32_t (&words)[kCount]) {
  const AlignedWords<kCount> loaded = *static_cast<const AlignedWords<kCount>*>(at);
  SC_UNROLL
  for (int i = 0; i < kCount; ++i) words[i] = loaded.word[i];
}
template <int kCount>
SC_DEVICE void store_words(void* at, const uint32_t (&words)[kCount]) {
  AlignedWords<kCount> stored;
  SC_UNROLL
  for (int i = 0; i < kCount; ++i) stored.word[i] = words[i];
  *static_cast<AlignedWords<kCount>*>(at) = stored;
}

SC_DEVICE uint32_t shared_address(const void* at) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(at));
}

SC_DEVICE void copy_async(void* to, const void* from, int used) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from),
               "r"(used)
               : "memory");
}
SC_DEVICE void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int kLeft>
SC_DEVICE void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory");
}

SC_DEVICE void mma_bf16(float (&sums)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
SC_DEVICE void mma_f16(float (&sums)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

SC_DEVICE void load_matrices(const void* row, uint32_t (&out)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(shared_address(row))
               : "memory");
}

SC_DEVICE void load_transposed(const void* row, uint32_t (&out)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(shared_address(row))
               : "memory");
}

SC_DEVICE uint32_t bf16_pair(float first, float second) {
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
  return pair;
}

// x - 1 y: compute capability 8.0 has no subtraction.
SC_DEVICE uint32_t subtract_bf16(uint32_t x, uint32_t y) {
  constexpr uint32_t kMinusOnes = 0xbf80bf80u;
  uint32_t difference;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(difference) : "r"(y), "r"(kMinusOnes), "r"(x));
  return difference;
}

// Compilers would take two, since an instruction has one constant.
SC_DEVICE uint32_t masked_onto(uint32_t bits, uint32_t mask, uint32_t base) {
  uint32_t result;
  asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(result) : "r"(bits), "r"(mask), "r"(base));
  return result;
}

SC_DEVICE uint32_t pick_bytes(uint32_t x, uint32_t y, uint32_t picks) {
  return __byte_perm(x, y, picks);
}

SC_DEVICE float exp2_flushed(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

}  // namespace speccascade
