#include "ops/packed_matrix.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace speccascade {

namespace {

// Where column n of matrix `which` stands.
struct Place {
  size_t panel;
  int slot;
};

Place place_of(int n, int which, bool gated) {
  const int columns = panel_columns(gated);
  return {static_cast<size_t>(n / columns), n % columns + which * columns};
}

// Elements of one column, in its lines; Element has the size of the stored type.
template <typename Element, typename Convert>
void fill_column(char* panel, int slot, int k, DType dtype, const Convert& convert) {
  const int group = group_of(dtype);
  const int padded = groups_of(k, dtype) * group;
  char* at = panel + static_cast<size_t>(slot * group) * sizeof(Element);
  for (int i = 0; i < padded; i += group, at += kLineBytes) {
    Element members[4] = {};
    for (int j = 0; j < group && i + j < k; ++j) members[j] = convert(i + j);
    std::memcpy(at, members, static_cast<size_t>(group) * sizeof(Element));
  }
}

void pack_int8(const float* row, char* panel, int slot, int k) {
  float largest = 0.0f;
  for (int i = 0; i < k; ++i) largest = std::max(largest, std::fabs(row[i]));
  const float inverse = largest > 1e-30f ? 127.0f / largest : 0.0f;
  int32_t sum = 0;
  fill_column<int8_t>(panel, slot, k, DType::kInt8, [&](int i) {
    const auto value = static_cast<int8_t>(std::nearbyint(row[i] * inverse));
    sum += value;
    return value;
  });
  const float scale = inverse > 0.0f ? largest / 127.0f : 0.0f;
  char* tail = panel + line_bytes(k, DType::kInt8) + static_cast<size_t>(slot) * 4;
  std::memcpy(tail, &scale, sizeof(scale));
  std::memcpy(tail + kLineBytes, &sum, sizeof(sum));
}

}  // namespace

void pack_rows(const float* source, int row_begin, int rows, int k, DType dtype, int which,
               bool gated, void* packed) {
  for (int r = 0; r < rows; ++r) {
    const Place place = place_of(row_begin + r, which, gated);
    char* panel = static_cast<char*>(packed) + place.panel * panel_bytes(k, dtype);
    const float* row = source + static_cast<size_t>(r) * static_cast<size_t>(k);
    if (dtype == DType::kF32) {
      fill_column<float>(panel, place.slot, k, dtype, [&](int i) { return row[i]; });
    } else if (dtype == DType::kBF16) {
      fill_column<uint16_t>(panel, place.slot, k, dtype,
                            [&](int i) { return float_to_bf16(row[i]); });
    } else {
      pack_int8(row, panel, place.slot, k);
    }
  }
}

void unpack_row(const Matrix& matrix, int row, float* out) {
  const Place place = place_of(row, 0, false);
  const char* panel =
      static_cast<const char*>(matrix.data) + place.panel * panel_bytes(matrix.k, matrix.dtype);
  const int group = group_of(matrix.dtype);
  const int element = 4 / group;
  float scale = 1.0f;
  if (matrix.dtype == DType::kInt8) {
    std::memcpy(&scale, panel + line_bytes(matrix.k, matrix.dtype) + place.slot * 4, sizeof(scale));
  }
  for (int i = 0; i < matrix.k; ++i) {
    const char* at = panel + static_cast<size_t>(i / group) * kLineBytes + place.slot * 4 +
                     (i % group) * element;
    if (matrix.dtype == DType::kF32) {
      std::memcpy(&out[i], at, sizeof(float));
    } else if (matrix.dtype == DType::kBF16) {
      uint16_t bits;
      std::memcpy(&bits, at, sizeof(bits));
      out[i] = bf16_to_float(bits);
    } else {
      out[i] = scale * static_cast<float>(static_cast<int8_t>(*at));
    }
  }
}

}  // namespace speccascade
