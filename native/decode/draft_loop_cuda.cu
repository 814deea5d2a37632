#include "base/cuda_launch.h"
#include "decode/decode_cuda.h"
#include "decode/level_draft_cuda.cuh"
#include "decode/slot_threads_cuda.cuh"
#include "ops/persistent_cuda.cuh"
#include "ops/sampling_cuda.cuh"

namespace speccascade {

namespace {

// By the first block.
SC_DEVICE void append_rows(const DraftLoop& loop) {
  if (block_index() != 0) return;
  for (int slot = thread_index(); slot < loop.state.slots; slot += block_threads()) {
    append_drafting_slot(loop.state, loop.sampling, loop.drafter, loop.rows, loop.logits, slot);
  }
}

// The blocks take rows and slots in turns. A function: with the pass around it, it would have too
// few registers.
SC_FUNCTION void distribute_rows(const DraftLoop& loop) {
  for (int row = block_index(); row < *loop.rows.num_logits; row += grid_blocks()) {
    distribute_row(loop.distribution, row);
    sync_block();
  }
}

SC_DEVICE void extend_slots(const DraftLoop& loop) {
  for (int slot = block_index(); slot < loop.state.slots; slot += grid_blocks()) {
    extend_slot(loop.state, loop.sampling, loop.shape, loop.drafter, *loop.rows.num_logits,
                loop.logits, loop.drafts, loop.lengths, slot);
    sync_block();
  }
}

SC_KERNEL(kPersistentThreads, 1) draft_loop_kernel(SC_IN_PLACE DraftLoop loop) {
  for (int round = 0; round < loop.rounds; ++round) {
    append_rows(loop);
    sync_grid(loop.pass.barrier);
    if (*loop.rows.num_rows == 0) return;
    walk_pass<PassTypes::kBf16>(loop.pass);
    distribute_rows(loop);
    sync_grid(loop.pass.barrier);
    extend_slots(loop);
    sync_grid(loop.pass.barrier);
  }
}

}  // namespace

void draft_loop_cuda(const DraftLoop& loop, void* stream) {
  launch({loop.pass.blocks, kPersistentThreads, true}, stream, draft_loop_kernel, loop);
}

bool draft_loop_fits_cuda() { return fits_multiprocessor(draft_loop_kernel, kPersistentThreads); }

}  // namespace speccascade
