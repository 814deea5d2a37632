// gemm and its packed weights against the plain product, over sizes that are multiples of nothing,
// every epilogue, every weight type, row maps, and no rows at all.
#include "ops/gemm.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>
#include <limits>

#include "base/buffer.h"
#include "ops/program.h"
#include "test/check.h"
#include "test/support/isa_runs.h"
#include "test/support/reference_ops.h"
#include "test/support/test_random.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

constexpr int kSizes[] = {1, 2, 3, 15, 16, 17, 31, 33, 40, 100, 257};
constexpr float kUntouched = -12345.0f;
constexpr DType kTypes[] = {DType::kF32, DType::kBF16, DType::kInt8};

struct Shape {
  int rows, n, k;
  DType dtype;
  Epilogue epilogue;
  Activation activation;
  bool mapped;    // rows go through in_rows and out_rows, with strides wider than the rows
  int parts = 1;  // of inputs in bf16
};

// One product with everything it reads and writes.
class Product {
 public:
  Product(const Shape& shape, uint64_t seed);
  void run(int threads) { make(threads, DType::kF32, out_.data()); }
  void check() const;
  // Of a product that is stored.
  void check_rounded(int threads) const;

 private:
  void make(int threads, DType out_dtype, void* out) const;
  Twin product(const float* x, int which, int column) const;
  Twin expected(int row, int column) const;

  Shape shape_;
  bool gated_;
  int ldx_, ldo_;
  std::vector<float> weights_[2];  // int8: as they are given; else as the matrix holds them
  std::vector<uint8_t> packed_;
  std::vector<float> x_, before_, out_;
  std::vector<int32_t> in_rows_, out_rows_;
  Buffer scratch_;
};

Product::Product(const Shape& shape, uint64_t seed)
    : shape_(shape), gated_(shape.epilogue == Epilogue::kGate) {
  TestRandom random(seed);
  const size_t n = static_cast<size_t>(shape.n), k = static_cast<size_t>(shape.k);
  packed_.assign(packed_bytes(shape.n, shape.k, shape.dtype, gated_), 0);
  for (int which = 0; which < (gated_ ? 2 : 1); ++which) {
    const std::vector<float> source = random.values(n * k);
    weights_[which] = shape.dtype == DType::kBF16 ? rounded_to(shape.dtype, source) : source;
    // In two parts, as stacked tensors are.
    const int split = shape.n / 3;
    pack_rows(source.data(), 0, split, shape.k, shape.dtype, which, gated_, packed_.data());
    pack_rows(source.data() + static_cast<size_t>(split) * k, split, shape.n - split, shape.k,
              shape.dtype, which, gated_, packed_.data());
  }
  ldx_ = shape.k + (shape.mapped ? 3 : 0);
  ldo_ = shape.n + (shape.mapped ? 5 : 0);
  const int x_rows = shape.rows + (shape.mapped ? 4 : 0);
  const int out_rows = shape.rows + (shape.mapped ? 7 : 0);
  x_ = random.values(static_cast<size_t>(x_rows) * static_cast<size_t>(ldx_));
  before_ = random.values(static_cast<size_t>(out_rows) * static_cast<size_t>(ldo_));
  if (shape.epilogue != Epilogue::kAdd) std::fill(before_.begin(), before_.end(), kUntouched);
  out_ = before_;
  for (int r = 0; r < shape.rows; ++r) in_rows_.push_back(random.below(x_rows));
  out_rows_ = random.permutation(out_rows);
  scratch_ = Buffer(gemm_scratch_bytes(shape.rows, shape.k, shape_.parts, shape.dtype));
}

void Product::make(int threads, DType out_dtype, void* out) const {
  const int32_t rows = shape_.rows;
  const Matrix weight = {packed_.data(), shape_.dtype, shape_.n, shape_.k, gated_, shape_.parts};
  gemm_cpu({x_.data(), ldx_, weight, out, ldo_, shape_.epilogue, shape_.activation, &rows,
            shape_.rows, shape_.mapped ? in_rows_.data() : nullptr,
            shape_.mapped ? out_rows_.data() : nullptr, scratch_.data(), nullptr, false, out_dtype},
           threads);
}

