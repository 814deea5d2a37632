// The operations on CUDA: the contracts are those of each operation's header, all pointers are to
// the device's memory, and work is queued on `stream` (a cudaStream_t). Nothing waits.
//
// Matrices are in their device form (fragment_matrix.h).
#pragma once

#include <cstddef>

#include "ops/attention.h"
#include "ops/backend.h"
#include "ops/decoder_rows.h"
#include "ops/embed.h"
#include "ops/folded_norms.h"
#include "ops/gemm.h"
#include "ops/persistent.h"
#include "ops/program.h"
#include "ops/rms_norm.h"
#include "ops/sampling.h"

namespace speccascade {

// Operations also leave rows for products that read them (left_rows.h), where `leaves` says so.
void embed_cuda(const EmbedArgs& args, const LeftRows& leaves, void* stream);

void rms_norm_cuda(const RmsNormArgs& args, void* stream);

void resolve_cache_rows_cuda(const ResolveCacheRowsArgs& args, void* stream);

// How a product is summed depends on the type and shape of the weight alone:
//
//   f32        k ascending, one fused multiply-add a term
//   one chain  (GemmArgs::one_chain; not f32) all of K is one run, in any number of rows.
//   others     K is split into equal runs of steps (split_of); a run is summed by one chain
//              of matrix instructions with steps ascending, then the runs' sums are added,
//              ascending.
//   bf16, f16  in f32; inputs are rounded to the weight's type, in f16 scaled by a power of two per
//              row, so that no row overflows. In two parts: each step takes the rounded row, then
//              what rounding left. In bf16 the factor of a norm multiplies the sums, so that
//              inputs are rounded before it.
//   int8       as bf16, in one part: the integers are exact there, and a sum is multiplied by its
//              row's factor, then by its column's scale.
//
// A row with a value that is not finite gives values that are not finite. GemmArgs::scratch holds
// gemm_scratch_bytes_cuda.
void gemm_cuda(const GemmArgs& args, void* stream);
// A product of a program. `prepared`: the product queued before had the same inputs, scratch and
// type of weights. Without a norm or rows that are left where weights are of f32.
void gemm_cuda(const FoldedOp& step, bool prepared, void* stream);

// How products of one chain (GemmArgs::one_chain) are made: on warpgroups where the device has code
// for them (compute capability 9.0), else in the tiles of other products. Their bits differ; a
// device has one of them. For tests and benches that compare: of the process, for launches from now
// on; rows_of_block: of warpgroups, 32, 64, 128 or 256, or 0 as the product's size has it.
enum class ChainForm { kByDevice, kPortable, kWarpgroups };
void choose_chains(ChainForm form, int rows_of_block = 0);
bool has_warpgroup_chains();

// Two products that stand side by side, of the same rows that were left and of few of them, such as
// queries with keys and values: in one launch.
bool are_one_launch(const FoldedOp& step, const FoldedOp& other);
void gemm_pair_cuda(const FoldedOp& step, const FoldedOp& other, void* stream);

// Bytes that a product needs for its inputs in the type that it multiplies in. For two parts of a
// program's deepest product they hold the rows that its operations leave, too.
size_t gemm_scratch_bytes_cuda(int max_rows, int k, int parts, DType dtype);

// Heads of at most 128 entries, else ERR_DEVICE. The scratch of the arguments is not used.
//
// The encoder's on matrix instructions: queries and keys in two parts of bf16 each, of whose
// products the least is left out, so that a score is off by 2^-16 of the sum of its terms'
// magnitudes; a weight and a value by 2^-9 each in one part, 2^-17 in two. Sums are in f32, keys in
// tiles from the sequence's first on: a row's bits depend on its sequence alone. A value that is
// not finite makes rows of its own sequence not finite, and of no other.
void encoder_attention_cuda(const EncoderAttentionArgs& args, const LeftRows& leaves, void* stream);
void self_attention_cuda(const SelfAttentionArgs& args, const LeftRows& leaves, void* stream);
void cross_attention_cuda(const CrossAttentionArgs& args, const LeftRows& leaves, void* stream);

// Masses are counted in units of 2^-44 for top-p. Throws ERR_DEVICE for vocabularies of which the
// sums would not hold all (row_filter_cuda.cuh).
void check_vocabulary_cuda(int vocabulary);
void distribution_cuda(const DistributionArgs& args, void* stream);

// Weights of bf16, f16 or int8 that are made rather than read, in their device form: the bits of
// pack_device_rows over the same values.
void fill_random_cuda(const RandomFill& fill, void* stream);

// Queues the whole list, op by op; norms as products read them and rows as operations leave them,
// where that is possible.
void run_cuda(const Program& program, void* stream);
void run_cuda(const std::vector<FoldedOp>& steps, void* stream);

// Walks a pass in one kernel, with the bits of run_cuda.
void run_persistent_cuda(const PersistentPass& pass, void* stream);
// Whether a multiprocessor has room for a block of it.
bool persistent_fits_cuda();

// run() does not wait: who reads results copies them and waits for the stream. Without nvcc its
// device cannot be opened (ERR_DEVICE) and the rest is null.
const Backend& cuda_backend();

}  // namespace speccascade
