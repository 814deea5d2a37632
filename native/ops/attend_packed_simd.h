// Attention of many queries over the same keys, as two products: keys and values are
// packed into panels like weights (packed_matrix.h), and the tiles of gemm do the rest.
// Included by kernels_simd.cpp.
#pragma once

#include "ops/cpu_kernels.h"
#include "ops/gemm_simd.h"
#include "ops/rows_simd.h"
#include "ops/simd.h"

namespace speccascade {
namespace SC_SIMD_NAMESPACE {

// keys: [panels of 32 keys][head_dim][32], zero behind the last key; values:
// [panels of 32 entries][num_keys][32], zero behind the last entry.
inline void pack_head(const PackHead& a) {
  for (int begin = 0; begin < a.num_keys; begin += kPanel) {
    const int count = a.num_keys - begin < kPanel ? a.num_keys - begin : kPanel;
    float* panel = a.packed_keys + static_cast<int64_t>(begin) * a.head_dim;
    if (count < kPanel) memset(panel, 0, sizeof(float) * static_cast<size_t>(a.head_dim * kPanel));
    for (int j = 0; j < count; ++j) {
      const float* key = a.keys + (begin + j) * a.row_stride;
      for (int d = 0; d < a.head_dim; ++d) panel[d * kPanel + j] = key[d];
    }
  }
  for (int begin = 0; begin < a.head_dim; begin += kPanel) {
    const int count = a.head_dim - begin < kPanel ? a.head_dim - begin : kPanel;
    float* panel = a.packed_values + static_cast<int64_t>(begin) * a.num_keys;
    for (int j = 0; j < a.num_keys; ++j, panel += kPanel) {
      if (count < kPanel) memset(panel, 0, sizeof(float) * kPanel);
      memcpy(panel, a.values + j * a.row_stride + begin,
             sizeof(float) * static_cast<size_t>(count));
    }
  }
}

// tile[r][32] = rows of `k` floats times one panel
template <int R>
SC_INLINE void multiply_panel(const TileInputs& x, const float* panel, int k, float* tile) {
  const char* lines = reinterpret_cast<const char*>(panel);
  const size_t bytes = static_cast<size_t>(k) * kLineBytes;
  for (int vec = 0; vec < kLineVecs; vec += kTileVecs) {
    multiply_tile<F32Product, R, 1>(x, lines, bytes, k, vec, tile);
  }
}

template <int R>
void attend_block(const AttendPacked& a, int first) {
  const int64_t padded = (a.num_keys + kPanel - 1) / kPanel * kPanel;
  alignas(64) float tile[R * kPanel];
  TileInputs x;
  for (int r = 0; r < R; ++r) {
    x.rows[r] = reinterpret_cast<const char*>(a.query + (first + r) * a.query_stride);
  }
  for (int begin = 0; begin < a.num_keys; begin += kPanel) {
    multiply_panel<R>(x, a.keys + static_cast<int64_t>(begin) * a.head_dim, a.head_dim, tile);
    for (int r = 0; r < R; ++r) {
      memcpy(a.scores + r * padded + begin, tile + r * kPanel, sizeof(float) * kPanel);
    }
  }
  float factor[R];
  for (int r = 0; r < R; ++r) {
    float* scores = a.scores + r * padded;
    factor[r] = 1.0f / weights_of(scores, a.bias - (first + r), a.num_keys);
    x.rows[r] = reinterpret_cast<const char*>(scores);
  }
  for (int begin = 0; begin < a.head_dim; begin += kPanel) {
    multiply_panel<R>(x, a.values + static_cast<int64_t>(begin) * a.num_keys, a.num_keys, tile);
    const int count = a.head_dim - begin < kPanel ? a.head_dim - begin : kPanel;
    for (int r = 0; r < R; ++r) {
      float* out = a.out + (first + r) * a.out_stride + begin;
      for (int d = 0; d < count; ++d) out[d] = tile[r * kPanel + d] * factor[r];
    }
  }
}

// Chooses the instantiation for `rows` (1 .. R).
template <int R = kTileRows<F32Product>>
void attend_rows(const AttendPacked& a, int first, int rows) {
  if constexpr (R > 1) {
    if (rows < R) return attend_rows<R - 1>(a, first, rows);
  }
  attend_block<R>(a, first);
}

inline void attend_packed(const AttendPacked& a) {
  constexpr int kMost = kTileRows<F32Product>;
  static_assert(kMost <= kPackedQueries);
  const int64_t queries = a.num_queries, blocks = (queries + kMost - 1) / kMost;
  for (int64_t block = 0; block < blocks; ++block) {
    const int64_t first = queries * block / blocks, next = queries * (block + 1) / blocks;
    attend_rows(a, static_cast<int>(first), static_cast<int>(next - first));
  }
}

}  // namespace SC_SIMD_NAMESPACE
}  // namespace speccascade
