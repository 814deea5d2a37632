#include <cmath>

#include "base/philox.h"
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

// Four variates of unit variance from one block: a sum of four 16-bit uniforms
// is close enough to normal for weights and costs no logarithm.
float unit_variate(const PhiloxBlock& block, int which) {
  const uint64_t a = block.word[which];
  const uint64_t b = block.word[(which + 1) & 3] * 0x9E3779B97F4A7C15u;
  const float sum = static_cast<float>((a & 0xffff) + (a >> 16) + ((b >> 32) & 0xffff) + (b >> 48));
  return (sum / 65536.0f - 2.0f) * 1.7320508f;  // variance of the sum: 4/12
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
  const float scale = deviation(name);
  const uint64_t stream = hash_name(name);
  const PhiloxBlock zero = {
      {0, 0, static_cast<uint32_t>(stream), static_cast<uint32_t>(stream >> 32)}};
  for (int64_t i = 0; i < count * width;) {
    const uint64_t index = static_cast<uint64_t>(begin * width + i);
    PhiloxBlock counter = zero;
    counter.word[0] = static_cast<uint32_t>(index / 4);
    counter.word[1] = static_cast<uint32_t>(index / 4 >> 32);
    const PhiloxBlock block =
        philox(counter, static_cast<uint32_t>(seed_), static_cast<uint32_t>(seed_ >> 32));
    for (int which = static_cast<int>(index % 4); which < 4 && i < count * width; ++which, ++i) {
      out[i] = unit_variate(block, which) * scale;
    }
  }
}

}  // namespace speccascade
