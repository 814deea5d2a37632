// Helpers of the tests of kernels: orders of threads and blocks under the emulation, on a GPU the
// order that it takes; and matrices in their device form.
#pragma once

#include <vector>

#include "ops/fragment_matrix.h"
#include "test/check.h"
#include "test/support/test_random.h"
#if !defined(SPECCASCADE_DEVICE_TESTS)
#include "emulation/cuda_emulation.h"
#endif

namespace speccascade::test {

// Runs body() in an order that `seed` chooses.
template <typename Body>
#if defined(SPECCASCADE_DEVICE_TESTS)
void with_schedule(uint64_t, const Body& body) {
  body();
}
#else
void with_schedule(uint64_t seed, const Body& body) {
  constexpr emulation::Order kOrders[] = {emulation::Order::kForward, emulation::Order::kReverse,
                                          emulation::Order::kRandom};
  emulation::set_schedule({kOrders[seed % 3], seed});
  body();
  emulation::set_schedule({});
}
#endif

// run() returns a kernel's result, which no order of threads may change.
template <typename Run>
void same_in_every_schedule(const char* what, const Run& run) {
  const auto forward = run();
  for (const uint64_t seed : {1, 2, 5}) {  // reverse, and two random orders
    with_schedule(seed, [&] { CHECK(same_bits(run(), forward), what, " schedule ", seed); });
  }
}

class DeviceMatrix {
 public:
  DeviceMatrix() = default;
  DeviceMatrix(int n, int k, DType dtype, bool gated, int parts)
      : matrix_{nullptr, dtype, n, k, gated, parts},
        memory_(device_matrix_bytes(n, k, dtype, gated)) {}

  // `weights` [n, k] as matrix `which`, in two pieces as stacked tensors are.
  void pack(const std::vector<float>& weights, int which) {
    const int split = matrix_.n / 3;
    const size_t begin = static_cast<size_t>(split) * static_cast<size_t>(matrix_.k);
    pack_device_rows(weights.data(), 0, split, matrix_.n, matrix_.k, matrix_.dtype, which,
                     matrix_.gated, memory_.data());
    pack_device_rows(weights.data() + begin, split, matrix_.n - split, matrix_.n, matrix_.k,
                     matrix_.dtype, which, matrix_.gated, memory_.data());
  }

  Matrix view() const {
    Matrix view = matrix_;
    view.data = memory_.data();
    return view;
  }

 private:
  Matrix matrix_;
  std::vector<uint8_t> memory_;
};

}  // namespace speccascade::test
