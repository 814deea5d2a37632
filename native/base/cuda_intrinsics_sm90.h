// What kernels may use of compute capability 9.0 beyond cuda_intrinsics.h: matrix instructions of
// whole warpgroups (four warps in a row, from a multiple of four on).
//
// The instructions are of 9.0a alone, not of what comes after. Kernels that use them begin with
//
//   if constexpr (!kHasWarpgroups) return wait_for_previous();
//
// and are bound to SC_WARPGROUP_THREADS(threads): code without the instructions takes no such
// block, which takes_block (cuda_launch.h) tells before a launch.
//
// clang-format off
//   swizzled(row, piece)         where 16 bytes of a row stand in a tile: rows of 128 bytes one behind
//                                the other from a multiple of 1024 bytes on, pieces changed about
//   shared_tile(at)              a tile of rows as the instructions take it: 32 bytes of each, from
//                                the first row's bytes `at` on
//   tile_step(tile, step)        32 x step bytes on in its rows
//   fence_shared()               what this thread wrote to shared memory is there for the
//                                instructions, once it has met the others
//   warpgroup_fence()            before the first instruction, and where their registers were written
//   warpgroup_multiply(sums, a, tile, adds)
//                                sums[64 outputs, rows] = A [64, 16 k] times the tile's rows, added to
//                                what the sums were or not; warp w holds outputs from 16 w on, as
//                                mma_bf16 does: of 8 rows four sums
//   warpgroup_commit() warpgroup_wait<N>()   closes a group; all but the last N groups have ended
//   hold(registers)              they are in use until here: instructions may read them that long
//   load_here(at)                16 aligned bytes, asked for before the barriers that follow: compilers
//                                put other loads off until they are used
//   prefetch_range(at, bytes)    multiples of 16 bytes come into L2
// clang-format on
#pragma once

#include "base/cuda_intrinsics.h"

namespace speccascade {

constexpr int kWarpgroupThreads = 128;

SC_DEVICE int swizzled(int row, int piece) { return row * 128 + (piece ^ row % 8) * 16; }

}  // namespace speccascade

#if defined(__CUDACC__)
#include "base/cuda_intrinsics_sm90_gpu.h"
#else
#include "emulation/cuda_intrinsics_sm90_emulated.h"
#endif
