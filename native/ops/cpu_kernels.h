// The table of vector kernels of one instruction set, filled by *_simd.cpp.
// Everything here is single-threaded; *_cpu.cpp splits the work.
#pragma once

#include <cstdint>

#include "base/cpu_features.h"
#include "ops/gemm.h"

namespace speccascade {

// Queries that share keys are attended together, so that keys and values are read
// once for all of them.
constexpr int kMaxQueries = 4;

// Heads that are attended together, so that a key's are read from memory as they lie there.
constexpr int kMaxHeads = 8;

// Entries that kernels may write after a query's scores: they write whole vectors.
constexpr int kScoreSlack = 16;

// Keys, or their values: key j's heads start rows[j] * AttendHeads::row_stride entries on.
struct KeyRows {
  const int32_t* rows;  // null: 0, 1, 2, ...
  int count;
};

// Some heads, one beside the other, of a few queries over the same keys and, after those, some of
// each query's own (contract in attention.h).
struct AttendHeads {
  int heads;  // 1 .. kMaxHeads
  int head_dim;
  int num_queries;                  // 1 .. kMaxQueries
  const float* query[kMaxQueries];  // [heads * head_dim] each
  DType dtype;                      // of keys and values: f32 or bf16
  const void* keys;
  const void* values;
  int64_t row_stride;
  KeyRows shared;
  KeyRows own[kMaxQueries];
  const float* bias[kMaxQueries];  // [heads, score_stride], all keys in one row; or null
  float* scores;                   // scratch, [heads, kMaxQueries, score_stride]
  int64_t score_stride;            // all keys of a query + kScoreSlack, or more
  float* out[kMaxQueries];         // [heads * head_dim] each
};

// One head's keys and values of a whole sequence, to be packed for attend_packed.
struct PackHead {
  const float* keys;    // key j starts at keys + j * row_stride
  const float* values;  // likewise
  int64_t row_stride;
  int num_keys;
  int head_dim;
  float* packed_keys;    // [num_keys rounded up to 32, head_dim]
  float* packed_values;  // [num_keys, head_dim rounded up to 32]
};

// Queries that attend_packed needs scores for at once.
constexpr int kPackedQueries = 14;

// One head of queries at consecutive positions over packed keys and values.
struct AttendPacked {
  int num_queries;
  const float* query;  // query r starts at query + r * query_stride
  int64_t query_stride;
  const float* keys;
  const float* values;
  int num_keys;
  int head_dim;
  const float* bias;  // of query r and key j: bias[j - r]
  float* scores;      // scratch, [kPackedQueries, num_keys rounded up to 32]
  float* out;         // [num_queries, head_dim], rows out_stride apart
  int64_t out_stride;
};

// The rows of a product in the type that they are multiplied in.
struct GemmInputs {
  const char* prepared;  // null: the rows of x are read as they are
  size_t stride;         // bytes from one prepared row to the next
  int parts;             // prepared rows per row of x, one after the other
};

struct CpuKernels {
  // Whether rows are rounded to bf16 for weights in bf16.
  bool rounds_inputs;
  // One row of x as products with weights of `dtype` read it, its parts `stride` bytes
  // apart.
  void (*prepare_row)(DType dtype, int parts, const float* x, int k, char* out, size_t stride);
  // Output columns of panels [panel_begin, panel_end) for all rows.
  void (*gemm_panels)(const GemmArgs& args, const GemmInputs& inputs, int rows, int panel_begin,
                      int panel_end);
  // out = x * rsqrt(mean(x^2) + epsilon) * weight * scale
  void (*rms_norm_row)(const float* x, const float* weight, int width, float epsilon, float scale,
                       float* out);
  void (*attend_heads)(const AttendHeads& args);
  void (*pack_head)(const PackHead& args);
  void (*attend_packed)(const AttendPacked& args);
  // Index of the largest entry, the lowest one of equals; *finite is false if any
  // entry is NaN or +infinity (minus infinity is a masked entry).
  int (*argmax)(const float* row, int count, bool* finite);
  // out = e^((x - max) * inverse_temperature) per entry; returns their sum.
  float (*exp_row)(const float* row, int count, float max, float inverse_temperature, float* out);
  float (*sum_row)(const float* row, int count);
  // out = max(0, a - b); returns the sum of out. out may be a or b.
  float (*positive_difference)(const float* a, const float* b, int count, float* out);
  void (*scale_row)(float* row, int count, float factor);
  // Ceilings (ceilings_simd.h).
  int32_t (*read_lines)(const char* data, int64_t lines);
  int64_t (*multiply_add_loop)(DType dtype, const char* data, int64_t steps, float* sink);
};

// The kernels of active_isa().
const CpuKernels& cpu_kernels();

}  // namespace speccascade
