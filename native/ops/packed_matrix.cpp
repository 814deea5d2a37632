#include "ops/packed_matrix.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

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

// Words of a row that are placed together: a cache line of it.
constexpr int kWordBlock = 16;

// lines[i][slot + r] = word i of row r, a line being kPanel words. Rows of `stride`
// bytes, at no particular alignment.
void place_words(const char* rows, size_t stride, int count, int words, uint32_t* lines, int slot) {
  for (int block = 0; block < words; block += kWordBlock) {
    const int end = std::min(block + kWordBlock, words);
    for (int r = 0; r < count; ++r) {
      const char* row = rows + static_cast<size_t>(r) * stride;
      for (int i = block; i < end; ++i) {
        std::memcpy(lines + i * kPanel + slot + r, row + static_cast<size_t>(i) * 4, 4);
      }
    }
  }
}

// Where rows of one matrix go, as columns of its panels.
class Packing {
 public:
  Packing(int k, DType dtype, int which, bool gated, void* packed)
      : k_(k), dtype_(dtype), which_(which), gated_(gated), packed_(static_cast<char*>(packed)) {}

  // As many of the rows [n, n + rows) as share a panel.
  int run(int n, int rows) const {
    const int columns = panel_columns(gated_);
    return std::min(rows, columns - n % columns);
  }
  void place(const char* source, size_t stride, int n, int rows, int words) const {
    const Place place = place_of(n, which_, gated_);
    auto* lines = reinterpret_cast<uint32_t*>(panel(place));
    place_words(source, stride, rows, words, lines, place.slot);
  }
  void word(int n, int line, uint32_t value) const {
    const Place place = place_of(n, which_, gated_);
    std::memcpy(
        panel(place) + static_cast<size_t>(line) * kLineBytes + static_cast<size_t>(place.slot) * 4,
        &value, sizeof(value));
  }
  void scale(int n, float scale) const {
    const Place place = place_of(n, which_, gated_);
    char* scales = panel(place) + line_bytes(k_, dtype_);
    std::memcpy(scales + static_cast<size_t>(place.slot) * 4, &scale, sizeof(scale));
  }

 private:
  char* panel(const Place& place) const { return packed_ + place.panel * panel_bytes(k_, dtype_); }

  int k_;
  DType dtype_;
  int which_;
  bool gated_;
  char* packed_;
};

// A row as bytes 128 too large; returns its scale.
float quantize(const float* row, int k, uint8_t* out) {
  const ByteScale by = byte_scale(row, k);
  for (int i = 0; i < k; ++i) out[i] = static_cast<uint8_t>(by.integer(row[i]) + 128);
  return by.scale;
}

}  // namespace

int ByteScale::integer(float entry) const {
  return inverse == 0.0f ? 0 : static_cast<int>(std::nearbyint(entry * inverse));
}

ByteScale byte_scale(const float* row, int k) {
  float largest = 0.0f, poison = 0.0f;
  for (int i = 0; i < k; ++i) {
    largest = std::max(largest, std::fabs(row[i]));
    poison += row[i] * 0.0f;  // NaN if an entry is not finite
  }
  if (poison != 0.0f) return {0.0f, poison};
  if (!(largest > 1e-30f)) return {0.0f, 0.0f};
  return {127.0f / largest, largest / 127.0f};
}

void pack_rows(const float* source, int row_begin, int rows, int k, DType dtype, int which,
               bool gated, void* packed) {
  const Packing packing(k, dtype, which, gated, packed);
  const size_t width = static_cast<size_t>(k);
  if (dtype == DType::kF32) {
    return pack_stored_rows(source, row_begin, rows, k, dtype, which, gated, packed);
  }
  const int words = groups_of(k, dtype);
  const size_t stride = static_cast<size_t>(words) * 4;
  std::vector<char> stored(stride * kPanel);
  for (int done = 0, count; done < rows; done += count) {
    count = packing.run(row_begin + done, rows - done);
    for (int r = 0; r < count; ++r) {
      const float* row = source + static_cast<size_t>(done + r) * width;
      char* out = stored.data() + static_cast<size_t>(r) * stride;
      if (dtype == DType::kInt8) {
        packing.scale(row_begin + done + r, quantize(row, k, reinterpret_cast<uint8_t*>(out)));
      } else {
        auto* halves = reinterpret_cast<uint16_t*>(out);
        for (int i = 0; i < k; ++i) halves[i] = float_to_bf16(row[i]);
      }
    }
    packing.place(stored.data(), stride, row_begin + done, count, words);
  }
}

void pack_stored_rows(const void* source, int row_begin, int rows, int k, DType dtype, int which,
                      bool gated, void* packed) {
  const Packing packing(k, dtype, which, gated, packed);
  const size_t stride = static_cast<size_t>(k) * dtype_bytes(dtype);
  const int whole = static_cast<int>(stride / 4);
  for (int done = 0, count; done < rows; done += count) {
    count = packing.run(row_begin + done, rows - done);
    const char* first = static_cast<const char*>(source) + static_cast<size_t>(done) * stride;
    packing.place(first, stride, row_begin + done, count, whole);
    if (stride % 4 == 0) continue;
    // A depth that ends inside a word.
    for (int r = 0; r < count; ++r) {
      uint32_t last = 0;
      std::memcpy(&last, first + static_cast<size_t>(r) * stride + static_cast<size_t>(whole) * 4,
                  stride % 4);
      packing.word(row_begin + done + r, whole, last);
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
      out[i] = scale * static_cast<float>(static_cast<int>(static_cast<uint8_t>(*at)) - 128);
    }
  }
}

}  // namespace speccascade
