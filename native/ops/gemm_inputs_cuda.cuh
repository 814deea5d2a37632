// Rows of x in the type that they are multiplied in.
#pragma once

#include "ops/gemm_cuda.cuh"

namespace speccascade {

constexpr int kPrepareThreads = 128;
constexpr float kInt8InputLimit = 32512.0f;  // 127 x 256: the upper part stays a signed byte

struct RowMaximum {
  uint32_t bits[kPrepareThreads / kWarpLanes];
};

// The largest magnitude of a row as its bits, which order like the values; NaN is above infinity.
SC_DEVICE uint32_t magnitude_bits(const float* x, int k) {
  uint32_t own = 0;
  for (int i = thread_index(); i < k; i += kPrepareThreads) {
    uint32_t bits;
    memcpy(&bits, &x[i], sizeof(bits));
    bits &= 0x7fffffffu;
    own = bits > own ? bits : own;
  }
  for (int bits = kWarpLanes / 2; bits > 0; bits /= 2) {
    const uint32_t other = shuffle_xor(kAllLanes, own, bits);
    own = other > own ? other : own;
  }
  RowMaximum& maximum = shared<RowMaximum>();
  if (lane_index() == 0) maximum.bits[warp_index()] = own;
  sync_block();
  for (const uint32_t other : maximum.bits) own = other > own ? other : own;
  return own;
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

SC_DEVICE RowScale row_scale(DType dtype, const float* x, int k) {
  if (dtype == DType::kBF16) return {1.0f, 1.0f};
  const uint32_t bits = magnitude_bits(x, k);
  if (bits >= 0x7f800000u) return {0.0f, NAN};
  float largest;
  memcpy(&largest, &bits, sizeof(largest));
  if (dtype == DType::kInt8) {
    if (!(largest > 1e-30f)) return {0.0f, 0.0f};
    return {kInt8InputLimit / largest, largest / kInt8InputLimit};
  }
  // The largest magnitude comes to lie in [2^14, 2^15), or below if it is tiny.
  const int exponent = 14 - (static_cast<int>(bits >> 23) - 127);
  const int bounded = exponent > 100 ? 100 : exponent;
  return {power_of_two(bounded), power_of_two(-bounded)};
}

// One block per row of the pass.
SC_KERNEL(kPrepareThreads) prepare_kernel(GemmArgs args, int parts) {
  const int row = block_index();
  if (row >= *args.num_rows) return;
  const int k = args.weight.k;
  const DType dtype = args.weight.dtype;
  const int64_t source = args.in_rows ? args.in_rows[row] : row;
  const float* x = args.x + source * args.ldx;
  const DeviceInputs inputs = inputs_of(args, parts);
  const RowScale scale = row_scale(dtype, x, k);
  if (thread_index() == 0) const_cast<float*>(inputs.factors)[row] = scale.after;
  char* first = const_cast<char*>(inputs.prepared) + row * inputs.stride;
  char* second = first + inputs.part;
  const int padded = static_cast<int>(inputs.stride / static_cast<int64_t>(dtype_bytes(dtype)));
  for (int i = thread_index(); i < padded; i += kPrepareThreads) {
    const float value = i < k ? x[i] * scale.before : 0.0f;
    if (dtype == DType::kInt8) {
      const int whole = static_cast<int>(rintf(value));
      const int upper = (whole + 128) >> 8;
      first[i] = static_cast<char>(upper);
      second[i] = static_cast<char>(whole - 256 * upper);
      continue;
    }
    const bool bf16 = dtype == DType::kBF16;
    const uint16_t bits = bf16 ? float_to_bf16(value) : float_to_f16(value);
    reinterpret_cast<uint16_t*>(first)[i] = bits;
    if (parts == 2) {
      const float rest = value - (bf16 ? bf16_to_float(bits) : f16_to_float(bits));
      reinterpret_cast<uint16_t*>(second)[i] = bf16 ? float_to_bf16(rest) : float_to_f16(rest);
    }
  }
}

}  // namespace speccascade
