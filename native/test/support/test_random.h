// Numbers for test data: the same on every machine and in every run, unlike the standard
// library's distributions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace speccascade::test {

// SplitMix64 (Steele, Lea, Flood 2014).
class TestRandom {
 public:
  explicit TestRandom(uint64_t seed) : state_(seed) {}

  uint64_t bits() {
    uint64_t z = state_ += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }

  // In [0, 1).
  double uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }

  // In [0, limit).
  int below(int limit) { return static_cast<int>(bits() % static_cast<uint64_t>(limit)); }

  // Symmetric, bell-shaped, of standard deviation `scale`.
  float value(double scale = 1.0) {
    const double sum = uniform() + uniform() + uniform() + uniform();
    return static_cast<float>((sum - 2.0) * 1.7320508 * scale);
  }

  std::vector<float> values(size_t count, double scale = 1.0) {
    std::vector<float> all(count);
    for (float& x : all) x = value(scale);
    return all;
  }

  // 0 .. count-1 in random order.
  std::vector<int32_t> permutation(int count) {
    std::vector<int32_t> order(static_cast<size_t>(count));
    for (int i = 0; i < count; ++i) order[static_cast<size_t>(i)] = i;
    for (int i = count - 1; i > 0; --i) {
      std::swap(order[static_cast<size_t>(i)], order[static_cast<size_t>(below(i + 1))]);
    }
    return order;
  }

 private:
  uint64_t state_;
};

// Whether two rows agree bit for bit (NaN equals NaN, 0 differs from -0).
inline bool same_bits(const float* a, const float* b, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    uint32_t x, y;
    __builtin_memcpy(&x, a + i, sizeof(x));
    __builtin_memcpy(&y, b + i, sizeof(y));
    if (x != y) return false;
  }
  return true;
}

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && same_bits(a.data(), b.data(), a.size());
}

}  // namespace speccascade::test
