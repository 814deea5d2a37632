// One product of the CUDA kernels with everything that it reads and writes, and what it is to be.
#pragma once

#include <algorithm>
#include <cmath>

#include "ops/fragment_matrix.h"
#include "ops/ops_cuda.h"
#include "test/check.h"
#include "test/support/emulated_runs.h"
#include "test/support/reference_ops.h"
#include "test/support/test_random.h"

namespace speccascade::test {

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

inline float rounded(DType dtype, float x) {
  return dtype == DType::kF32   ? x
         : dtype == DType::kF16 ? f16_to_float(float_to_f16(x))
                                : bf16_to_float(float_to_bf16(x));
}

// A row of inputs as products take it, by part.
inline std::vector<std::vector<float>> parts_of_row(const Shape& shape, const float* x) {
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
  void make(int first, int count, int max_rows, DType out_dtype, void* out) const;
  void check_rounded(int max_rows, const std::vector<float>& unrounded) const;
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

inline Product::Product(const Shape& shape, uint64_t seed, double size)
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

inline std::vector<float> Product::run(int first, int count, int max_rows) const {
  std::vector<float> out = before_;
  make(first, count, max_rows, DType::kF32, out.data());
  return out;
}

inline void Product::make(int first, int count, int max_rows, DType out_dtype, void* out) const {
  const int32_t rows = count;
  // What no row of the pass uses is poison.
  std::vector<uint8_t> scratch(
      gemm_scratch_bytes_cuda(max_rows, shape_.k, shape_.parts, shape_.dtype), 0xff);
  std::vector<int32_t> in_rows(in_rows_), out_rows(out_rows_);
  in_rows.erase(in_rows.begin(), in_rows.begin() + first);
  out_rows.erase(out_rows.begin(), out_rows.begin() + first);
  const size_t skipped = shape_.mapped ? 0 : static_cast<size_t>(first);
  char* own =
      static_cast<char*>(out) + skipped * static_cast<size_t>(ldo_) * dtype_bytes(out_dtype);
  gemm_cuda({x_.data() + skipped * static_cast<size_t>(ldx_), ldx_, matrix_.view(), own, ldo_,
             shape_.epilogue, shape_.activation, &rows, max_rows,
             shape_.mapped ? in_rows.data() : nullptr, shape_.mapped ? out_rows.data() : nullptr,
             scratch.data(), nullptr, shape_.one_chain, out_dtype},
            nullptr);
}

inline Twin Product::product(int row, int which, int column) const {
  const int source = shape_.mapped ? in_rows_[static_cast<size_t>(row)] : row;
  const float* x = x_.data() + static_cast<ptrdiff_t>(source) * ldx_;
  const float* w = weights_[which].data() + static_cast<ptrdiff_t>(column) * shape_.k;
  if (shape_.dtype == DType::kInt8) {
    const IntegerRow integers = integer_row(w, shape_.k, shape_.k);
    const std::vector<float> rounded_x = parts_of_row(shape_, x)[0];
    const std::vector<float> exact(integers.values.begin(), integers.values.end());
    return product_twin(dot_twin(rounded_x.data(), exact.data(), shape_.k),
                        {static_cast<double>(integers.scales[0]), 0.0});
  }
  Twin sum;
  for (const std::vector<float>& part : parts_of_row(shape_, x)) {
    sum = sum_twin(sum, dot_twin(part.data(), w, shape_.k));
  }
  return sum;
}

inline Twin Product::expected(int row, int column) const {
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

// What is stored in bf16 is what would be stored, rounded.
inline void Product::check_rounded(int max_rows, const std::vector<float>& unrounded) const {
  const std::vector<uint16_t> untouched(before_.size(), 0x4b4b);
  std::vector<uint16_t> out = untouched;
  make(0, shape_.rows, max_rows, DType::kBF16, out.data());
  for (int r = 0; r < shape_.rows; ++r) {
    for (int c = 0; c < shape_.n; ++c) {
      const float whole = unrounded[place(r, c)];
      CHECK(out[place(r, c)] == float_to_bf16(whole), "rows ", shape_.rows, " n ", shape_.n, " k ",
            shape_.k, " ", dtype_name(shape_.dtype), " mapped ", shape_.mapped, " at ", r, ",", c,
            ": ", whole, " became ", bf16_to_float(out[place(r, c)]));
      out[place(r, c)] = untouched[place(r, c)];
    }
  }
  CHECK(out == untouched, "an entry outside the result was written");
}

inline void Product::check(int max_rows) const {
  if (max_rows == 0) max_rows = shape_.rows;
  std::vector<float> out = run(0, shape_.rows, max_rows);
  if (shape_.epilogue == Epilogue::kStore) check_rounded(max_rows, out);
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

}  // namespace speccascade::test
