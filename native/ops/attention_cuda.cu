#include "ops/attention_cuda.cuh"

#include "base/cuda_launch.h"
#include "ops/ops_cuda.h"

namespace speccascade {

namespace {

template <int kEntries>
SC_KERNEL(kAttentionThreads, kAttentionBlocks<kEntries>)
encoder_kernel(EncoderAttentionArgs args, LeftRows leaves) {
  wait_for_previous();
  const int row = block_index() / args.heads;
  if (row < *args.num_rows) attend_source<kEntries>(args, leaves, row, block_index() % args.heads);
}

template <int kEntries, typename Entry>
SC_KERNEL(kAttentionThreads, kAttentionBlocks<kEntries>)
self_kernel(SelfAttentionArgs args, LeftRows leaves) {
  const int row = block_index() / args.heads, head = block_index() % args.heads;
  wait_for_previous();
  attend_own<kEntries, Entry>(args, leaves, row, head);
}

template <int kEntries, typename Entry>
SC_KERNEL(kAttentionThreads, kAttentionBlocks<kEntries>)
cross_kernel(CrossAttentionArgs args, LeftRows leaves) {
  const int row = block_index() / args.heads, head = block_index() % args.heads;
  wait_for_previous();
  attend_encoded<kEntries, Entry>(args, leaves, row, head);
}

void check_heads(int head_dim) {
  if (head_dim <= kMaxHeadDim) return;
  fail(ErrorCode::kDevice, "attention heads of ", head_dim, " entries: CUDA takes at most ",
       kMaxHeadDim);
}

// The kernel for heads of this size.
template <typename Kernel, typename Args>
void launch_heads(Kernel* narrow, Kernel* wide, const Args& args, const LeftRows& leaves,
                  int max_rows, void* stream) {
  check_heads(args.head_dim);
  const bool fits = args.head_dim <= kMaxHeadDim / 2;
  launch(waiting(max_rows * args.heads, kAttentionThreads), stream, fits ? narrow : wide, args,
         leaves);
}

// A sequence may have all rows of its pass, and the kernel numbers its entries in 32 bits.
void check_entries(const EncoderAttentionArgs& args) {
  const int64_t entries = int64_t{3} * args.heads * args.head_dim * args.max_rows;
  if (entries <= int64_t{UINT32_MAX}) return;
  fail(ErrorCode::kDevice, "encoder rows: at most ", UINT32_MAX / (3 * args.heads * args.head_dim),
       " in one pass on a GPU, received ", args.max_rows);
}

}  // namespace

void encoder_attention_cuda(const EncoderAttentionArgs& args, const LeftRows& leaves,
                            void* stream) {
  if (args.parts > 0) {
    check_heads(args.head_dim);
    check_entries(args);
    return encoder_matrix_attention_cuda(args, leaves, stream);
  }
  launch_heads(encoder_kernel<kNarrowHead>, encoder_kernel<kWideHead>, args, leaves, args.max_rows,
               stream);
}

void self_attention_cuda(const SelfAttentionArgs& args, const LeftRows& leaves, void* stream) {
  const int rows = args.rows.max_rows;
  if (args.cache_dtype == DType::kBF16) {
    return launch_heads(self_kernel<kNarrowHead, uint16_t>, self_kernel<kWideHead, uint16_t>, args,
                        leaves, rows, stream);
  }
  launch_heads(self_kernel<kNarrowHead, float>, self_kernel<kWideHead, float>, args, leaves, rows,
               stream);
}

void cross_attention_cuda(const CrossAttentionArgs& args, const LeftRows& leaves, void* stream) {
  const int rows = args.rows.max_rows;
  if (args.cache_dtype == DType::kBF16) {
    return launch_heads(cross_kernel<kNarrowHead, uint16_t>, cross_kernel<kWideHead, uint16_t>,
                        args, leaves, rows, stream);
  }
  launch_heads(cross_kernel<kNarrowHead, float>, cross_kernel<kWideHead, float>, args, leaves, rows,
               stream);
}

}  // namespace speccascade
