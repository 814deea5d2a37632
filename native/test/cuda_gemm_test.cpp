// The CUDA products under the emulation, against the plain product: sizes that are multiples of
// nothing, every epilogue and weight type, row maps, any order of threads; and the same bits for a
// row in any number of rows, whichever kernel computes it.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "ops/fragment_matrix.h"
#include "ops/ops_cuda.h"
#include "test/check.h"
#include "test/support/emulated_runs.h"
#include "test/support/reference_ops.h"
#include "test/support/test_random.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

constexpr DType kTypes[] = {DType::kF32, DType::kBF16, DType::kF16, DType::kInt8};
constexpr Epilogue kEpilogues[] = {Epilogue::kStore, Epilogue::kAdd, Epilogue::kActivate,
                                   Epilogue::kGate};
constexpr Activation kActivations[] = {Activation::kNone, Activation::kRelu, Activation::kGelu,
                                       Activation::kGeluTanh, Activation::kSilu};

struct Shape {
  int rows, n, k;
  DType dtype;
  Epilogue epilogue;
  Activation activation = Activation::kNone;
  bool mapped = false;  // rows go through in_rows and out_rows, with strides wider than the rows
  int parts = 1;        // of inputs in bf16 and f16
  bool one_chain = false;
};

float rounded(DType dtype, float x) {
  return dtype == DType::kBF16  ? bf16_to_float(float_to_bf16(x))
         : dtype == DType::kF16 ? f16_to_float(float_to_f16(x))
                                : x;
}

// A row of inputs as products take it, by part.
std::vector<std::vector<float>> parts_of_row(const Shape& shape, const float* x) {
  std::vector<float> row(x, x + shape.k);
  if (shape.dtype == DType::kF32) return {row};
  float largest = 0.0f, scale = 1.0f;
  for (const float value : row) largest = std::max(largest, std::fabs(value));
  if (shape.dtype == DType::kF16 && largest > 0.0f)
    scale = std::ldexp(1.0f, 14 - std::ilogb(largest));
  std::vector<std::vector<float>> parts;
  for (int p = 0; p < shape.parts; ++p) {
    parts.push_back(row);
    for (size_t i = 0; i < row.size(); ++i) {
      parts.back()[i] = rounded(shape.dtype, row[i] * scale) / scale;
      row[i] -= parts.back()[i];
    }
  }
  return parts;
}

// Inputs of int8 products on CUDA: integers of 16 bits with one scale (ops_cuda.h).
IntegerRow wide_integer_row(const float* x, int count) {
  IntegerRow row;
  row.group = count;
  float largest = 0.0f;
  for (int i = 0; i < count; ++i) largest = std::max(largest, std::fabs(x[i]));
  const float inverse = largest > 1e-30f ? 32512.0f / largest : 0.0f;
  for (int i = 0; i < count; ++i) {
    row.values.push_back(static_cast<int>(std::nearbyint(x[i] * inverse)));
  }
  row.scales = {inverse > 0.0f ? largest / 32512.0f : 0.0f};
  return row;
}

// One product with everything it reads and writes.
class Product {
 public:
  Product(const Shape& shape, uint64_t seed, double size = 1.0);

  // Rows [first, first + count), in a pass planned for max_rows, into a copy of what was there.
  std::vector<float> run(int first, int count, int max_rows) const;
  void check(int max_rows = 0) const;  // 0: planned for the rows that there are
  size_t place(int row, int column) const {
    return static_cast<size_t>(target(row)) * static_cast<size_t>(ldo_) +
           static_cast<size_t>(column);
  }

 private:
  int target(int row) const { return shape_.mapped ? out_rows_[static_cast<size_t>(row)] : row; }
  Twin product(int row, int which, int column) const;
  Twin expected(int row, int column) const;

  Shape shape_;
  int ldx_, ldo_;
  std::vector<float> weights_[2];  // int8: as they are given; else as the matrix holds them
  DeviceMatrix matrix_;
  std::vector<float> x_, before_;
  std::vector<int32_t> in_rows_, out_rows_;
};

Product::Product(const Shape& shape, uint64_t seed, double size)
    : shape_(shape),
      ldx_(shape.k + (shape.mapped ? 3 : 0)),
      ldo_(shape.n + (shape.mapped ? 5 : 0)) {
  TestRandom random(seed);
  const bool gated = shape.epilogue == Epilogue::kGate;
  matrix_ = DeviceMatrix(shape.n, shape.k, shape.dtype, gated, shape.parts);
  for (int which = 0; which < (gated ? 2 : 1); ++which) {
    weights_[which] = random.values(static_cast<size_t>(shape.n) * static_cast<size_t>(shape.k));
    matrix_.pack(weights_[which], which);
    if (shape.dtype == DType::kInt8) continue;
    for (float& w : weights_[which]) w = rounded(shape.dtype, w);
  }
  const int x_rows = shape.rows + (shape.mapped ? 4 : 0);
  const int out_rows = shape.rows + (shape.mapped ? 7 : 0);
  x_ = random.values(static_cast<size_t>(x_rows) * static_cast<size_t>(ldx_), size);
  before_ = random.values(static_cast<size_t>(out_rows) * static_cast<size_t>(ldo_));
  for (int r = 0; r < shape.rows; ++r) in_rows_.push_back(random.below(x_rows));
  out_rows_ = random.permutation(out_rows);
}

