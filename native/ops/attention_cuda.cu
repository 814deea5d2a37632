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

// Blocks that a GPU has room for at once, about; with no more of them, sharing what rows read would
// make them wait for each other.
constexpr int kOneWave = 512;

// A block per row and head; where that is more than one wave, rows of a slot whose nodes have the
// same place but for the last ones are one block's, that of the first of them.
template <int kEntries, typename Entry>
SC_KERNEL(kAttentionThreads, kAttentionBlocks<kEntries, kRowsTogether<kEntries>>)
shared_cross_kernel(CrossAttentionArgs args, LeftRows leaves) {
  constexpr int kRows = kRowsTogether<kEntries>;
  const DecoderRows& rows = args.rows;
  const int row = block_index() / args.heads, head = block_index() % args.heads;
  wait_for_previous();
  // All asked for together: of the row before, of this one and of those behind it.
  int slot[kRows + 1], node[kRows + 1];
  SC_UNROLL
  for (int i = 0; i <= kRows; ++i) {
    int at = row + i - 1;
    at = at < 0 ? 0 : at < rows.max_rows ? at : rows.max_rows - 1;
    slot[i] = read_now(rows.slot + at);
    node[i] = read_now(rows.node + at);
  }
  const int num_rows = *rows.num_rows;
  if (row >= num_rows) return;
  const bool alone = num_rows * args.heads <= kOneWave;
  const auto belongs = [&](int i) {
    return !alone && slot[i] == slot[1] && node[i] / kRows == node[1] / kRows;
  };
  if (row > 0 && belongs(0)) return;
  int count = 1;
  SC_UNROLL
  for (int i = 2; i <= kRows; ++i) {
    if (count == i - 1 && row + count < num_rows && belongs(i)) count = i;
  }
  if (count == 1) return attend_encoded<kEntries, 1, Entry>(args, leaves, slot[1], row, 1, head);
  attend_encoded<kEntries, kRows, Entry>(args, leaves, slot[1], row, count, head);
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

namespace {

template <typename Entry>
void launch_cross(const CrossAttentionArgs& args, const LeftRows& leaves, void* stream) {
  const int rows = args.rows.max_rows;
  if (args.rows.max_nodes > 1 && int64_t{rows} * args.heads > kOneWave) {
    return launch_heads(shared_cross_kernel<kNarrowHead, Entry>,
                        shared_cross_kernel<kWideHead, Entry>, args, leaves, rows, stream);
  }
  launch_heads(cross_kernel<kNarrowHead, Entry>, cross_kernel<kWideHead, Entry>, args, leaves, rows,
               stream);
}

}  // namespace

void cross_attention_cuda(const CrossAttentionArgs& args, const LeftRows& leaves, void* stream) {
  if (args.cache_dtype == DType::kBF16) return launch_cross<uint16_t>(args, leaves, stream);
  launch_cross<float>(args, leaves, stream);
}

}  // namespace speccascade
