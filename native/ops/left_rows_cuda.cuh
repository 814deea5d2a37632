// How operations leave the rows that products read (left_rows.h).
#pragma once

#include "base/cuda_intrinsics.h"
#include "base/dtype.h"
#include "ops/fragment_matrix.h"
#include "ops/left_rows.h"

namespace speccascade {

// The sum over 16 lanes from a multiple of 16 on, the same in all of them.
SC_DEVICE float tile_sum(float value) {
  for (int bits = kTileOutputs / 2; bits > 0; bits /= 2) {
    value += shuffle_xor(kAllLanes, value, bits);
  }
  return value;
}

SC_DEVICE void store_left(const LeftRows& left, int row, int n, float entry) {
  reinterpret_cast<uint16_t*>(left.rows + row * left.stride)[n] =
      static_cast<uint16_t>(bf16_pair(entry, 0.0f));
}

// Columns of a row from the width on, up to a whole step, by so many threads or lanes.
SC_DEVICE void leave_padding(const LeftRows& left, int row, int own, int threads) {
  const int padded = static_cast<int>(left.stride / static_cast<int64_t>(sizeof(uint16_t)));
  for (int n = left.width + own; n < padded; n += threads) store_left(left, row, n, 0.0f);
}

// What entry n of a row is left times.
SC_DEVICE float weight_of_entry(const LeftRows& left, int n) {
  return left.weight != nullptr && n < left.width ? left.weight[n] : 1.0f;
}

// By whole warps, of which 16 lanes hold consecutive entries, from a multiple of 16 on; `there`:
// the row is, though n may be beyond its width; `weight`: weight_of_entry's.
SC_DEVICE void leave_tile(const LeftRows& left, int row, int n, bool there, float value,
                          float weight) {
  if (left.squares != nullptr) {
    const float squares = tile_sum(there && n < left.width ? value * value : 0.0f);
    if (there && n % kTileOutputs == 0) {
      left.squares[static_cast<int64_t>(row) * tiles_of(left.width) + n / kTileOutputs] = squares;
    }
  }
  if (there) store_left(left, row, n, n < left.width ? value * weight : 0.0f);
}

}  // namespace speccascade
