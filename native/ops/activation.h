// Feed-forward activations of the T5 family.
//   relu       max(0, x)
//   gelu       x Phi(x), Phi the normal distribution function
//   gelu_tanh  0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
//   silu       x / (1 + e^-x)
#pragma once

#include <cstdint>

namespace speccascade {

enum class Activation : uint8_t { kNone, kRelu, kGelu, kGeluTanh, kSilu };

}  // namespace speccascade
