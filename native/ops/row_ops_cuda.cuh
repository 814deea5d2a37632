// What a block makes of one row, for kernels that take operations apart: embedding, RMS norm; and
// what a thread does, places in the cache.
#pragma once

#include <cmath>

#include "base/cuda_intrinsics.h"
#include "ops/decoder_rows.h"
#include "ops/embed.h"
#include "ops/fragment_matrix.h"
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

SC_DEVICE void embed_row(const EmbedArgs& args, int row) {
  const int token = args.tokens[row];
  float* out = args.out + static_cast<int64_t>(row) * args.table.k;
  for (int i = thread_index(); i < args.table.k; i += block_threads()) {
    out[i] = table_element(args.table, token, i);
  }
}

SC_DEVICE void resolve_cache_row(const ResolveCacheRowsArgs& args, int row) {
  const int slot = args.rows.slot[row];
  const int32_t base = slot * args.table.rows_per_slot;
  const int at = args.table.length[slot] + args.rows.node[row];
  args.rows.cache_row[row] = base + args.table.order[base + at];
}

// A row's squares are added by so many threads, whatever a block has beyond them: the order of the
// sum depends on the width alone.
constexpr int kNormThreads = 256;
constexpr int kNormWarps = kNormThreads / kWarpLanes;

SC_DEVICE const float* norm_input(const RmsNormArgs& args, int row) {
  const int64_t source = args.in_rows ? args.in_rows[row] : row;
  return args.x + source * args.width;
}

// The part of this thread's warp, which is one of the first kNormWarps, in all its lanes.
SC_DEVICE float squares_of_warp(const RmsNormArgs& args, const float* x) {
  float own = 0.0f;
  for (int i = thread_index(); i < args.width; i += kNormThreads) own = fmaf(x[i], x[i], own);
  return warp_sum(own);
}

// Of a row with those parts.
SC_DEVICE float norm_factor(const RmsNormArgs& args, const float (&squares)[kNormWarps]) {
  float total = 0.0f;
  for (const float part : squares) total += part;
  return 1.0f / sqrtf(total / static_cast<float>(args.width) + args.epsilon);
}

SC_DEVICE float normalised(const RmsNormArgs& args, float x, float factor, int i) {
  return x * factor * args.weight[i] * args.scale;
}

}  // namespace speccascade