std::vector<float> Product::run(int first, int count, int max_rows) const {
  const int32_t rows = count;
  // What no row of the pass uses is poison.
  std::vector<uint8_t> scratch(
      gemm_scratch_bytes_cuda(max_rows, shape_.k, shape_.parts, shape_.dtype), 0xff);
  std::vector<float> out = before_;
  std::vector<int32_t> in_rows(in_rows_), out_rows(out_rows_);
  in_rows.erase(in_rows.begin(), in_rows.begin() + first);
  out_rows.erase(out_rows.begin(), out_rows.begin() + first);
  const size_t skipped = shape_.mapped ? 0 : static_cast<size_t>(first);
  gemm_cuda({x_.data() + skipped * static_cast<size_t>(ldx_), ldx_, matrix_.view(),
             out.data() + skipped * static_cast<size_t>(ldo_), ldo_, shape_.epilogue,
             shape_.activation, &rows, max_rows, shape_.mapped ? in_rows.data() : nullptr,
             shape_.mapped ? out_rows.data() : nullptr, scratch.data(), nullptr, shape_.one_chain},
            nullptr);
  return out;
}

Twin Product::product(int row, int which, int column) const {
  const int source = shape_.mapped ? in_rows_[static_cast<size_t>(row)] : row;
  const float* x = x_.data() + static_cast<ptrdiff_t>(source) * ldx_;
  const float* w = weights_[which].data() + static_cast<ptrdiff_t>(column) * shape_.k;
  if (shape_.dtype == DType::kInt8) {
    return integer_dot_twin(wide_integer_row(x, shape_.k), integer_row(w, shape_.k, shape_.k));
  }
  Twin sum;
  for (const std::vector<float>& part : parts_of_row(shape_, x)) {
    sum = sum_twin(sum, dot_twin(part.data(), w, shape_.k));
  }
  return sum;
}

Twin Product::expected(int row, int column) const {
  const Twin first = product(row, 0, column);
  switch (shape_.epilogue) {
    case Epilogue::kStore:
      return first;
    case Epilogue::kAdd:
      return sum_twin(first, {static_cast<double>(before_[place(row, column)]), 0.0});
    case Epilogue::kActivate:
      return activation_twin(shape_.activation, first);
    case Epilogue::kGate:
      return product_twin(activation_twin(shape_.activation, first), product(row, 1, column));
  }
  return first;
}

