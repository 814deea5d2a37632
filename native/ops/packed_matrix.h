// The form in which the products read a weight matrix [n, k].
//
// Panels of 32 column slots, each panel a run of 128-byte lines. A line holds one
// group of consecutive k for every slot: 1 in f32, 2 in bf16, 4 in int8, the slots
// side by side and a group's members together, as the dot-product instructions
// take them. So a panel is one ascending stream of memory whatever the type.
//
//   slots    one matrix: columns 32 p .. 32 p + 31 of panel p. Two matrices of a
//            gated product: 16 columns of each, so that both halves of a product
//            are in registers together.
//   padding  k up to a whole group and columns up to a whole panel: any value.
//   int8     weight = scale * (byte - 128), scale = max |column| / 127. After its
//            lines, a panel holds the f32 scale of each slot.
//
// The columns of a panel are rows of the matrix as checkpoints store it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"

namespace speccascade {

// Kernels of every instruction set call the functions here; forced inline, none is
// ever linked into the kernels of another.
#define SC_LAYOUT [[gnu::always_inline]] constexpr

constexpr int kPanel = 32;
constexpr size_t kLineBytes = 128;

struct Matrix {
  const void* data = nullptr;
  DType dtype = DType::kF32;
  int n = 0;  // output columns; of one of the two matrices if gated
  int k = 0;
  bool gated = false;
  int parts = 1;  // bf16: in how many parts products take their inputs (gemm.h)
};

// Consecutive k in one line of a panel.
SC_LAYOUT int group_of(DType dtype) {
  return dtype == DType::kInt8 ? 4 : dtype == DType::kBF16 ? 2 : 1;
}

SC_LAYOUT int groups_of(int k, DType dtype) { return (k + group_of(dtype) - 1) / group_of(dtype); }

// Columns of each matrix in one panel.
SC_LAYOUT int panel_columns(bool gated) { return gated ? kPanel / 2 : kPanel; }

SC_LAYOUT int panels_of(int n, bool gated) {
  return (n + panel_columns(gated) - 1) / panel_columns(gated);
}

// Bytes of the lines of one panel, and of all of it.
SC_LAYOUT size_t line_bytes(int k, DType dtype) {
  return static_cast<size_t>(groups_of(k, dtype)) * kLineBytes;
}
SC_LAYOUT size_t panel_bytes(int k, DType dtype) {
  return line_bytes(k, dtype) + (dtype == DType::kInt8 ? kLineBytes : 0);
}

// Bytes of the packed form of one matrix, or of two if gated.
SC_LAYOUT size_t packed_bytes(int n, int k, DType dtype, bool gated) {
  return static_cast<size_t>(panels_of(n, gated)) * panel_bytes(k, dtype);
}

// Packs rows [row_begin, row_begin + rows) of matrix `which` (0; of a gated pair 0
// or 1) from row-major f32 [rows, k] into `packed`, whose padding is zero already.
// Rounds to nearest, ties to even.
void pack_rows(const float* source, int row_begin, int rows, int k, DType dtype, int which,
               bool gated, void* packed);

// The same from elements of `dtype` (f32 or bf16), at no particular alignment.
void pack_stored_rows(const void* source, int row_begin, int rows, int k, DType dtype, int which,
                      bool gated, void* packed);

// How a row becomes integers of 8 bits, -127 to 127: each entry times `inverse`, rounded to the
// nearest, ties to even; times `scale` it is what it was, nearly. A row with an entry that is not
// finite has zeros and a scale of NaN.
struct ByteScale {
  float inverse, scale;
  int integer(float entry) const;
};
ByteScale byte_scale(const float* row, int k);

// out[i] = weight[row, i], i < k, of an ungated matrix.
void unpack_row(const Matrix& matrix, int row, float* out);

#undef SC_LAYOUT

}  // namespace speccascade
