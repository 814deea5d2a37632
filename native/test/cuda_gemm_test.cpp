// The CUDA products under the emulation, against the plain product: sizes that are multiples of
// nothing, every epilogue and weight type, row maps, any order of threads; and the same bits for a
// row in any number of rows, whichever kernel computes it.
#include <cmath>
#include <limits>

#include "test/support/device_product.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

void awkward_sizes() {
  uint64_t seed = 1;
  for (const int n : {1, 15, 16, 17, 33, 70}) {
    for (const int k : {1, 15, 16, 17, 33, 100, 257}) {
      for (const DType dtype : kTypes) {
        ++seed;
        const int rows = std::vector<int>{1, 2, 7, 8, 9, 17}[seed % 6];
        with_schedule(seed, [&] {
          Product({rows, n, k, dtype, kEpilogues[seed % 4], kActivations[seed / 4 % 5],
                   seed % 3 == 0, dtype == DType::kInt8 ? 1 : 1 + static_cast<int>(seed / 2 % 2)},
                  seed)
              .check();
        });
      }
    }
  }
}

void many_rows() {
  uint64_t seed = 5000;
  for (const int rows : {32, 33, 70}) {
    for (const DType dtype : kTypes) {
      for (const Epilogue epilogue : kEpilogues) {
        ++seed;
        with_schedule(seed, [&] {
          Product({rows, 40, 150, dtype, epilogue, kActivations[seed % 5], seed % 2 == 0,
                   dtype == DType::kBF16 ? 2 : 1},
                  seed)
              .check();
        });
      }
    }
  }
}

// A pass planned for so many rows is computed in wide tiles, however few outputs there are.
constexpr int kWideRows = 128 * 128;

void wide_tiles() {
  uint64_t seed = 6000;
  for (const DType dtype : kTypes) {
    for (const Epilogue epilogue : kEpilogues) {
      ++seed;
      with_schedule(seed, [&] {
        Product({150, 180, seed % 2 == 0 ? 70 : 290, dtype, epilogue, kActivations[seed % 5],
                 seed % 3 == 0},
                seed)
            .check(kWideRows);
      });
    }
  }
}

// Split into the most runs, all of them whole or the last one short.
void deep_products() {
  uint64_t seed = 7000;
  for (const int k : {1024, 1100}) {
    for (const DType dtype : kTypes) {
      for (const int rows : {3, 40}) {
        ++seed;
        Product({rows, 17, k, dtype, kEpilogues[seed % 4], Activation::kRelu}, seed).check();
      }
    }
  }
}

// Alone, in a small pass, and in tiles: the promise that speculation rests on.
void a_row_has_the_same_bits_in_any_pass() {
  uint64_t seed = 9000;
  for (const DType dtype : kTypes) {
    for (const Epilogue epilogue : kEpilogues) {
      const std::vector<int> all = {33, 300, 1100}, few = {300};
      for (const int k : kSanitized ? few : all) {
        ++seed;
        const Shape shape = {70,
                             33,
                             k,
                             dtype,
                             epilogue,
                             Activation::kSilu,
                             seed % 2 == 0,
                             dtype == DType::kInt8 ? 1 : 1 + static_cast<int>(seed % 2)};
        const Product product(shape, seed);
        const std::vector<float> tiled = product.run(0, 70, 70);
        const auto compare = [&](const std::vector<float>& got, int first, int count,
                                 const char* what) {
          for (int r = first; r < first + count; ++r) {
            for (int c = 0; c < shape.n; ++c) {
              const size_t at = product.place(r, c);
              CHECK(same_bits(&got[at], &tiled[at], 1), what, " ", dtype_name(dtype), " k ", k,
                    " epilogue ", static_cast<int>(epilogue), " row ", r, " column ", c);
            }
          }
        };
        compare(product.run(0, 70, 300), 0, 70, "larger bound");
        if (k == 1100) compare(product.run(0, 70, kWideRows), 0, 70, "wide tiles");
        compare(product.run(5, 1, 1), 5, 1, "alone");
        compare(product.run(60, 7, 8), 60, 7, "one column tile");
        compare(product.run(11, 30, 32), 11, 30, "wide");
        compare(product.run(3, 3, 100), 3, 3, "tiled, few rows");
      }
    }
  }
}

