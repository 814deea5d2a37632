// The parts that encoder and decoder layers share, as op descriptors.
#pragma once

#include <algorithm>

#include "model/caches.h"
#include "model/model.h"
#include "ops/program.h"

namespace speccascade {

// Where an op reads how many rows there are, their bound, and the scratch that the
// products of a pass share.
struct RowCount {
  const int32_t* count;
  int max;
  void* scratch = nullptr;
  bool one_chain = false;  // how products sum (GemmArgs::one_chain)
};

// Scratch for the products of a pass over at most `max_rows` rows.
inline size_t product_scratch_bytes(const Model& model, int max_rows) {
  const T5Config& config = model.config;
  const int deepest = std::max({config.d_model, config.inner(), config.d_ff});
  size_t most = 0;
  for (const DType dtype : {DType::kBF16, DType::kInt8}) {
    most = std::max(most, model.backend->gemm_scratch_bytes(max_rows, deepest, 2, dtype));
  }
  return model.dtype == DType::kF32 ? 0 : most;
}

// A norm that only products read.
inline RmsNormArgs norm(const float* x, const float* weight, float* out, const T5Config& config,
                        RowCount rows) {
  return {x,    weight,     out,      config.d_model, config.layer_norm_epsilon,
          1.0f, rows.count, rows.max, nullptr,        true};
}

// x [rows, k] times weight [n, k], both dense; out has the weight's n columns.
inline GemmArgs multiply(const float* x, const Matrix& weight, float* out, Epilogue epilogue,
                         RowCount rows) {
  return {x,          weight.k, weight,  out,     weight.n,     epilogue, Activation::kNone,
          rows.count, rows.max, nullptr, nullptr, rows.scratch, nullptr,  rows.one_chain};
}

// Keys and values of a layer, each row to one of the cache's.
inline GemmArgs multiply_into(const KeysValues& cache, int layer, const int32_t* cache_rows,
                              const float* x, const Matrix& weight, RowCount rows) {
  GemmArgs product = multiply(x, weight, nullptr, Epilogue::kStore, rows);
  product.out = cache.layer(layer);
  product.out_dtype = cache.dtype();
  product.out_rows = cache_rows;
  return product;
}

// hidden += wo act(wi norm(hidden)), gated or not.
inline void add_feed_forward(Program& program, const FeedForwardWeights& weights,
                             const T5Config& config, float* hidden, float* normed, float* inner,
                             RowCount rows) {
  program.add(norm(hidden, weights.norm, normed, config, rows));
  GemmArgs in = multiply(normed, weights.in, inner,
                         config.gated ? Epilogue::kGate : Epilogue::kActivate, rows);
  in.activation = config.activation;
  program.add(in);
  program.add(multiply(inner, weights.out, hidden, Epilogue::kAdd, rows));
}

}  // namespace speccascade
