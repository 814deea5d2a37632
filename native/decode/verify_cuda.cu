#include "base/cuda_launch.h"
#include "decode/decode_cuda.h"
#include "decode/slot_verifier.h"
#include "ops/row_math_cuda.cuh"
#include "ops/sampling_cuda.cuh"

namespace speccascade {

namespace {

// One block per row of the target: its distribution, then pi. Rules are the costly part, and rows
// do not depend on each other.
SC_KERNEL(kMaxRowThreads, 1) row_kernel(DistributionArgs target, VerifyArgs args) {
  wait_for_previous();
  const int r = block_index();
  if (r >= *target.num_rows) return;
  if (target.logits != nullptr) distribute_row(target, r);
  if (args.drafts.reference == nullptr) return;
  sync_block();
  SlotVerifier<BlockMath>(args, target.row_slot[r]).apply_rule(args.logits.node[r]);
}

// One block per slot.
SC_KERNEL(kMaxRowThreads, 1) verify_kernel(VerifyArgs args) {
  wait_for_previous();
  const int slot = block_index();
  if (args.state.active[slot]) SlotVerifier<BlockMath>(args, slot).run();
}

}  // namespace

void verify_cuda(const DistributionArgs& target, const VerifyArgs& args, void* stream) {
  const int threads = row_threads(args.vocabulary);
  launch(waiting(target.max_rows, threads), stream, row_kernel, target, args);
  launch(waiting(args.state.slots, threads), stream, verify_kernel, args);
}

}  // namespace speccascade
