#include "ops/fragment_matrix.h"

#include <cstring>

namespace speccascade {

namespace {

void pack_int8_row(const float* row, int n, int total_n, int k, int which, bool gated, char* out) {
  const ByteScale by = byte_scale(row, k);
  for (int i = 0; i < k; ++i) {
    const auto value = static_cast<int8_t>(by.integer(row[i]));
    std::memcpy(out + element_offset(n, i, which, k, DType::kInt8, gated), &value, 1);
  }
  std::memcpy(out + scale_offset(n, which, total_n, k, gated), &by.scale, sizeof(by.scale));
}

}  // namespace

size_t device_matrix_bytes(int n, int k, DType dtype, bool gated) {
  if (dtype == DType::kF32) return packed_bytes(n, k, dtype, gated);
  const size_t scales = dtype != DType::kInt8 ? 0
                                              : static_cast<size_t>(tiles_of(n)) * (gated ? 2 : 1) *
                                                    kTileOutputs * sizeof(float);
  return fragments_bytes(n, k, dtype, gated) + scales;
}

void pack_device_rows(const float* source, int row_begin, int rows, int n, int k, DType dtype,
                      int which, bool gated, void* packed) {
  if (dtype == DType::kF32) {
    return pack_rows(source, row_begin, rows, k, dtype, which, gated, packed);
  }
  char* out = static_cast<char*>(packed);
  for (int r = 0; r < rows; ++r) {
    const float* row = source + static_cast<size_t>(r) * static_cast<size_t>(k);
    const int output = row_begin + r;
    if (dtype == DType::kInt8) {
      pack_int8_row(row, output, n, k, which, gated, out);
      continue;
    }
    for (int i = 0; i < k; ++i) {
      const uint16_t bits = dtype == DType::kBF16 ? float_to_bf16(row[i]) : float_to_f16(row[i]);
      std::memcpy(out + element_offset(output, i, which, k, dtype, gated), &bits, sizeof(bits));
    }
  }
}

}  // namespace speccascade
