// gemm: out[o(r), n] = epilogue( sum_k x[i(r), k] * weight[n, k] ), r < *num_rows
//
//   x       [rows, K]   f32, row stride ldx
//   weight  [N, K]      f32, bf16 or int8, packed (packed_matrix.h)
//   out     [rows, N]   f32 or, where nothing but the product is stored, bf16 (rounded to the
//                       nearest, ties to even), row stride ldo
//   i(r), o(r)          in_rows[r] and out_rows[r], or r where those are null
//
// How a product is summed depends on the weight's type and the instruction set:
//
//   f32   k ascending, in f32. One fused multiply-add a term, where the processor
//         has them and the kernels are compiled for them (the scalar kernels of
//         x86 are not: there a term is rounded twice).
//   bf16  With AVX-512 BF16: x is rounded to bf16, and terms are added in pairs of
//         consecutive k, ascending, by the processor's dot product, in f32. In two
//         parts: x is taken as the bf16 nearest to it plus that of the rest; each
//         part is summed for itself. Elsewhere as f32, the weights widened.
//   int8  Every kScaleGroup consecutive k of a row of x become integers of 8 bits
//         with a scale of their own, max |x| / 127, rounded to the nearest. Their
//         sums of products are exact in int32 on every instruction set; out = scale
//         of the column * sum over groups, ascending, in f32, of the group's scale
//         times its sum. A row that holds a value that is not finite gives NaN.
//
// One output is one accumulator, walked over K in one order. Neither the number of
// rows, nor how rows and columns are tiled, nor threads change the instructions
// that make it: a row has the same bits in any batch.
//
// Epilogues: store; add (out += product, the residual stream); activate; gate:
// the weight holds two matrices of N rows each, out = act(x W0') * (x W1').
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/host_device.h"
#include "ops/activation.h"
#include "ops/packed_matrix.h"

namespace speccascade {

// Inputs that share a scale in products with int8 weights.
constexpr int kScaleGroup = 32;

enum class Epilogue : uint8_t { kStore, kAdd, kActivate, kGate };

// The largest of some entries of a row, and where it stands: the first of equals. +infinity where
// one of them is that or not a number.
struct RowPeak {
  float value;
  int32_t index;
};

// What a product leaves of so many outputs of a row: enough for the row's largest entry and for the
// sum of its softmax, without reading the row.
constexpr int kPeakOutputs = 16;
struct LeftPeak {
  RowPeak peak;
  float powers;  // the sum of e^(x - peak); 0 where all are -infinity, anything beside +infinity
};

SC_HOST_DEVICE constexpr int peaks_of(int n) { return (n + kPeakOutputs - 1) / kPeakOutputs; }

struct GemmArgs {
  const float* x;
  int ldx;
  Matrix weight;
  void* out;
  int ldo;
  Epilogue epilogue;
  Activation activation;
  const int32_t* num_rows;  // actual rows
  int max_rows;             // their bound
  const int32_t* in_rows;
  const int32_t* out_rows;
  void* scratch;  // gemm_scratch_bytes(max_rows, K, parts, dtype) bytes, 64-byte aligned
  LeftPeak* peaks = nullptr;  // [max_rows, peaks_of(N)] or null; on devices alone, not of pairs
  // On devices: all of K is summed as one chain, for any number of rows (the encoder's products).
  // Without peaks.
  bool one_chain = false;
  DType out_dtype = DType::kF32;
};

// Whether the products of the active instruction set round x to bf16 when the
// weights are bf16.
bool gemm_rounds_inputs();

// Bytes that a product needs for x in the type that it multiplies in.
size_t gemm_scratch_bytes(int max_rows, int k, int parts, DType dtype);

void gemm_cpu(const GemmArgs& args, int threads);

}  // namespace speccascade
