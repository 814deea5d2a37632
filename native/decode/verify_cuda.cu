#include "base/cuda_launch.h"
#include "decode/decode_cuda.h"
#include "decode/slot_verifier.h"
#include "ops/row_math_cuda.cuh"

namespace speccascade {

namespace {

// One block per row of every slot that may be drafted: rules are the costly part, and their rows do
// not depend on each other.
SC_KERNEL(kMaxRowThreads) rule_kernel(VerifyArgs args) {
  const int rows = args.state.max_nodes + 1;
  const int slot = block_index() / rows, node = block_index() % rows - 1;
  if (args.state.active[slot]) SlotVerifier<BlockMath>(args, slot).apply_rule(node);
}

// One block per slot.
SC_KERNEL(kMaxRowThreads, 1) verify_kernel(VerifyArgs args) {
  const int slot = block_index();
  if (args.state.active[slot]) SlotVerifier<BlockMath>(args, slot).run();
}

}  // namespace

void verify_cuda(const VerifyArgs& args, void* stream) {
  const int threads = row_threads(args.vocabulary), slots = args.state.slots;
  if (args.drafts.reference != nullptr) {
    launch({slots * (args.state.max_nodes + 1), threads}, stream, rule_kernel, args);
  }
  launch({slots, threads}, stream, verify_kernel, args);
}

}  // namespace speccascade