// What is stored in bf16 is what would be stored, rounded; beside it nothing is written.
void Product::check_rounded(int threads) const {
  std::vector<uint16_t> expected(out_.size(), 0x4b4b);
  std::vector<uint16_t> out = expected;
  make(threads, DType::kBF16, out.data());
  for (int r = 0; r < shape_.rows; ++r) {
    const int target = shape_.mapped ? out_rows_[static_cast<size_t>(r)] : r;
    const size_t begin = static_cast<size_t>(target) * static_cast<size_t>(ldo_);
    for (size_t at = begin; at < begin + static_cast<size_t>(shape_.n); ++at) {
      expected[at] = float_to_bf16(out_[at]);
    }
  }
  CHECK(out == expected, "rows ", shape_.rows, " n ", shape_.n, " k ", shape_.k, " ",
        dtype_name(shape_.dtype), " mapped ", shape_.mapped, " in bf16");
}

Twin Product::product(const float* x, int which, int column) const {
  const float* w = weights_[which].data() + static_cast<ptrdiff_t>(column) * shape_.k;
  if (shape_.dtype == DType::kInt8) {
    return integer_dot_twin(integer_row(x, shape_.k, kScaleGroup),
                            integer_row(w, shape_.k, shape_.k));
  }
  if (shape_.dtype == DType::kF32 || !gemm_rounds_inputs()) return dot_twin(x, w, shape_.k);
  const std::vector<float> rounded = rounded_to(DType::kBF16, {x, x + shape_.k});
  const Twin product = dot_twin(rounded.data(), w, shape_.k);
  if (shape_.parts == 1) return product;
  std::vector<float> rest(x, x + shape_.k);
  for (size_t i = 0; i < rest.size(); ++i) rest[i] -= rounded[i];
  rest = rounded_to(DType::kBF16, rest);
  return sum_twin(product, dot_twin(rest.data(), w, shape_.k));
}

Twin Product::expected(int row, int column) const {
  const int source = shape_.mapped ? in_rows_[static_cast<size_t>(row)] : row;
  const int target = shape_.mapped ? out_rows_[static_cast<size_t>(row)] : row;
  const float* x = x_.data() + static_cast<ptrdiff_t>(source) * ldx_;
  const Twin first = product(x, 0, column);
  switch (shape_.epilogue) {
    case Epilogue::kStore:
      return first;
    case Epilogue::kAdd: {
      const ptrdiff_t old = static_cast<ptrdiff_t>(target) * ldo_ + column;
      return sum_twin(first, {static_cast<double>(before_[static_cast<size_t>(old)]), 0.0});
    }
    case Epilogue::kActivate:
      return activation_twin(shape_.activation, first);
    case Epilogue::kGate:
      return product_twin(activation_twin(shape_.activation, first), product(x, 1, column));
  }
  return first;
}

void Product::check() const {
  std::vector<bool> written(out_.size(), false);
  for (int r = 0; r < shape_.rows; ++r) {
    const int target = shape_.mapped ? out_rows_[static_cast<size_t>(r)] : r;
    for (int c = 0; c < shape_.n; ++c) {
      const size_t at =
          static_cast<size_t>(target) * static_cast<size_t>(ldo_) + static_cast<size_t>(c);
      written[at] = true;
      const Twin twin = expected(r, c);
      CHECK(agrees(out_[at], twin), "rows ", shape_.rows, " n ", shape_.n, " k ", shape_.k, " ",
            dtype_name(shape_.dtype), " epilogue ", static_cast<int>(shape_.epilogue),
            " activation ", static_cast<int>(shape_.activation), " mapped ", shape_.mapped, " at ",
            r, ",", c, ": got ", out_[at], ", expected ", twin.value, " +- ", twin.bound);
    }
  }
  for (size_t i = 0; i < out_.size(); ++i) {
    if (!written[i]) CHECK(out_[i] == before_[i], "an entry outside the result was written, ", i);
  }
}

void try_shape(const Shape& shape, uint64_t seed, int threads = 1) {
  Product product(shape, seed);
  product.run(threads);
  product.check();
  if (shape.epilogue == Epilogue::kStore) product.check_rounded(threads);
}

constexpr Epilogue kEpilogues[] = {Epilogue::kStore, Epilogue::kAdd, Epilogue::kActivate,
                                   Epilogue::kGate};
constexpr Activation kActivations[] = {Activation::kNone, Activation::kRelu, Activation::kGelu,
                                       Activation::kGeluTanh, Activation::kSilu};

void awkward_sizes() {
  const std::vector<int> counts = {1, 2, 3, 7, 11, 17}, few = {3}, others = {17};
  uint64_t seed = 1;
  for (const int n : kSizes) {
    for (const int k : kSizes) {
      for (const DType dtype : kTypes) {
        for (const int rows : !kSanitized ? counts : seed % 2 == 0 ? few : others) {
          ++seed;
          try_shape(
              {rows, n, k, dtype, kEpilogues[seed % 4], kActivations[seed / 4 % 5], seed % 3 == 0},
              seed);
        }
      }
    }
  }
}

