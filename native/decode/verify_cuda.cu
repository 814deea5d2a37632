#include "base/cuda_launch.h"
#include "decode/decode_cuda.h"
#include "decode/made_chain_cuda.cuh"
#include "ops/sampling_cuda.cuh"

namespace speccascade {

namespace {

// Whether the rule decides at a row, and what it reads.
struct RowQuestion {
  bool asks, greedy;
  const Rule* rule;
  const float *drafter, *drafter_unscaled;
};

// By one thread; the rest of the block finds it in shared memory. A verifier that lived through all
// of the kernel would take its registers.
SC_DEVICE RowQuestion question_of(const VerifyArgs& args, int slot, int node) {
  const BlockVerifier verifier(args, slot);
  if (!verifier.asks_rule(node)) return {};
  return {true, verifier.greedy(), &verifier.rule(),
          verifier.reference(args.drafts.reference, node),
          verifier.reference(args.drafts.reference_unscaled, node)};
}

template <typename Row>
SC_DEVICE RuleDecision<float> decide_of(const MadeTarget& made, int vocabulary) {
  const RowQuestion& question = shared<RowQuestion>();
  RuleRows<float, Row> rows =
      made_rows<Row>(made, question.drafter, question.drafter_unscaled, vocabulary);
  rows.greedy = question.greedy;
  return decide<BlockMath>(*question.rule, rows);
}

// Leaves what does not depend on the rule.
template <typename Unscaled>
SC_DEVICE MadeTarget make_target(const DistributionArgs& target, const VerifyArgs& args, int r,
                                 const Unscaled& unscaled) {
  const MadeRow made = make_row(target, r, unscaled, args.target[r].part_sum);
  if (thread_index() == 0) {
    leave_result(target, r, made);
    args.target[r].probs = made.probs;
    args.target[r].unscaled_factor = made.unscaled_factor;
  }
  return {made.probs, made.unscaled_factor, {}};
}

// One block per row of the target: what its distribution and pi follow from. Neither is written:
// the walk reads an entry of most rows, and all of the one where it stops.
SC_KERNEL(kRowBlockThreads, kRowBlocks) row_kernel(DistributionArgs target, VerifyArgs args) {
  wait_for_previous();
  const int r = block_index();
  if (r >= *target.num_rows) return;
  RowQuestion& question = shared<RowQuestion>();
  const auto unscaled = [&] {
    question = question_of(args, target.row_slot[r], args.logits.node[r]);
    return question.asks && reads_target_confidence(question.rule->kind);
  };
  const MadeTarget row = make_target(target, args, r, unscaled);
  RuleDecision<float> decision;
  if (row.probs.logits != nullptr && question.asks) {
    decision = row.probs.filtered() ? decide_of<ProbabilityRow>(row, args.vocabulary)
                                    : decide_of<SoftmaxRow>(row, args.vocabulary);
  }
  if (thread_index() != 0) return;
  args.target[r].decision = decision;
  args.deferral[r] = decision.deferral;
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
