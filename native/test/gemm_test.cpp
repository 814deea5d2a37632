// gemm and its packed weights against the plain product, over sizes that are multiples of nothing,
// every epilogue, both weight types, row maps, and no rows at all.
#include "ops/gemm.h"

#include <algorithm>

#include "test/check.h"
#include "test/support/isa_runs.h"
#include "test/support/reference_ops.h"
#include "test/support/test_random.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

constexpr int kSizes[] = {1, 2, 3, 15, 16, 17, 31, 33, 40, 100, 257};
constexpr float kUntouched = -12345.0f;

struct Shape {
  int rows, n, k;
  DType dtype;
  Epilogue epilogue;
  Activation activation;
  bool mapped;  // rows go through in_rows and out_rows, with strides wider than the rows
};

// One product with everything it reads and writes.
class Product {
 public:
  Product(const Shape& shape, uint64_t seed);
  void run(int threads);
  void check() const;

 private:
  Twin expected(int row, int column) const;

  Shape shape_;
  bool gated_;
  int ldx_, ldo_;
  std::vector<float> weights_[2];  // as the matrix holds them
  std::vector<uint8_t> packed_;
  std::vector<float> x_, before_, out_;
  std::vector<int32_t> in_rows_, out_rows_;
};

Product::Product(const Shape& shape, uint64_t seed)
    : shape_(shape), gated_(shape.epilogue == Epilogue::kGate) {
  TestRandom random(seed);
  const int matrices = gated_ ? 2 : 1;
  const size_t n = static_cast<size_t>(shape.n), k = static_cast<size_t>(shape.k);
  packed_.assign(packed_bytes(shape.n, shape.k, shape.dtype, matrices), 0);
  for (int which = 0; which < matrices; ++which) {
    const std::vector<float> source = random.values(n * k);
    weights_[which] = rounded_to(shape.dtype, source);
    // In two parts, as stacked tensors are.
    const int split = shape.n / 3;
    pack_rows(source.data(), 0, split, shape.k, shape.dtype, which, matrices, packed_.data());
    pack_rows(source.data() + static_cast<size_t>(split) * k, split, shape.n - split, shape.k,
              shape.dtype, which, matrices, packed_.data());
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
}

void Product::run(int threads) {
  const int32_t rows = shape_.rows;
  const Matrix weight = {packed_.data(), shape_.dtype, shape_.n, shape_.k, gated_};
  gemm_cpu({x_.data(), ldx_, weight, out_.data(), ldo_, shape_.epilogue, shape_.activation, &rows,
            shape_.rows, shape_.mapped ? in_rows_.data() : nullptr,
            shape_.mapped ? out_rows_.data() : nullptr},
           threads);
}

Twin Product::expected(int row, int column) const {
  const int source = shape_.mapped ? in_rows_[static_cast<size_t>(row)] : row;
  const int target = shape_.mapped ? out_rows_[static_cast<size_t>(row)] : row;
  const float* x = x_.data() + static_cast<ptrdiff_t>(source) * ldx_;
  const ptrdiff_t at = static_cast<ptrdiff_t>(column) * shape_.k;
  const Twin product = dot_twin(x, weights_[0].data() + at, shape_.k);
  switch (shape_.epilogue) {
    case Epilogue::kStore:
      return product;
    case Epilogue::kAdd: {
      const ptrdiff_t old = static_cast<ptrdiff_t>(target) * ldo_ + column;
      return sum_twin(product, {static_cast<double>(before_[static_cast<size_t>(old)]), 0.0});
    }
    case Epilogue::kActivate:
      return activation_twin(shape_.activation, product);
    case Epilogue::kGate:
      return product_twin(activation_twin(shape_.activation, product),
                          dot_twin(x, weights_[1].data() + at, shape_.k));
  }
  return product;
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
}

constexpr Epilogue kEpilogues[] = {Epilogue::kStore, Epilogue::kAdd, Epilogue::kActivate,
                                   Epilogue::kGate};
constexpr Activation kActivations[] = {Activation::kNone, Activation::kRelu, Activation::kGelu,
                                       Activation::kGeluTanh, Activation::kSilu};

void awkward_sizes() {
  uint64_t seed = 1;
  for (const int n : kSizes) {
    for (const int k : kSizes) {
      for (const DType dtype : {DType::kF32, DType::kBF16}) {
        for (const int rows : {1, 2, 3, 7, 11, 17}) {
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
  for (int rows = 1; rows <= 40; ++rows) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
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
  uint64_t seed = 11000;
  for (const int threads : {2, 3, 8, 100}) {
    for (const Epilogue epilogue : kEpilogues) {
      try_shape({40, 257, 257, DType::kF32, epilogue, Activation::kSilu, true}, ++seed, threads);
      try_shape({3, 1000, 100, DType::kBF16, epilogue, Activation::kGelu, false}, ++seed, threads);
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
  std::vector<float> clean(n), dirty(n);
  for (std::vector<float>* out : {&clean, &dirty}) {
    std::vector<float> packed(packed_bytes(n, k, DType::kF32, 1) / sizeof(float),
                              out == &clean ? 0.0f : 1e30f);
    pack_rows(w.data(), 0, n, k, DType::kF32, 0, 1, packed.data());
    gemm_cpu({x.data(),
              k,
              {packed.data(), DType::kF32, n, k, false},
              out->data(),
              n,
              Epilogue::kStore,
              Activation::kNone,
              &rows,
              1,
              nullptr,
              nullptr},
             1);
  }
  CHECK(same_bits(clean, dirty));
}

}  // namespace

int main(int argc, char** argv) {
  return run_for_every_isa(
      argc, argv,
      {CASE(awkward_sizes), CASE(one_to_forty_rows), CASE(every_activation), CASE(several_threads),
       CASE(no_rows), CASE(padding_of_the_last_panel_is_not_read_into_results)});
}
