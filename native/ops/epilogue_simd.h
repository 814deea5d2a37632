// What happens to products once they are summed. Included by kernels_simd.cpp
// through gemm_simd.h.
#pragma once

#include "ops/cpu_kernels.h"
#include "ops/product_simd.h"
#include "ops/simd.h"

namespace speccascade {
namespace SC_SIMD_NAMESPACE {

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

// A row's products with one panel in bf16, of which there are `columns`.
SC_INLINE void round_panel(const float* product, uint16_t* out, int columns) {
  uint16_t rounded[kPanel];
  for (int j = 0; j < kPanel; j += kLanes) store(rounded + j, load(product + j));
  memcpy(out, rounded, static_cast<size_t>(columns) * sizeof(uint16_t));
}

// Finished products of one row with one panel: its columns [column, column + columns)
// of the row at `out_row`. Never inlined: compiled once, the same product becomes the
// same output bits whichever tile it came from.
__attribute__((noinline)) inline void finish_panel(const GemmArgs& args, float* product,
                                                   void* out_row, int column, int columns) {
  if (args.out_dtype == DType::kBF16) {
    return round_panel(product, static_cast<uint16_t*>(out_row) + column, columns);
  }
  float* out = static_cast<float*>(out_row) + column;
  const int width = panel_columns(args.weight.gated);
  if (args.epilogue == Epilogue::kActivate || args.epilogue == Epilogue::kGate) {
    for (int j = 0; j < width; j += kLanes) {
      Vec value = activate(args.activation, load(product + j));
      if (args.epilogue == Epilogue::kGate) value *= load(product + width + j);
      store(product + j, value);
    }
  }
  if (args.epilogue == Epilogue::kAdd) {
    if (columns == width) {
      for (int j = 0; j < width; j += kLanes) store(out + j, load(out + j) + load(product + j));
    } else {
      for (int c = 0; c < columns; ++c) out[c] += product[c];
    }
  } else if (columns == width) {
    for (int j = 0; j < width; j += kLanes) store(out + j, load(product + j));
  } else {
    for (int c = 0; c < columns; ++c) out[c] = product[c];
  }
}

// The two parts of one row's sums with one panel, to one product in place of the
// first.
__attribute__((noinline)) inline void add_parts(float* first, const float* second) {
  for (int j = 0; j < kPanel; j += kLanes) store(first + j, load(first + j) + load(second + j));
}

// Sums of int8 products times the scales of the panel's columns.
__attribute__((noinline)) inline void scale_columns(float* sums, const char* scales) {
  for (int j = 0; j < kPanel; j += kLanes) {
    store(sums + j, load(sums + j) * load(reinterpret_cast<const float*>(scales) + j));
  }
}

}  // namespace SC_SIMD_NAMESPACE
}  // namespace speccascade
