// Tiny random models of every layout the forward pass knows, for tests that need whole models.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "model/model.h"

namespace speccascade::test {

struct NamedConfig {
  std::string name;
  T5Config config;
};

// ReLU and tied, gated and untied, a bias in every layer, sizes that are multiples of nothing.
std::vector<NamedConfig> tiny_configs();

// The first of them with another vocabulary: for engine tests.
T5Config tiny_config(int vocabulary);

std::shared_ptr<const Model> random_model(const T5Config& config, uint64_t seed,
                                          const std::string& dtype = "f32", int threads = 1);

}  // namespace speccascade::test
