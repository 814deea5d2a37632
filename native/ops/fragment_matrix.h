// The form in which CUDA products read a weight matrix [n, k].
//
// f32: the panels of packed_matrix.h.
//
// Other types: fragments of the matrix instructions, so that a warp reads 512 consecutive bytes a
// step and needs neither shared memory nor shuffles. Weights are the 16-row operand: a tile is 16
// outputs (of one of two matrices if gated), a step 32 bytes of k, so 16 consecutive k in bf16 and
// f16, 32 in int8, which products widen to bf16 as they read them. Lane l = 4 g + t of a step holds
// 16 bytes; its word w is
//
//   output g + 8 (w mod 2), bytes 8 t + 4 (w div 2) .. + 3 of the step
//
// The instructions do not care which k their slots mean, as long as both operands agree: with this
// order lane l finds its part of a row of inputs in consecutive bytes: 8 from 8 t of the step on,
// 16 from 16 t on in int8, whose steps have twice the inputs. There the second and third byte of a
// word have changed places, so that pairs to be widened are two bytes apart.
//
//   order    tile, matrix of the pair, step; then for int8 one f32 scale per output of every tile
//   padding  k up to a whole step and outputs up to a whole tile are zero
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"
#include "base/host_device.h"
#include "ops/packed_matrix.h"

namespace speccascade {

constexpr int kTileOutputs = 16;
constexpr int kStepBytes = 32;
constexpr int kFragmentBytes = kTileOutputs * kStepBytes;

// The type that products round their inputs to.
SC_HOST_DEVICE constexpr DType input_dtype(DType weight) {
  return weight == DType::kInt8 ? DType::kBF16 : weight;
}

// Bytes of a row of inputs, a step of the weight long.
SC_HOST_DEVICE constexpr int input_step_bytes(DType weight) {
  return kStepBytes / static_cast<int>(dtype_bytes(weight)) *
         static_cast<int>(dtype_bytes(input_dtype(weight)));
}

SC_HOST_DEVICE constexpr int steps_of(int k, DType dtype) {
  return (k * static_cast<int>(dtype_bytes(dtype)) + kStepBytes - 1) / kStepBytes;
}

SC_HOST_DEVICE constexpr int tiles_of(int n) { return (n + kTileOutputs - 1) / kTileOutputs; }

// Bytes of a row of inputs, whole steps long.
SC_HOST_DEVICE constexpr int64_t input_bytes(int k, DType weight) {
  return static_cast<int64_t>(steps_of(k, weight)) * input_step_bytes(weight);
}

// Bytes of the fragments of one matrix or of a gated pair, scales excluded.
SC_HOST_DEVICE constexpr size_t fragments_bytes(int n, int k, DType dtype, bool gated) {
  return static_cast<size_t>(tiles_of(n)) * (gated ? 2 : 1) *
         static_cast<size_t>(steps_of(k, dtype)) * kFragmentBytes;
}

// Where the fragments of a tile's matrix begin.
SC_HOST_DEVICE constexpr size_t tile_offset(int tile, int which, int k, DType dtype, bool gated) {
  return (static_cast<size_t>(tile) * (gated ? 2 : 1) + static_cast<size_t>(which)) *
         static_cast<size_t>(steps_of(k, dtype)) * kFragmentBytes;
}

// Where the element [n, k_index] of matrix `which` stands.
SC_HOST_DEVICE constexpr size_t element_offset(int n, int k_index, int which, int k, DType dtype,
                                               bool gated) {
  const int byte = k_index * static_cast<int>(dtype_bytes(dtype));
  const int in_step = byte % kStepBytes;
  const int output = n % kTileOutputs;
  const int lane = output % 8 * 4 + in_step / 8;
  const int word = output / 8 + in_step % 8 / 4 * 2;
  const int swapped = byte % 4 == 1 ? 2 : byte % 4 == 2 ? 1 : byte % 4;
  return tile_offset(n / kTileOutputs, which, k, dtype, gated) +
         static_cast<size_t>(byte / kStepBytes) * kFragmentBytes +
         static_cast<size_t>(lane * 16 + word * 4 + (dtype == DType::kInt8 ? swapped : byte % 4));
}

// Of int8: where the scale of output n stands.
SC_HOST_DEVICE constexpr size_t scale_offset(int n, int which, int total_n, int k, bool gated) {
  return fragments_bytes(total_n, k, DType::kInt8, gated) +
         (static_cast<size_t>(n / kTileOutputs * (gated ? 2 : 1) + which) * kTileOutputs +
          static_cast<size_t>(n % kTileOutputs)) *
             sizeof(float);
}

// Bytes of the device form of one matrix, or of two if gated.
size_t device_matrix_bytes(int n, int k, DType dtype, bool gated);

// Packs rows [row_begin, row_begin + rows) of matrix `which` (0; of a gated pair 0 or 1) of n rows
// in all, from row-major f32 [rows, k] into `packed` (host memory, to be copied to the device),
// whose padding is zero already. Rounds to nearest, ties to even.
void pack_device_rows(const float* source, int row_begin, int rows, int n, int k, DType dtype,
                      int which, bool gated, void* packed);

}  // namespace speccascade
