// Conversions between element types: every half-precision value, and the rounding of bfloat16.
#include "base/dtype.h"

#include <bit>
#include <cmath>
#include <limits>

#include "test/check.h"
#include "test/support/test_random.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

// IEEE 754 binary16 as a formula.
double half_twin(uint32_t half) {
  const double sign = (half & 0x8000u) ? -1.0 : 1.0;
  const int exponent = static_cast<int>((half >> 10) & 31u);
  const double mantissa = half & 1023u;
  if (exponent == 31) return mantissa != 0 ? NAN : sign * INFINITY;
  if (exponent == 0) return sign * std::ldexp(mantissa, -24);
  return sign * std::ldexp(1024.0 + mantissa, exponent - 25);
}

void every_half_is_exact() {
  for (uint32_t half = 0; half < 65536; ++half) {
    const double expected = half_twin(half);
    const float got = f16_to_float(static_cast<uint16_t>(half));
    if (std::isnan(expected)) {
      CHECK(std::isnan(got), "half ", half);
    } else {
      CHECK(static_cast<double>(got) == expected && std::signbit(got) == std::signbit(expected),
            "half ", half, ": got ", got, ", expected ", expected);
    }
  }
}

void every_bfloat_comes_back() {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float wide = bf16_to_float(static_cast<uint16_t>(bits));
    CHECK(std::bit_cast<uint32_t>(wide) == bits << 16);
    if (std::isnan(wide)) {
      CHECK(std::isnan(bf16_to_float(float_to_bf16(wide))), "bits ", bits);
    } else {
      CHECK(float_to_bf16(wide) == bits, "bits ", bits);
    }
  }
}

// Nearest of the two neighbours; in the middle, the one whose last bit is 0.
void bfloat_rounds_to_nearest_even() {
  TestRandom random(7);
  for (int i = 0; i < 300000; ++i) {
    uint32_t bits = static_cast<uint32_t>(random.bits());
    if (i % 3 == 0) bits = (bits & 0xffff0000u) | 0x8000u;             // a tie
    if (i % 3 == 1) bits = (bits & 0xffff0000u) | (0x7fffu + i % 4u);  // next to one
    const float value = std::bit_cast<float>(bits);
    if (std::isnan(value)) continue;
    const uint16_t below = static_cast<uint16_t>(bits >> 16);  // towards zero
    const uint16_t above = static_cast<uint16_t>(below + 1);   // away, perhaps infinity
    const double magnitude = std::fabs(static_cast<double>(value));
    const double low = std::fabs(static_cast<double>(bf16_to_float(below)));
    // The step above the largest finite value counts as if the exponent went on.
    const double high = (above & 0x7fffu) == 0x7f80u
                            ? 0x1p128
                            : std::fabs(static_cast<double>(bf16_to_float(above)));
    uint16_t expected = magnitude - low < high - magnitude ? below : above;
    if (magnitude - low == high - magnitude) expected = below % 2 == 0 ? below : above;
    if (std::isinf(value)) expected = below;
    CHECK(float_to_bf16(value) == expected, "bits ", bits, ": got ", float_to_bf16(value),
          ", expected ", expected);
  }
}

void special_values_survive() {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  CHECK(bf16_to_float(float_to_bf16(kInfinity)) == kInfinity);
  CHECK(bf16_to_float(float_to_bf16(-kInfinity)) == -kInfinity);
  CHECK(bf16_to_float(float_to_bf16(std::numeric_limits<float>::max())) == kInfinity);
  CHECK(float_to_bf16(0.0f) == 0x0000 && float_to_bf16(-0.0f) == 0x8000);
  // NaN stays NaN although its set bits may all lie in the half that is cut off.
  for (const uint32_t bits : {0x7f800001u, 0xff800001u, 0x7f80ffffu, 0x7fffffffu, 0xffc00000u}) {
    const float wide = bf16_to_float(float_to_bf16(std::bit_cast<float>(bits)));
    CHECK(std::isnan(wide), "bits ", bits);
    CHECK(std::signbit(wide) == (bits >> 31 != 0), "bits ", bits);
  }
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(argc, argv,
                   {CASE(every_half_is_exact), CASE(every_bfloat_comes_back),
                    CASE(bfloat_rounds_to_nearest_even), CASE(special_values_survive)});
}
