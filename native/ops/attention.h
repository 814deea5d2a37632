// attention: out[r, h, :] = sum_j softmax_j( q[r,h,:] . k[j,h,:] + bias[h, j - pos(r)] ) v[j,h,:]
//
// T5 does not scale the products and keys carry no position. Three forms, by
// what a row's keys are:
//
//   encoder  all rows of the row's own sequence, bias bidirectional
//   self     the decoder's cache: the sequence's committed positions 0 .. length-1
//            and then the row's uncommitted ancestors, itself included
//   cross    the encoder keys of the row's source, no bias
//
// Keys are visited by position, and a key has the same value whether it was
// committed earlier or computed in this step: a row has the same bits when it is
// decoded alone, verified in a chain, or verified in a tree.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"
#include "ops/decoder_rows.h"

namespace speccascade {

// Bytes of scratch for attention of decoder rows over at most `max_keys` keys each, on
// at most `threads` threads; for that of encoder rows.
size_t attention_scratch_bytes(int max_keys, int threads);
size_t encoder_attention_scratch_bytes(int max_keys, int head_dim, int threads);

struct EncoderAttentionArgs {
  const float* qkv;   // [rows, 3 * heads * head_dim]: queries, keys, values
  float* out;         // [rows, heads * head_dim]
  const float* bias;  // [heads, bias_columns(max_distance)]
  int max_distance;
  int heads;
  int head_dim;
  const int32_t* num_rows;
  const int32_t* row_sequence;  // [rows]
  const int32_t* offsets;       // [sequences + 1] first row of each sequence
  int max_rows;                 // of the pass: one sequence may have them all
  void* scratch;                // encoder_attention_scratch_bytes(max_rows, head_dim, threads)
  int max_sequences;
  // On CUDA: 0: in f32; else on matrix instructions, with the softmax and the values in one part of
  // bf16 or in two (ops_cuda.h).
  int parts;
};

struct SelfAttentionArgs {
  const float* query;  // [rows, heads * head_dim]
  const void* cache;   // [slots * cache_rows, 2 * heads * head_dim]: key, value
  DType cache_dtype;   // f32 or bf16
  float* out;          // [rows, heads * head_dim]
  const float* bias;   // [heads, bias_columns(max_distance)]
  int max_distance;
  int heads;
  int head_dim;
  DecoderRows rows;
  CacheTable table;
  void* scratch;  // attention_scratch_bytes(table.rows_per_slot, threads)
};

struct CrossAttentionArgs {
  const float* query;  // [rows, heads * head_dim]
  const void* cache;   // [sources * max_source, 2 * heads * head_dim]: key, value
  DType cache_dtype;   // f32 or bf16
  float* out;          // [rows, heads * head_dim]
  int heads;
  int head_dim;
  int max_source;
  DecoderRows rows;
  const int32_t* slot_source;    // [slots] which encoder pass a slot reads
  const int32_t* source_length;  // [sources]
  void* scratch;                 // attention_scratch_bytes(max_source, threads)
};

void encoder_attention_cpu(const EncoderAttentionArgs& args, int threads);
void self_attention_cpu(const SelfAttentionArgs& args, int threads);
void cross_attention_cpu(const CrossAttentionArgs& args, int threads);

}  // namespace speccascade