void one_to_forty_rows() {
  uint64_t seed = 5000;
  for (int rows = 1; rows <= 40; rows += kSanitized ? 5 : 1) {
    for (const DType dtype : kTypes) {
      for (const Epilogue epilogue : kEpilogues) {
        ++seed;
        try_shape({rows, 150, 37, dtype, epilogue, kActivations[seed % 5], seed % 2 == 0}, seed);
      }
    }
  }
}

void every_activation() {
  uint64_t seed = 9000;
  for (const Activation activation : kActivations) {
    for (const Epilogue epilogue : {Epilogue::kActivate, Epilogue::kGate}) {
      for (const int n : {1, 16, 40, 129}) {
        try_shape({5, n, 33, DType::kF32, epilogue, activation, false}, ++seed);
      }
    }
  }
}

void several_threads() {
  const std::vector<int> counts = {2, 3, 8, 100}, few = {3};
  uint64_t seed = 11000;
  for (const int threads : kSanitized ? few : counts) {
    for (const Epilogue epilogue : kEpilogues) {
      try_shape({40, 257, 257, DType::kF32, epilogue, Activation::kSilu, true}, ++seed, threads);
      try_shape({3, 1000, 100, DType::kBF16, epilogue, Activation::kGelu, false}, ++seed, threads);
      try_shape({70, 301, 131, DType::kInt8, epilogue, Activation::kRelu, true}, ++seed, threads);
    }
  }
}

void inputs_in_two_parts() {
  uint64_t seed = 13000;
  for (const int rows : {1, 2, 5, 6, 7, 13, 30}) {
    for (const int k : {1, 7, 16, 17, 33, 64}) {
      for (const Epilogue epilogue : kEpilogues) {
        try_shape({rows, 70, k, DType::kBF16, epilogue, Activation::kSilu, k % 2 == 0, 2}, ++seed);
      }
    }
  }
}

void no_rows() {
  for (const Epilogue epilogue : kEpilogues) {
    for (const int threads : {1, 4}) {
      try_shape({0, 33, 17, DType::kF32, epilogue, Activation::kRelu, true}, 77, threads);
    }
  }
}

// Padding columns of the last panel are zero in memory; what they hold must not matter.
void padding_of_the_last_panel_is_not_read_into_results() {
  const int n = 17, k = 5;
  TestRandom random(3);
  const std::vector<float> w = random.values(static_cast<size_t>(n) * k);
  const std::vector<float> x = random.values(k);
  const int32_t rows = 1;
  for (const DType dtype : kTypes) {
    const Buffer scratch(gemm_scratch_bytes(1, k, 2, dtype));
    std::vector<float> clean(n), dirty(n);
    for (std::vector<float>* out : {&clean, &dirty}) {
      std::vector<uint8_t> packed(packed_bytes(n, k, dtype, false), out == &clean ? 0 : 0x4b);
      pack_rows(w.data(), 0, n, k, dtype, 0, false, packed.data());
      gemm_cpu({x.data(),
                k,
                {packed.data(), dtype, n, k, false},
                out->data(),
                n,
                Epilogue::kStore,
                Activation::kNone,
                &rows,
                1,
                nullptr,
                nullptr,
                scratch.data()},
               1);
    }
    CHECK(same_bits(clean, dirty), dtype_name(dtype));
  }
}

// Elements of the stored type, wherever they lie, are packed as their values are.
void stored_rows_are_packed_alike() {
  TestRandom random(17);
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const int k : {1, 2, 15, 31, 32, 33, 101}) {
      for (const bool gated : {false, true}) {
        const int n = 75, begin = 5;
        const std::vector<float> values =
            rounded_to(dtype, random.values(static_cast<size_t>(n) * static_cast<size_t>(k)));
        const size_t bytes = dtype_bytes(dtype);
        std::vector<uint8_t> stored(1 + values.size() * bytes);  // off every alignment
        for (size_t i = 0; i < values.size(); ++i) {
          const uint16_t half = float_to_bf16(values[i]);
          const void* element = dtype == DType::kF32 ? static_cast<const void*>(&values[i]) : &half;
          std::memcpy(stored.data() + 1 + i * bytes, element, bytes);
        }
        std::vector<uint8_t> expected(packed_bytes(begin + n, k, dtype, gated), 0x4b);
        std::vector<uint8_t> actual = expected;
        const int which = gated ? 1 : 0;
        pack_rows(values.data(), begin, n, k, dtype, which, gated, expected.data());
        pack_stored_rows(stored.data() + 1, begin, n, k, dtype, which, gated, actual.data());
        CHECK(actual == expected, dtype_name(dtype), " k ", k, " gated ", gated);
        const Matrix matrix = {actual.data(), dtype, begin + n, k, false};
        std::vector<float> row(static_cast<size_t>(k));
        for (int r = 0; !gated && r < n; ++r) {
          unpack_row(matrix, begin + r, row.data());
          CHECK(same_bits(row.data(), values.data() + static_cast<ptrdiff_t>(r) * k, row.size()),
                dtype_name(dtype), " k ", k, " row ", r);
        }
      }
    }
  }
}