void schedules_do_not_matter() {
  for (const DType dtype : kTypes) {
    for (const int rows : {5, 40}) {
      const Product product({rows, 70, 300, dtype, Epilogue::kGate, Activation::kGelu}, 3);
      same_in_every_schedule(dtype_name(dtype), [&] { return product.run(0, rows, rows); });
    }
  }
}

void no_rows() {
  for (const DType dtype : kTypes) {
    const Product product({2, 33, 17, dtype, Epilogue::kStore}, 77);
    const std::vector<float> untouched = product.run(0, 0, 0);
    CHECK(same_bits(untouched, product.run(0, 0, 8)), dtype_name(dtype));
    CHECK(same_bits(untouched, product.run(0, 0, 80)), dtype_name(dtype));
  }
}

// T5's activations go far beyond what f16 holds (65504), and far below its normal numbers.
void inputs_beyond_the_range_of_f16() {
  for (const double size : {1e-30, 1e-6, 1e6, 1e30}) {
    for (const int parts : {1, 2}) {
      Product({9, 20, 100, DType::kF16, Epilogue::kStore, Activation::kNone, false, parts}, 5, size)
          .check();
    }
  }
}

float one_product(DType dtype, const std::vector<float>& w, const std::vector<float>& x) {
  const int k = static_cast<int>(x.size());
  const int32_t rows = 1;
  DeviceMatrix matrix(1, k, dtype, false, 1);
  matrix.pack(w, 0);
  std::vector<uint8_t> scratch(gemm_scratch_bytes_cuda(1, k, 1, dtype));
  float out = -12345.0f;
  gemm_cuda({x.data(), k, matrix.view(), &out, 1, Epilogue::kStore, Activation::kNone, &rows, 1,
             nullptr, nullptr, scratch.data()},
            nullptr);
  return out;
}

// Each of them, at every place of a lane's words.
void all_integers_of_8_bits_are_exact() {
  const size_t k = 64;
  for (int integer = -127; integer <= 127; ++integer) {
    std::vector<float> w(k, 0.0f), x(k, 0.0f);
    const auto at = static_cast<size_t>(integer + 127) % (k - 1);
    w[at] = static_cast<float>(integer);
    w[k - 1] = 127.0f;
    x[at] = 1.0f;
    CHECK(one_product(DType::kInt8, w, x) == static_cast<float>(integer), integer);
  }
}

void values_that_are_not_finite_are_not_hidden() {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const DType dtype : kTypes) {
    for (const size_t k : {1, 5, 16, 40, 200}) {
      for (size_t bad = 0; bad < k; bad += k / 5 + 1) {
        for (const float value : {kInfinity, -kInfinity, std::nanf("")}) {
          std::vector<float> x(k, 0.5f);
          x[bad] = value;
          CHECK(!std::isfinite(one_product(dtype, std::vector<float>(k, 1.0f), x)),
                dtype_name(dtype), " k ", k, " at ", bad);
          CHECK(!std::isfinite(one_product(dtype, x, std::vector<float>(k, 1.0f))),
                dtype_name(dtype), " k ", k, " at ", bad, " of the weights");
        }
      }
    }
    CHECK(one_product(dtype, {0.0f, 0.0f}, {1.0f, 2.0f}) == 0.0f);
    CHECK(one_product(dtype, {1.0f, 2.0f}, {0.0f, 0.0f}) == 0.0f);
    CHECK(std::fabs(one_product(dtype, {1.0f, 2.0f}, {1e-38f, 1e-40f})) < 1e-37f);
  }
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(
      argc, argv,
      {CASE(awkward_sizes), CASE(many_rows), CASE(wide_tiles), CASE(deep_products),
       CASE(a_row_has_the_same_bits_in_any_pass), CASE(schedules_do_not_matter), CASE(no_rows),
       CASE(inputs_beyond_the_range_of_f16), CASE(all_integers_of_8_bits_are_exact),
       CASE(values_that_are_not_finite_are_not_hidden)});
}
