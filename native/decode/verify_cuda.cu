#include "base/cuda_launch.h"
#include "decode/decode_cuda.h"
#include "decode/made_chain_cuda.cuh"
#include "ops/ops_cuda.h"
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
  RowQuestion question = {true, verifier.greedy(), &verifier.rule(),
                          verifier.reference(args.drafts.reference, node),
                          verifier.reference(args.drafts.reference_unscaled, node)};
  const SlotSampling& sampling = args.sampling;
  const bool filters = filters_rows(sampling.top_k[slot], sampling.top_p[slot], args.vocabulary);
  // Where they are the same, one of them is read, twice.
  const bool scaled = filters | (sampling.temperature[slot] != 1.0f);
  question.drafter_unscaled = scaled ? question.drafter_unscaled : question.drafter;
  // All that may be asked at once, instead of one after another.
  const int32_t seen = args.state.failure[slot] ^ args.state.draft_count[slot] ^
                       args.state.verifier[slot] ^ static_cast<int32_t>(question.rule->kind) ^
                       (node < 0 ? 0 : verifier.token(node));
  keep(static_cast<float>(seen));
  return verifier.asks_rule(node) ? question : RowQuestion{};
}

// The drafter's largest entry may be known.
struct RuleMath : BlockMath {
  static SC_DEVICE float max(const float* row, int count) {
    const RowConfidence& confidence = shared<RowConfidence>();
    return confidence.knows_largest_of(row) ? confidence.largest : BlockMath::max(row, count);
  }
  template <typename Term>
  static SC_DEVICE LargestAndSum<float> largest_and_sum(const float* row, int count,
                                                        const Term& term) {
    if (!shared<RowConfidence>().knows_largest_of(row)) {
      return BlockMath::largest_and_sum(row, count, term);
    }
    return {max(row, count), sum_of(count, [=](int v) { return term(v, row[v]); })};
  }
};

template <typename Row>
SC_DEVICE RuleDecision<float> decide_of(const MadeTarget& made, int vocabulary) {
  const RowQuestion& question = shared<RowQuestion>();
  RuleRows<float, Row> rows =
      made_rows<Row>(made, question.drafter, question.drafter_unscaled, vocabulary);
  rows.greedy = question.greedy;
  return decide<RuleMath>(*question.rule, rows);
}

// Leaves what does not depend on the rule.
template <typename Asks>
SC_DEVICE MadeTarget make_target(const DistributionArgs& target, const VerifyArgs& args, int r,
                                 const Asks& asks) {
  const MadeRow made = make_row<true>(target, r, asks, args.target[r].part_sum);
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
  const auto asks = [&] {
    question = question_of(args, target.row_slot[r], args.logits.node[r]);
    if (!question.asks) return RowConfidence{};
    const RuleKind kind = question.rule->kind;
    const float* beside = reads_drafter_largest(kind) ? question.drafter_unscaled : nullptr;
    const bool unscaled = beside != nullptr || !reads_scaled(kind);
    const float* later = unscaled ? question.drafter_unscaled : question.drafter;
    return RowConfidence{
        reads_target_confidence(kind), reads_target_entries(kind), beside, later, false, 0.0f};
  };
  const MadeTarget row = make_target(target, args, r, asks);
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
  read_slot(args, slot);
  if (!args.state.active[slot]) return;
  const BlockVerifier verifier(args, slot);
  if (kChain) read_chain(args, verifier);
  verifier.run(kChain);
}

}  // namespace

void verify_cuda(const DistributionArgs& target, const VerifyArgs& args, void* stream) {
  check_vocabulary_cuda(args.vocabulary);
  launch(waiting(target.max_rows, row_block_threads(args.vocabulary)), stream, row_kernel, target,
         args);
  launch(waiting(args.state.slots, row_threads(args.vocabulary)), stream,
         args.drafts.chain ? verify_kernel<true> : verify_kernel<false>, args);
}

}  // namespace speccascade