float one_product(DType dtype, const std::vector<float>& w, const std::vector<float>& x) {
  const int k = static_cast<int>(x.size());
  const int32_t rows = 1;
  std::vector<uint8_t> packed(packed_bytes(1, k, dtype, false));
  pack_rows(w.data(), 0, 1, k, dtype, 0, false, packed.data());
  const Buffer scratch(gemm_scratch_bytes(1, k, 2, dtype));
  float out = kUntouched;
  gemm_cpu({x.data(),
            k,
            {packed.data(), dtype, 1, k, false},
            &out,
            1,
            Epilogue::kStore,
            Activation::kNone,
            &rows,
            1,
            nullptr,
            nullptr,
            scratch.data()},
           1);
  return out;
}

// The largest sums that int8 can make, with every pairing of signs.
void int8_sums_do_not_overflow() {
  const size_t k = 1 << 17;
  for (const float w : {1.0f, -1.0f}) {
    for (const float x : {1.0f, -1.0f}) {
      const float got =
          one_product(DType::kInt8, std::vector<float>(k, w), std::vector<float>(k, x));
      const double expected = static_cast<double>(w) * x * static_cast<double>(k);
      CHECK_NEAR(static_cast<double>(got), expected, 1e-6 * static_cast<double>(k));
    }
  }
}

// float_to_bf16, by vectors: of ties, of what is not finite, and of what rounds to infinity.
void outputs_are_rounded_as_numbers_are() {
  const float values[] = {0x1.01p0f,
                          0x1.03p0f,
                          -0x1.010002p0f,
                          0x1p-140f,
                          std::numeric_limits<float>::max(),
                          -std::numeric_limits<float>::infinity(),
                          std::numeric_limits<float>::quiet_NaN(),
                          -std::numeric_limits<float>::signaling_NaN()};
  constexpr int kCount = static_cast<int>(std::size(values));
  const std::vector<float> one = {1.0f};
  std::vector<uint8_t> packed(packed_bytes(1, 1, DType::kF32, false));
  pack_rows(one.data(), 0, 1, 1, DType::kF32, 0, false, packed.data());
  uint16_t out[kCount] = {};
  const int32_t rows = kCount;
  const Matrix weight = {packed.data(), DType::kF32, 1, 1, false};
  gemm_cpu({values, 1, weight, out, 1, Epilogue::kStore, Activation::kNone, &rows, kCount, nullptr,
            nullptr, nullptr, nullptr, false, DType::kBF16},
           1);
  for (int i = 0; i < kCount; ++i) {
    const float got = bf16_to_float(out[i]), expected = bf16_to_float(float_to_bf16(values[i]));
    CHECK(std::isnan(values[i]) ? std::isnan(got) : same_bits(&got, &expected, 1), values[i],
          " became ", got);
  }
}

void only_what_is_stored_as_it_is_is_rounded() {
  GemmArgs args = {};
  args.out_dtype = DType::kBF16;
  Program program;
  program.add(args);
  args.epilogue = Epilogue::kAdd;
  CHECK_ERROR(ErrorCode::kConfig, "outputs in bf16", program.add(args));
  args.epilogue = Epilogue::kStore;
  args.out_dtype = DType::kF16;
  CHECK_ERROR(ErrorCode::kConfig, "outputs in f16", program.add(args));
}

void values_that_are_not_finite_are_not_hidden() {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const DType dtype : kTypes) {
    for (const size_t k : {1, 5, 16, 40}) {
      for (size_t bad = 0; bad < k; bad += 3) {
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
  return run_for_every_isa(
      argc, argv,
      {CASE(awkward_sizes), CASE(one_to_forty_rows), CASE(every_activation), CASE(several_threads),
       CASE(inputs_in_two_parts), CASE(no_rows),
       CASE(padding_of_the_last_panel_is_not_read_into_results), CASE(stored_rows_are_packed_alike),
       CASE(int8_sums_do_not_overflow), CASE(outputs_are_rounded_as_numbers_are),
       CASE(only_what_is_stored_as_it_is_is_rounded),
       CASE(values_that_are_not_finite_are_not_hidden)});
}