void Product::check(int max_rows) const {
  std::vector<float> out = run(0, shape_.rows, max_rows > 0 ? max_rows : shape_.rows);
  for (int r = 0; r < shape_.rows; ++r) {
    for (int c = 0; c < shape_.n; ++c) {
      const Twin twin = expected(r, c);
      CHECK(agrees(out[place(r, c)], twin), "rows ", shape_.rows, " n ", shape_.n, " k ", shape_.k,
            " ", dtype_name(shape_.dtype), " epilogue ", static_cast<int>(shape_.epilogue),
            " activation ", static_cast<int>(shape_.activation), " parts ", shape_.parts,
            " mapped ", shape_.mapped, " at ", r, ",", c, ": got ", out[place(r, c)], ", expected ",
            twin.value, " +- ", twin.bound);
      out[place(r, c)] = before_[place(r, c)];
    }
  }
  CHECK(same_bits(out, before_), "an entry outside the result was written");
}

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
      for (const int k : {33, 300, 1100}) {
        ++seed;
        const Shape shape = {70,
                             33,
                             k,
                             dtype,
                             epilogue,
                             Activation::kSilu,
                             seed % 2 == 0,
                             1 + static_cast<int>(seed % 2)};
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

struct ChainKernel {
  const char* name;
  ChainForm form;
  int rows_of_block;
};

// Runs body(kernel) for everything that makes products of one chain here.
template <typename Body>
void with_chain_kernels(const Body& body) {
  constexpr ChainKernel kKernels[] = {{"tiles", ChainForm::kPortable, 0},
                                      {"warpgroups", ChainForm::kWarpgroups, 0},
                                      {"warpgroups of 32 rows", ChainForm::kWarpgroups, 32},
                                      {"warpgroups of 64 rows", ChainForm::kWarpgroups, 64},
                                      {"warpgroups of 128 rows", ChainForm::kWarpgroups, 128},
                                      {"warpgroups of 256 rows", ChainForm::kWarpgroups, 256}};
  for (const ChainKernel& kernel : kKernels) {
    if (kernel.form == ChainForm::kWarpgroups && !has_warpgroup_chains()) continue;
    choose_chains(kernel.form, kernel.rows_of_block);
    body(kernel);
  }
  choose_chains(ChainForm::kByDevice);
}

Shape chain_shape(int rows, int n, int k, uint64_t seed) {
  return {rows,          n, k,   DType::kBF16, kEpilogues[seed % 4], kActivations[seed / 4 % 5],
          seed % 3 == 0, 1, true};
}

void chains_of_awkward_sizes() {
  with_chain_kernels([](const ChainKernel&) {
    uint64_t seed = 9000;
    for (const int n : {1, 17, 70, 132}) {
      for (const int k : {1, 16, 33, 130, 257, 512}) {
        ++seed;
        const int rows = std::vector<int>{1, 9, 33, 70, 140}[seed % 5];
        with_schedule(seed, [&] { Product(chain_shape(rows, n, k, seed), seed).check(); });
      }
    }
    for (const Epilogue epilogue : kEpilogues) {  // arrays that whole quads fit
      Product({40, 64, 192, DType::kBF16, epilogue, Activation::kGelu, false, 1, true}, ++seed)
          .check();
    }
  });
  for (const Epilogue epilogue : kEpilogues) {
    for (const int parts : {1, 2}) {
      Product({9, 33, 100, DType::kF16, epilogue, Activation::kRelu, false, parts, true}, 31)
          .check();
      Product({9, 33, 100, DType::kBF16, epilogue, Activation::kRelu, false, parts, true}, 32)
          .check();
    }
    Product({9, 33, 100, DType::kInt8, epilogue, Activation::kRelu, false, 1, true}, 33).check();
  }
}

// Whether the bits of the first kernel are those of the others; warpgroups have one set of bits in
// all shapes of blocks.
void a_chain_has_the_same_bits_in_any_pass() {
  for (const Epilogue epilogue : {Epilogue::kAdd, Epilogue::kGate}) {
    const Shape shape = {300,   72, 600, DType::kBF16, epilogue, Activation::kGeluTanh,
                         false, 1,  true};
    const Product product(shape, 50 + static_cast<uint64_t>(epilogue));
    std::vector<float> tiles, warpgroups;
    with_chain_kernels([&](const ChainKernel& kernel) {
      std::vector<float>& first = kernel.form == ChainForm::kPortable ? tiles : warpgroups;
      if (first.empty()) first = product.run(0, 300, 300);
      const auto compare = [&](int begin, int count, int max_rows) {
        const std::vector<float> got = product.run(begin, count, max_rows);
        for (int r = begin; r < begin + count; ++r) {
          CHECK(same_bits(&got[product.place(r, 0)], &first[product.place(r, 0)], 72), kernel.name,
                " epilogue ", static_cast<int>(epilogue), " row ", r, " of ", count,
                " planned for ", max_rows);
        }
      };
      compare(0, 300, 2048);
      compare(0, 200, 200);
      compare(100, 64, 64);
      compare(60, 33, 40);
      compare(11, 8, 8);
      compare(299, 1, 1);
    });
    product.check();
    if (warpgroups.empty()) continue;
    std::printf("epilogue %d: chains of warpgroups have %s bits as tiles\n",
                static_cast<int>(epilogue), same_bits(tiles, warpgroups) ? "the same" : "other");
  }
}

void schedules_do_not_matter() {
  for (const DType dtype : kTypes) {
    for (const int rows : {5, 40}) {
      const Product product({rows, 70, 300, dtype, Epilogue::kGate, Activation::kGelu}, 3);
      same_in_every_schedule(dtype_name(dtype), [&] { return product.run(0, rows, rows); });
    }
  }
  for (const Epilogue epilogue : {Epilogue::kAdd, Epilogue::kGate}) {
    const Product product({40, 70, 300, DType::kBF16, epilogue, Activation::kGelu, false, 1, true},
                          4);
    with_chain_kernels([&](const ChainKernel& kernel) {
      same_in_every_schedule(kernel.name, [&] { return product.run(0, 40, 40); });
    });
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

void int8_sums_are_exact() {
  const size_t k = 20000;
  for (const float w : {1.0f, -1.0f}) {
    for (const float x : {1.0f, -1.0f}) {
      const float got =
          one_product(DType::kInt8, std::vector<float>(k, w), std::vector<float>(k, x));
      CHECK_NEAR(static_cast<double>(got), static_cast<double>(w) * x * 20000.0, 0.01);
    }
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
  return run_cases(argc, argv,
                   {CASE(awkward_sizes), CASE(many_rows), CASE(wide_tiles), CASE(deep_products),
                    CASE(a_row_has_the_same_bits_in_any_pass), CASE(schedules_do_not_matter),
                    CASE(chains_of_awkward_sizes), CASE(a_chain_has_the_same_bits_in_any_pass),
                    CASE(no_rows), CASE(inputs_beyond_the_range_of_f16), CASE(int8_sums_are_exact),
                    CASE(values_that_are_not_finite_are_not_hidden)});
}
