// What kernels may use of a GPU: thin wrappers around indices, barriers, shared memory, warp and
// matrix instructions, asynchronous copies. Kernels contain no PTX and no CUDA built-ins of their
// own, so that the same sources compile for the GPU and as plain C++ for the emulation
// (SPECCASCADE_CUDA_EMULATION, native/emulation), where every kernel is tested without a GPU.
//
// clang-format off
//   thread_index() block_index() block_threads() grid_blocks() lane_index() warp_index()
//   sync_block()                 every thread of the block
//   sync_grid(barrier)           every thread of the grid (launched with barriers)
//   sync_warp(mask)  ballot(mask, flag)  shuffle(mask, value, lane)  shuffle_xor(mask, value, bits)
//                                every lane of the mask; the mask is always written out
//   wait_for_previous()          the kernel before has ended and its writes are there; of kernels
//                                launched to wait, by every thread, before it reads what others
//                                write
//   settle(offset)               it is worked out here, before a wait
//   read_now(at)                 an integer that is asked for here, not behind the next condition
//   prefetch(at)                 the 32 bytes around come closer; what never changes, before that
//                                wait
//   fast_log(x)                  to 2^-21, of it or where it is below 1 absolutely
//   inverse_root(x)              1 / sqrt(x), to 2^-22 of it; of x below 2^-126 infinity
//   keep(value)                  it is computed, though nothing uses it
//   shared<T>()                  the block's one T in shared memory, not initialised; T is plain
//   dynamic_shared<T>()          the same, the first of as many as the launch asks for bytes of, at a
//                                multiple of 1024
//   lowest_bit(bits)  highest_bit(bits)   index of the set bit, of which there is one
//   atomic_add(at, value)        integers alone: sums of floats would depend on the order
//   load_streaming(at)           16 aligned bytes that are read once, and that no kernel writes
//                                while this one runs: it may read before wait_for_previous()
//   load_words(at, words)  store_words(at, words)   1, 2 or 4 words, aligned to as many, by one
//                                access; memcpy from bytes would be one for each of them
//   copy_async(to, from, used)   16 aligned bytes into shared memory, of which the first `used`
//                                come from `from` and the rest are zero
//   commit_copies() wait_copies<N>()   closes a group; all but the last N groups have landed
//   mma_bf16 mma_f16 (m16n8k16)  sums += A B, over a whole warp
//   load_matrices(row, out)      ldmatrix.x4: lane l gives row l % 8 of matrix l / 8
//   load_transposed(row, out)    the same, each matrix transposed
//   bf16_pair(first, second)     rounded, the first in the lower half
//   subtract_bf16(x, y)          of pairs, rounded
//   masked_onto(bits, mask, base)   bits & mask | base, by one instruction
//   pick_bytes(x, y, picks)      byte i is the one that the digit i of 4 bits names, of y's above x's
//   exp2_flushed(x)              2^x to 2^-22 of it; below 2^-126 zero
// clang-format on
//
// Included by .cu and .cuh files alone.
#pragma once

#include <cstdint>

#include "base/grid_barrier.h"
#include "base/host_device.h"

namespace speccascade {

constexpr int kWarpLanes = 32;
constexpr uint32_t kAllLanes = 0xffffffffu;

// Read and written at once.
struct alignas(16) Words4 {
  uint32_t word[4];
};
struct alignas(16) Values4 {
  float value[4];
};

}  // namespace speccascade

#if defined(__CUDACC__)
#include "base/cuda_intrinsics_gpu.h"
#elif defined(SPECCASCADE_CUDA_EMULATION)
#include "emulation/cuda_intrinsics_emulated.h"
#else
#error "kernels are compiled by nvcc or for the emulation"
#endif

namespace speccascade {

SC_DEVICE int lane_index() { return thread_index() % kWarpLanes; }
SC_DEVICE int warp_index() { return thread_index() / kWarpLanes; }

// The same bits in every lane, and the same for any lanes' order.
SC_DEVICE float warp_sum(float value) {
  for (int bits = kWarpLanes / 2; bits > 0; bits /= 2) value += shuffle_xor(kAllLanes, value, bits);
  return value;
}

SC_DEVICE float warp_max(float value) {
  for (int bits = kWarpLanes / 2; bits > 0; bits /= 2) {
    const float other = shuffle_xor(kAllLanes, value, bits);
    value = other > value ? other : value;
  }
  return value;
}

}  // namespace speccascade
