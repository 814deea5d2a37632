#include <cmath>

#include "model/weight_source.h"

namespace speccascade {

namespace {

// FNV-1a, so that every tensor has a stream of its own.
uint64_t hash_name(const std::string& name) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  return hash;
}

bool ends_with(const std::string& text, const char* end) {
  const std::string tail(end);
  return text.size() >= tail.size() &&
         text.compare(text.size() - tail.size(), tail.size(), tail) == 0;
}

}  // namespace

RandomSource::RandomSource(uint64_t seed, int d_model, int d_kv, int d_ff, int inner, bool tied)
    : seed_(seed), d_model_(d_model), d_kv_(d_kv), d_ff_(d_ff), inner_(inner), tied_(tied) {}

bool RandomSource::has(const std::string& name) const {
  if (name == "lm_head.weight") return !tied_;
  return name.find("embed_tokens") == std::string::npos &&
         name.find("EncDecAttention.relative_attention_bias") == std::string::npos;
}

float RandomSource::deviation(const std::string& name) const {
  const auto inverse_root = [](double x) { return static_cast<float>(1.0 / std::sqrt(x)); };
  if (ends_with(name, ".q.weight")) return inverse_root(static_cast<double>(d_model_) * d_kv_);
  if (ends_with(name, ".o.weight")) return inverse_root(inner_);
  if (ends_with(name, ".wo.weight")) return inverse_root(d_ff_);
  if (name == "shared.weight") return 1.0f;
  return inverse_root(d_model_);  // k, v, wi, relative bias, lm_head
}

void RandomSource::read(const std::string& name, int64_t begin, int64_t count, int64_t columns,
                        float* out) const {
  const int64_t width = columns > 0 ? columns : 1;
  if (name.find("layer_norm") != std::string::npos) {
    for (int64_t i = 0; i < count * width; ++i) out[i] = 1.0f;
    return;
  }
  const RandomTensor tensor = *random(name);
  for (int64_t i = 0; i < count * width;) {
    const uint64_t index = static_cast<uint64_t>(begin * width + i);
    const PhiloxBlock quad = random_quad(tensor, index / 4);
    for (int which = static_cast<int>(index % 4); which < 4 && i < count * width; ++which, ++i) {
      out[i] = random_of_quad(tensor, quad, which);
    }
  }
}

std::optional<RandomTensor> RandomSource::random(const std::string& name) const {
  return RandomTensor{seed_, hash_name(name), deviation(name)};
}

}  // namespace speccascade
