// gemm: out[o(r), n] = epilogue( sum_k x[i(r), k] * weight[n, k] ), r < *num_rows
//
//   x       [rows, K]   f32, row stride ldx
//   weight  [N, K]      f32 or bf16, packed (below)
//   out     [rows, N]   f32, row stride ldo
//   i(r), o(r)          in_rows[r] and out_rows[r], or r where those are null
//
// Every product is accumulated in f32, k ascending, by one fused multiply-add a
// term. The order does not depend on the number of rows, on how rows and columns
// are tiled, or on threads: a row has the same bits in any batch.
//
// Epilogues: store; add (out += product, the residual stream); activate; gate:
// the weight holds two matrices of N rows each, out = act(x W0') * (x W1').
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"
#include "ops/activation.h"

namespace speccascade {

// Output columns that stand side by side in the packed form.
constexpr int kPanel = 16;

enum class Epilogue : uint8_t { kStore, kAdd, kActivate, kGate };

// A packed weight: panels of 16 output columns, each [K][16], the last one
// zero-filled. For kGate the panels of the two matrices alternate, so that both
// halves of a product are in registers together.
struct Matrix {
  const void* data = nullptr;
  DType dtype = DType::kF32;
  int n = 0;  // output columns; of one of the two matrices if gated
  int k = 0;
  bool gated = false;
};

struct GemmArgs {
  const float* x;
  int ldx;
  Matrix weight;
  float* out;
  int ldo;
  Epilogue epilogue;
  Activation activation;
  const int32_t* num_rows;  // actual rows
  int max_rows;             // their bound
  const int32_t* in_rows;
  const int32_t* out_rows;
};

constexpr int panels_of(int columns) { return (columns + kPanel - 1) / kPanel; }

// Bytes of the packed form of `matrices` (1, or 2 if gated) [n, k] matrices.
constexpr size_t packed_bytes(int n, int k, DType dtype, int matrices) {
  return static_cast<size_t>(panels_of(n)) * kPanel * static_cast<size_t>(k) * dtype_bytes(dtype) *
         static_cast<size_t>(matrices);
}

// Packs rows [row_begin, row_begin + rows) of matrix `which` of `matrices` from
// row-major f32 [rows, k] into `packed`. Rounds to nearest for bf16.
void pack_rows(const float* source, int row_begin, int rows, int k, DType dtype, int which,
               int matrices, void* packed);

void gemm_cpu(const GemmArgs& args, int threads);

}  // namespace speccascade
