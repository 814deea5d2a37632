// Random models of published shapes, on the GPU.
#pragma once

#include <string>

#include "base/error.h"
#include "model/model.h"

namespace speccascade::bench {

struct Shape {
  const char* name;
  int d_model, d_kv, d_ff, heads, layers, vocabulary;
};

// T5 v1.1 and FLAN-T5, as their configurations are published; the last are for dry runs.
constexpr Shape kShapes[] = {
    {"small", 512, 64, 1024, 6, 8, 32128},    {"base", 768, 64, 2048, 12, 12, 32128},
    {"large", 1024, 64, 2816, 16, 24, 32128}, {"xl", 2048, 64, 5120, 32, 24, 32128},
    {"xxl", 4096, 64, 10240, 64, 24, 32128},  {"tiny", 64, 16, 96, 4, 2, 200},
    {"tiniest", 32, 16, 48, 2, 1, 200},
};

inline const Shape& shape_named(const std::string& name) {
  for (const Shape& shape : kShapes) {
    if (name == shape.name) return shape;
  }
  fail(ErrorCode::kInput, "shape: expected small, base, large, xl, xxl, tiny or tiniest, got \"",
       name, "\"");
}

inline Executor executor_named(const std::string& name) {
  if (name == "kernels") return Executor::kKernels;
  if (name == "persistent") return Executor::kPersistent;
  fail(ErrorCode::kInput, "executor: expected kernels or persistent, got \"", name, "\"");
}

inline std::shared_ptr<const Model> random_model(const Shape& shape, const std::string& dtype,
                                                 Executor executor, uint64_t seed = 1) {
  T5Config config;
  config.vocab_size = shape.vocabulary;
  config.d_model = shape.d_model;
  config.d_kv = shape.d_kv;
  config.d_ff = shape.d_ff;
  config.num_heads = shape.heads;
  config.num_layers = config.num_decoder_layers = shape.layers;
  config.num_buckets = 32;
  config.max_distance = 128;
  config.layer_norm_epsilon = 1e-6f;
  config.activation = Activation::kGeluTanh;
  config.gated = true;
  ModelSource source;
  source.seed = seed;
  ModelOptions options;
  options.device = "cuda";
  options.dtype = dtype;
  options.executor = executor;
  return load_model(config, source, options, {});
}

}  // namespace speccascade::bench
