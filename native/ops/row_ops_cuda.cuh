// What a block makes of one row, for kernels that take operations apart: embedding, RMS norm; and
// what a thread does, places in the cache.
#pragma once

#include <cmath>

#include "base/cuda_intrinsics.h"
#include "ops/decoder_rows.h"
#include "ops/embed.h"
#include "ops/fragment_matrix.h"
#include "ops/left_rows_cuda.cuh"
#include "ops/rms_norm.h"

namespace speccascade {

SC_DEVICE float table_element(const Matrix& table, int row, int i) {
  const char* data = static_cast<const char*>(table.data);
  if (table.dtype == DType::kF32) {
    const auto* panel = reinterpret_cast<const float*>(data) +
                        static_cast<int64_t>(row / kPanel) * table.k * kPanel;
    return panel[static_cast<int64_t>(i) * kPanel + row % kPanel];
  }
  const char* at = data + element_offset(row, i, 0, table.k, table.dtype, false);
  if (table.dtype == DType::kInt8) {
    const char* scale = data + scale_offset(row, 0, table.n, table.k, false);
    return *reinterpret_cast<const float*>(scale) *
           static_cast<float>(*reinterpret_cast<const int8_t*>(at));
  }
  const uint16_t bits = *reinterpret_cast<const uint16_t*>(at);
  return table.dtype == DType::kBF16 ? bf16_to_float(bits) : f16_to_float(bits);
}

SC_DEVICE void embed_row(const EmbedArgs& args, const LeftRows& leaves, int row) {
  const int token = args.tokens[row], width = args.table.k;
  float* out = args.out + static_cast<int64_t>(row) * width;
  const int tiles = tiles_of(width) * kTileOutputs;
  for (int begin = 0; begin < tiles; begin += block_threads()) {
    const int i = begin + thread_index();
    const float value = i < width ? table_element(args.table, token, i) : 0.0f;
    if (i < width) out[i] = value;
    if (leaves.rows != nullptr)
      leave_tile(leaves, row, i, i < tiles, value, weight_of_entry(leaves, i));
  }
}

SC_DEVICE void resolve_cache_row(const ResolveCacheRowsArgs& args, int row) {
  const int slot = args.rows.slot[row];
  const int32_t base = slot * args.table.rows_per_slot;
  const int at = args.table.length[slot] + args.rows.node[row];
  args.rows.cache_row[row] = base + args.table.order[base + at];
}

// A row's squares are added tile by tile, 16 of them at once; tiles go into so many buckets in
// turns, ascending, and these are added in order. So the sum depends on the width alone, and is the
// same whether a block makes it of a row or the rows' tiles were left (left_rows.h).
constexpr int kNormBuckets = 16;
constexpr int kNormThreads = kNormBuckets * kTileOutputs;

SC_DEVICE const float* norm_input(const RmsNormArgs& args, int row) {
  const int64_t source = args.in_rows ? args.in_rows[row] : row;
  return args.x + source * args.width;
}

// By a block's first kNormThreads, into `squares`.
SC_DEVICE void bucket_squares(const RmsNormArgs& args, const float* x,
                              float (&squares)[kNormBuckets]) {
  if (thread_index() >= kNormThreads) return;
  float own = 0.0f;
  for (int begin = 0; begin < args.width; begin += kNormThreads) {
    const int i = begin + thread_index();
    const float value = i < args.width ? x[i] : 0.0f;
    own += tile_sum(value * value);
  }
  const int bucket = thread_index() / kTileOutputs;
  if (thread_index() % kTileOutputs == 0) squares[bucket] = own;
}

SC_DEVICE float factor_of_squares(float total, int width, float epsilon) {
  // 1 / sqrt(total / width + epsilon), without a division.
  const auto count = static_cast<float>(width);
  return inverse_root(total + epsilon * count) * sqrtf(count);
}

// Of a row with those buckets.
SC_DEVICE float norm_factor(const RmsNormArgs& args, const float (&squares)[kNormBuckets]) {
  float total = 0.0f;
  for (const float bucket : squares) total += bucket;
  return factor_of_squares(total, args.width, args.epsilon);
}

SC_DEVICE float normalised(const RmsNormArgs& args, float x, float factor, int i) {
  return x * factor * args.weight[i] * args.scale;
}

}  // namespace speccascade
