// Rows of inputs in the type that a product multiplies them in, left there by the operation that
// makes them: no launch has to prepare them, and what only such products read is not written in
// f32. On devices, where inputs are rounded to bf16: f16 needs a row's largest entry first.
//
// A norm between the two is divided among them: entries are left times its weight, with the sum of
// squares of every 16 of them, and the product multiplies its sums by the row's factor.
#pragma once

#include <cstdint>

#include "ops/fragment_matrix.h"

namespace speccascade {

// Whether products with weights of that type take such rows.
constexpr bool leaves_rows(DType weight) { return input_dtype(weight) == DType::kBF16; }

// Plain data.
struct LeftRows {
  char* rows = nullptr;           // [max_rows] in bf16, zero up to a whole step; null: nothing
  int64_t stride = 0;             // bytes of a row
  float* squares = nullptr;       // [max_rows, tiles_of(width)]; null: no norm follows
  const float* weight = nullptr;  // of that norm
  int32_t width = 0;
  int32_t alone = 0;  // nothing else reads the entries: they need not be written in f32
};

}  // namespace speccascade
