#include "base/cuda_launch.h"
#include "decode/decode_cuda.h"
#include "decode/made_chain_cuda.cuh"
#include "ops/sampling_cuda.cuh"

namespace speccascade {

namespace {

// Both make a verifier of their own: one that lived through all of the kernel would take its
// registers.
SC_DEVICE bool asks_rule(const VerifyArgs& args, int slot, int node) {
  return BlockVerifier(args, slot).asks_rule(node);
}

SC_DEVICE RuleDecision<float> decide_at(const VerifyArgs& args, int slot, int node,
                                        const MadeTarget& row) {
  const BlockVerifier verifier(args, slot);
  if (!verifier.asks_rule(node)) return {};
  RuleRows<float, ProbabilityRow> rows =
      made_rows(row, verifier.reference(args.drafts.reference, node),
                verifier.reference(args.drafts.reference_unscaled, node), args.vocabulary);
  rows.greedy = verifier.greedy();
  return decide<BlockMath>(verifier.rule(), rows);
}

// One block per row of the target: what its distribution and pi follow from. Neither is written:
// the walk reads an entry of most rows, and all of the one where it stops.
SC_KERNEL(kRowBlockThreads, kRowBlocks) row_kernel(DistributionArgs target, VerifyArgs args) {
  wait_for_previous();
  const int r = block_index();
  if (r >= *target.num_rows) return;
  const int slot = target.row_slot[r];
  const bool asks = asks_rule(args, slot, args.logits.node[r]);
  const bool unscaled = asks && reads_target_confidence(args.state.rule[slot].kind);
  TargetRow& left = args.target[r];
  const MadeRow made = make_row(target, r, unscaled, left.part_sum);
  MadeTarget row = {made.probs, made.unscaled_factor, {}};
  if (row.probs.logits != nullptr) {
    row.decision = decide_at(args, target.row_slot[r], args.logits.node[r], row);
  }
  if (thread_index() != 0) return;
  leave_result(target, r, made);
  static_cast<MadeTarget&>(left) = row;
  args.deferral[r] = row.decision.deferral;
}

// One block per slot.
template <bool kChain>
SC_KERNEL(kMaxRowThreads, 1)
verify_kernel(VerifyArgs args) {
  wait_for_previous();
  const int slot = block_index();
  if (!args.state.active[slot]) return;
  const BlockVerifier verifier(args, slot);
  if (kChain) read_chain(args, verifier, slot);
  verifier.run(kChain);
}

}  // namespace

void verify_cuda(const DistributionArgs& target, const VerifyArgs& args, void* stream) {
  launch(waiting(target.max_rows, row_block_threads(args.vocabulary)), stream, row_kernel, target,
         args);
  launch(waiting(args.state.slots, row_threads(args.vocabulary)), stream,
         args.drafts.chain ? verify_kernel<true> : verify_kernel<false>, args);
}

}  // namespace speccascade
