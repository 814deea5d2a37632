// Which lane holds which element of a matrix, as the PTX ISA lays the fragments of m16n8k16 out. A
// lane's word covers two consecutive k:
//
//   A  words 0 .. 3: row group or group + 8, k half 0 or 1     (group = lane / 4)
//   B  words 0, 1: column group, k half 0 or 1
//   C  0, 1: row group, columns 2 (lane % 4) + {0, 1}; 2, 3: row group + 8
#include <cstring>

#include "base/dtype.h"
#include "emulation/cuda_emulation.h"

namespace speccascade::emulation {

namespace {

constexpr int kRows = 16, kColumns = 8, kDepth = 16;

template <Element kElement>
double element_of(uint32_t word, int index) {
  const auto bits = static_cast<uint16_t>(word >> (16 * index));
  return kElement == Element::kBF16 ? bf16_to_float(bits) : f16_to_float(bits);
}

// The depth is summed in double and rounded once; a GPU rounds more often, its results differ in
// the last bits.
template <Element kElement>
void multiply(void* const* offers, uint32_t) {
  double a[kRows][kDepth], b[kDepth][kColumns];
  for (int lane = 0; lane < kWarp; ++lane) {
    const auto& offer = *static_cast<const MmaOffer*>(offers[lane]);
    const int group = lane / 4;
    for (int i = 0; i < 2; ++i) {
      const int k = lane % 4 * 2 + i;
      for (int word = 0; word < 4; ++word) {
        a[group + word % 2 * 8][k + word / 2 * (kDepth / 2)] =
            element_of<kElement>(offer.a[word], i);
      }
      for (int word = 0; word < 2; ++word) {
        b[k + word * (kDepth / 2)][group] = element_of<kElement>(offer.b[word], i);
      }
    }
  }
  for (int lane = 0; lane < kWarp; ++lane) {
    const auto& offer = *static_cast<const MmaOffer*>(offers[lane]);
    for (int c = 0; c < 4; ++c) {
      const int row = lane / 4 + c / 2 * 8, column = lane % 4 * 2 + c % 2;
      double sum = 0.0;
      for (int k = 0; k < kDepth; ++k) sum += a[row][k] * b[k][column];
      offer.sums[c] = static_cast<float>(static_cast<double>(offer.sums[c]) + sum);
    }
  }
}

// Entry k of row `row` of those that a warpgroup's instruction reads. Rows of 128 bytes stand in
// groups of eight; of their addresses the bits 7 to 9, the row's place in its group, change the
// bits 4 to 6, which 16 bytes of the row are meant.
double swizzled_element(const char* rows, int row, int k) {
  const uintptr_t logical = reinterpret_cast<uintptr_t>(rows) +
                            static_cast<uintptr_t>(row / 8 * 1024 + row % 8 * 128 + k * 2);
  const uintptr_t physical = logical ^ (logical >> 3 & 0x70);
  uint16_t bits;
  std::memcpy(&bits, reinterpret_cast<const void*>(physical), sizeof(bits));
  return bf16_to_float(bits);
}

// Lane l has of the 16 rows of A in words 0 .. 3: row l / 4 or 8 on (odd words), k 2 (l % 4) and
// the next, 8 on in words 2 and 3; of D entry 4 j + i: row l / 4 + 8 (i / 2), column 8 j + 2 (l %
// 4) + i % 2 (PTX ISA, wgmma.mma_async, register fragments).
void multiply_warpgroup(void* const* offers, uint32_t) {
  constexpr int kMostColumns = 256;
  const int columns = static_cast<const WarpgroupOffer*>(offers[0])->rows;
  const char* rows = static_cast<const WarpgroupOffer*>(offers[0])->b;
  double a[kRows][kDepth], b[kMostColumns][kDepth];
  for (int lane = 0; lane < kWarp; ++lane) {
    const auto& offer = *static_cast<const WarpgroupOffer*>(offers[lane]);
    for (int e = 0; e < 8; ++e) {
      const int row = lane / 4 + (e / 2 % 2 == 1 ? 8 : 0);
      const int k = lane % 4 * 2 + e % 2 + (e >= 4 ? 8 : 0);
      a[row][k] = element_of<Element::kBF16>(offer.a[e / 2], e % 2);
    }
  }
  for (int c = 0; c < columns; ++c) {
    for (int k = 0; k < kDepth; ++k) b[c][k] = swizzled_element(rows, c, k);
  }
  for (int lane = 0; lane < kWarp; ++lane) {
    const auto& offer = *static_cast<const WarpgroupOffer*>(offers[lane]);
    for (int d = 0; d < columns / 2; ++d) {
      const int row = lane / 4 + d % 4 / 2 * 8, column = d / 4 * 8 + lane % 4 * 2 + d % 2;
      double sum = 0.0;
      for (int k = 0; k < kDepth; ++k) sum += a[row][k] * b[column][k];
      offer.sums[d] = static_cast<float>(static_cast<double>(offer.sums[d]) + sum);
    }
  }
}

struct MatrixRow {
  const void* row;
  uint32_t* out;
};

// A lane's word: two entries of a row in a row or, transposed, of a column.
template <bool kTransposed>
void spread(void* const* offers, uint32_t) {
  for (int lane = 0; lane < kWarp; ++lane) {
    for (int matrix = 0; matrix < 4; ++matrix) {
      uint16_t pair[2];
      for (int i = 0; i < 2; ++i) {
        const int along = lane % 4 * 2 + i, across = lane / 4;
        const int row = kTransposed ? along : across, column = kTransposed ? across : along;
        const auto& source = *static_cast<const MatrixRow*>(offers[matrix * 8 + row]);
        std::memcpy(&pair[i], static_cast<const char*>(source.row) + column * 2, 2);
      }
      std::memcpy(&static_cast<const MatrixRow*>(offers[lane])->out[matrix], pair, 4);
    }
  }
}

}  // namespace

void mma(Element element, const MmaOffer& offer) {
  MmaOffer own = offer;
  meet(0xffffffffu, element == Element::kBF16 ? multiply<Element::kBF16> : multiply<Element::kF16>,
       &own);
}

void warpgroup_mma(const WarpgroupOffer& offer) {
  WarpgroupOffer own = offer;
  meet(0xffffffffu, multiply_warpgroup, &own);
}

void load_matrices(const void* row, uint32_t* out, bool transposed) {
  if (reinterpret_cast<uintptr_t>(row) % 16 != 0)
    stop("unaligned matrix row, lane", place().thread);
  MatrixRow own = {row, out};
  meet(0xffffffffu, transposed ? spread<true> : spread<false>, &own);
}

}  // namespace speccascade::emulation
