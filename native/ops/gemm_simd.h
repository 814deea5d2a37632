// The micro-kernel of gemm: a few rows times a few panels, accumulators in
// registers, K walked once. Included by kernels_simd.cpp.
#pragma once

#include "ops/cpu_kernels.h"
#include "ops/simd.h"

namespace speccascade {
namespace SC_SIMD_NAMESPACE {

constexpr int kRegsPerPanel = kPanel / kLanes;
// Vector registers spent on accumulators; the rest hold weights and inputs.
constexpr int kAccumulators = kLanes == 16 ? 24 : 12;
// Taller tiles spill: every row of a step keeps its broadcast input in a register.
constexpr int kMaxTileRows = 10;

constexpr int rows_for(int panels) {
  const int rows = kAccumulators / (panels * kRegsPerPanel);
  return rows < 1 ? 1 : rows > kMaxTileRows ? kMaxTileRows : rows;
}

SC_INLINE Vec load_weight(const float* p) { return load(p); }
SC_INLINE Vec load_weight(const uint16_t* p) { return load_bf16(p); }

// tile[r][p * 16 + c] = sum_k x[r][k] * panel_p[k][c]
template <typename W, int P, int R>
void multiply_tile(const float* const* x, const W* panels, int k_size, float* tile) {
  Vec sum[R][P][kRegsPerPanel] = {};
  const int64_t panel_stride = static_cast<int64_t>(k_size) * kPanel;
  for (int k = 0; k < k_size; ++k) {
    const W* weights = panels + static_cast<int64_t>(k) * kPanel;
    for (int p = 0; p < P; ++p) {
      for (int j = 0; j < kRegsPerPanel; ++j) {
        const Vec w = load_weight(weights + p * panel_stride + j * kLanes);
        for (int r = 0; r < R; ++r) sum[r][p][j] += splat(x[r][k]) * w;
      }
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int p = 0; p < P; ++p) {
      for (int j = 0; j < kRegsPerPanel; ++j) {
        store(tile + (r * P + p) * kPanel + j * kLanes, sum[r][p][j]);
      }
    }
  }
}

// Chooses the instantiation for `rows` (1 .. rows_for(P)).
template <typename W, int P, int R = rows_for(P)>
void multiply_rows(int rows, const float* const* x, const W* panels, int k_size, float* tile) {
  if constexpr (R > 1) {
    if (rows < R) return multiply_rows<W, P, R - 1>(rows, x, panels, k_size, tile);
  }
  multiply_tile<W, P, R>(x, panels, k_size, tile);
}

SC_INLINE Vec tanh(Vec z) { return 1.0f - 2.0f / (exp(z * 2.0f) + 1.0f); }

SC_INLINE Vec activate(Activation activation, Vec x) {
  switch (activation) {
    case Activation::kNone:
      return x;
    case Activation::kRelu:
      return x < 0.0f ? Vec{} : x;  // NaN stays NaN
    case Activation::kGelu: {
      float lane[kLanes];
      store(lane, x);
      for (int i = 0; i < kLanes; ++i) {
        lane[i] = 0.5f * lane[i] * (1.0f + __builtin_erff(lane[i] * 0.70710678118654752f));
      }
      return load(lane);
    }
    case Activation::kGeluTanh: {
      const Vec inner = 0.79788456080286536f * (x + 0.044715f * x * x * x);
      return 0.5f * x * (1.0f + tanh(inner));
    }
    case Activation::kSilu:
      return x / (1.0f + exp(-x));
  }
  return x;
}

// Applies the epilogue to one panel of products (gated: to a pair) in place.
SC_INLINE void finish_panel(const GemmArgs& args, float* product, const float* out, int columns) {
  for (int j = 0; j < kPanel; j += kLanes) {
    Vec value = load(product + j);
    if (args.epilogue == Epilogue::kActivate) {
      value = activate(args.activation, value);
    } else if (args.epilogue == Epilogue::kGate) {
      value = activate(args.activation, value) * load(product + kPanel + j);
    }
    store(product + j, value);
  }
  if (args.epilogue == Epilogue::kAdd) {
    for (int c = 0; c < columns; ++c) product[c] += out[c];
  }
}

// Products of `rows` rows with P physical panels from logical panel `panel` on.
template <typename W, int P>
void tile_block(const GemmArgs& args, int row_begin, int rows, int panel) {
  const int per_logical = args.weight.gated ? 2 : 1;
  const float* x[kMaxTileRows];
  for (int r = 0; r < rows; ++r) {
    const int row = row_begin + r;
    x[r] = args.x + static_cast<int64_t>(args.in_rows ? args.in_rows[row] : row) * args.ldx;
  }
  const W* panels = static_cast<const W*>(args.weight.data) +
                    static_cast<int64_t>(panel) * per_logical * args.weight.k * kPanel;
  alignas(64) float tile[kMaxTileRows * 8 * kPanel];
  multiply_rows<W, P>(rows, x, panels, args.weight.k, tile);
  for (int r = 0; r < rows; ++r) {
    const int row = args.out_rows ? args.out_rows[row_begin + r] : row_begin + r;
    for (int p = 0; p < P; p += per_logical) {
      const int column = (panel + p / per_logical) * kPanel;
      const int columns = args.weight.n - column < kPanel ? args.weight.n - column : kPanel;
      float* out = args.out + static_cast<int64_t>(row) * args.ldo + column;
      float* product = tile + (r * P + p) * kPanel;
      finish_panel(args, product, out, columns);
      memcpy(out, product, static_cast<size_t>(columns) * sizeof(float));
    }
  }
}

// All rows against logical panels [begin, end), P physical panels at a time;
// what is left over goes to the next smaller P.
template <typename W, int P>
void run_panels(const GemmArgs& args, int rows, int begin, int end) {
  const int step = P / (args.weight.gated ? 2 : 1);
  int panel = begin;
  if (step > 0) {
    for (; panel + step <= end; panel += step) {
      for (int row = 0; row < rows; row += rows_for(P)) {
        const int block = rows - row < rows_for(P) ? rows - row : rows_for(P);
        tile_block<W, P>(args, row, block, panel);
      }
    }
  }
  if constexpr (P > 1) {
    if (panel < end) run_panels<W, P / 2>(args, rows, panel, end);
  }
}

// Few rows: many panels in flight hide latency. Many rows: a tall tile.
template <typename W>
void gemm_panels_of(const GemmArgs& args, int rows, int begin, int end) {
  constexpr int kWidest = kLanes == 16 ? 8 : kLanes == 8 ? 4 : 2;
  if (rows <= rows_for(kWidest)) return run_panels<W, kWidest>(args, rows, begin, end);
  if (kWidest > 2 && rows <= rows_for(kWidest / 2)) {
    return run_panels<W, kWidest / 2>(args, rows, begin, end);
  }
  // A gated product takes panels in pairs.
  if (args.weight.gated || kLanes == 16) return run_panels<W, 2>(args, rows, begin, end);
  run_panels<W, 1>(args, rows, begin, end);
}

inline void gemm_panels(const GemmArgs& args, int rows, int begin, int end) {
  if (args.weight.dtype == DType::kF32) {
    gemm_panels_of<float>(args, rows, begin, end);
  } else {
    gemm_panels_of<uint16_t>(args, rows, begin, end);
  }
}

}  // namespace SC_SIMD_NAMESPACE
}  // namespace speccascade
