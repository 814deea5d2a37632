// Rows of x in the type that they are multiplied in.
#pragma once

#include "ops/gemm_cuda.cuh"
#include "ops/row_ops_cuda.cuh"

namespace speccascade {

constexpr int kPrepareThreads = kNormThreads, kPrepareWarps = kPrepareThreads / kWarpLanes;

struct PrepareShared {
  uint32_t magnitude[kPrepareWarps];
  float squares[kNormBuckets];
};

// Magnitudes as their bits, which order like the values; NaN is above infinity.
SC_DEVICE void take_magnitude(uint32_t& largest, float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof(bits));
  bits &= 0x7fffffffu;
  largest = bits > largest ? bits : largest;
}

SC_DEVICE uint32_t warp_magnitude(uint32_t own) {
  for (int bits = kWarpLanes / 2; bits > 0; bits /= 2) {
    const uint32_t other = shuffle_xor(kAllLanes, own, bits);
    own = other > own ? other : own;
  }
  return own;
}

// The largest of a row.
template <typename Entry>
SC_DEVICE uint32_t magnitude_bits(int k, const Entry& entry) {
  PrepareShared& memory = shared<PrepareShared>();
  if (thread_index() < kPrepareThreads) {
    uint32_t own = 0;
    for (int i = thread_index(); i < k; i += kPrepareThreads) take_magnitude(own, entry(i));
    own = warp_magnitude(own);
    if (lane_index() == 0) memory.magnitude[warp_index()] = own;
  }
  sync_block();
  uint32_t largest = 0;
  for (const uint32_t other : memory.magnitude) largest = other > largest ? other : largest;
  return largest;
}

// What a row is multiplied by before it is rounded, and its products by afterwards.
struct RowScale {
  float before, after;
};

SC_DEVICE float power_of_two(int exponent) {
  const uint32_t bits = static_cast<uint32_t>(exponent + 127) << 23;
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

// Of a row of f16 with that largest magnitude; bf16 needs none.
SC_DEVICE RowScale row_scale(uint32_t bits) {
  if (bits >= 0x7f800000u) return {0.0f, NAN};
  // The largest magnitude comes to lie in [2^14, 2^15), or below if it is tiny.
  const int exponent = 14 - (static_cast<int>(bits >> 23) - 127);
  const int bounded = exponent > 100 ? 100 : exponent;
  return {power_of_two(bounded), power_of_two(-bounded)};
}

// A part of a value in bf16 or f16; the second is what rounding left.
SC_DEVICE uint16_t part_of(DType dtype, int part, float value) {
  const bool bf16 = dtype == DType::kBF16;
  const uint16_t bits = bf16 ? float_to_bf16(value) : float_to_f16(value);
  if (part == 0) return bits;
  const float rest = value - (bf16 ? bf16_to_float(bits) : f16_to_float(bits));
  return bf16 ? float_to_bf16(rest) : float_to_f16(rest);
}

// What a row is multiplied by where it is normalised.
SC_DEVICE float norm_factor(const RmsNormArgs& norm, const float* x) {
  PrepareShared& memory = shared<PrepareShared>();
  bucket_squares(norm, x, memory.squares);
  sync_block();
  return norm_factor(norm, memory.squares);
}

// Entry i of a row before it is scaled and rounded: x, normalised. In bf16, which has the range for
// it, without the row's factor, which its sums are multiplied by: as rows are left (left_rows.h).
SC_DEVICE float unscaled_entry(DType dtype, const RmsNormArgs& norm, float x, float factor, int i) {
  if (norm.x == nullptr) return x;
  return dtype == DType::kBF16 ? x * norm.weight[i] : normalised(norm, x, factor, i);
}

// What sums of a row in bf16 are multiplied by.
SC_DEVICE float sum_factor(const RmsNormArgs& norm, float factor) {
  return norm.x != nullptr ? factor * norm.scale : 1.0f;
}

// A row, by a block of kPrepareThreads or more.
template <typename Type>
SC_DEVICE void prepare_row(const GemmArgs& args, const RmsNormArgs& norm, int row) {
  constexpr DType kType = input_dtype(Type::kType);
  const int k = args.weight.k;
  const int64_t source = args.in_rows ? args.in_rows[row] : row;
  const float* x = norm.x != nullptr ? norm_input(norm, row) : args.x + source * args.ldx;
  const float factor = norm.x != nullptr ? norm_factor(norm, x) : 0.0f;
  const auto entry = [&](int i) { return unscaled_entry(kType, norm, x[i], factor, i); };
  const DeviceInputs inputs = prepared_inputs(args);
  RowScale scale = {1.0f, sum_factor(norm, factor)};
  if constexpr (Type::kScaled) scale = row_scale(magnitude_bits(k, entry));
  if (thread_index() == 0) const_cast<float*>(inputs.factors)[row] = scale.after;
  char* first = const_cast<char*>(inputs.rows) + row * inputs.stride;
  const int padded = static_cast<int>(input_bytes(k, Type::kType) / dtype_bytes(kType));
  for (int i = thread_index(); i < padded; i += block_threads()) {
    const float value = i < k ? entry(i) * scale.before : 0.0f;
    for (int part = 0; part < args.weight.parts; ++part) {
      reinterpret_cast<uint16_t*>(first + part * inputs.part)[i] = part_of(kType, part, value);
    }
  }
}

}  // namespace speccascade
