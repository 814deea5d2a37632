// The weights of models without a checkpoint: a function of seed, tensor and index, so that any
// part of them can be made anywhere, in any order.
#pragma once

#include <cstdint>

#include "base/host_device.h"
#include "base/philox.h"

namespace speccascade {

struct RandomTensor {
  uint64_t seed;
  uint64_t stream;  // the tensor's own
  float deviation;
};

// Four weights, at indices 4 `quad` to 4 `quad` + 3, come from one block.
SC_HOST_DEVICE inline PhiloxBlock random_quad(const RandomTensor& tensor, uint64_t quad) {
  const PhiloxBlock counter = {{static_cast<uint32_t>(quad), static_cast<uint32_t>(quad >> 32),
                                static_cast<uint32_t>(tensor.stream),
                                static_cast<uint32_t>(tensor.stream >> 32)}};
  return philox(counter, static_cast<uint32_t>(tensor.seed),
                static_cast<uint32_t>(tensor.seed >> 32));
}

// A sum of four 16-bit uniforms is close enough to normal for weights and costs no logarithm.
SC_HOST_DEVICE inline float random_of_quad(const RandomTensor& tensor, const PhiloxBlock& block,
                                           int which) {
  const uint64_t a = block.word[which];
  const uint64_t b = block.word[(which + 1) & 3] * 0x9E3779B97F4A7C15u;
  const float sum = static_cast<float>((a & 0xffff) + (a >> 16) + ((b >> 32) & 0xffff) + (b >> 48));
  const float unit = (sum / 65536.0f - 2.0f) * 1.7320508f;  // variance of the sum: 4/12
  return unit * tensor.deviation;
}

SC_HOST_DEVICE inline float random_weight(const RandomTensor& tensor, uint64_t index) {
  return random_of_quad(tensor, random_quad(tensor, index / 4), static_cast<int>(index % 4));
}

}  // namespace speccascade
