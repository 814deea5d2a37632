#include "decode/position_cuda.h"

#include <cmath>

#include "base/cuda_device.h"
#include "base/cuda_launch.h"
#include "decode/decode_cuda.h"
#include "decode/desk.h"
#include "decode/made_chain_cuda.cuh"
#include "ops/ops_cuda.h"

namespace speccascade {

namespace {

// A row of logits, or, where `unscaled` is given too, the row that they would become. Logits of
// minus infinity are tokens that a request suppresses: models give none.
DistributionArgs place_row(Desk& desk, const float* given, const float* unscaled, size_t vocabulary,
                           SlotSampling sampling) {
  std::vector<float> logits(vocabulary);
  std::vector<uint32_t> suppressed(
      static_cast<size_t>(bit_words_for(static_cast<int>(vocabulary))));
  for (size_t v = 0; given != nullptr && v < vocabulary; ++v) {
    const bool never = std::isinf(given[v]) && given[v] < 0.0f;
    if (never) suppressed[v / 32] |= 1u << (v % 32);
    logits[v] = never ? 0.0f : given[v];
  }
  sampling.suppress_bits = desk.place(suppressed.size(), suppressed.data());
  DistributionArgs row =
      place_distribution(desk, logits.data(), 1, static_cast<int>(vocabulary), sampling);
  if (unscaled != nullptr) {
    row.probs = desk.place(vocabulary, given);
    row.unscaled = desk.place(vocabulary, unscaled);
  }
  return row;
}

// After verify_cuda: the rows themselves.
SC_KERNEL(kMaxRowThreads, 1) made_rows_kernel(VerifyArgs args, float* probs) {
  wait_for_previous();
  const BlockVerifier verifier(args, 0);
  const ProbabilityRow row = args.target[0].probs;
  if (row.logits == nullptr) return;  // not finite, or without a token: there are none
  BlockMath::write(probs, args.vocabulary, [=](int v) { return row[v]; });
  MadePi::row(args, verifier, -1).write<BlockMath>(args.pi, args.vocabulary);
}

// Of rows that are given instead of logits.
SC_KERNEL(kMaxRowThreads, 1) given_rows_kernel(VerifyArgs args) {
  wait_for_previous();
  const BlockVerifier verifier(args, 0);
  const RuleRows<float> rows = {verifier.reference(args.drafts.reference, -1),
                                args.target_probs,
                                verifier.reference(args.drafts.reference_unscaled, -1),
                                args.target_unscaled,
                                args.vocabulary,
                                verifier.greedy()};
  const auto decision = rule_target<BlockMath>(verifier.rule(), rows, args.pi);
  BlockMath::put(args.deferral, 0, decision.deferral);
}

}  // namespace

DevicePositionRows position_on_cuda(int device, const DevicePosition& position) {
  const auto vocabulary = static_cast<size_t>(position.vocabulary);
  // Fourteen rows, five tables of bits, and some fifty single numbers, each aligned.
  Desk desk(open_cuda_device(device), vocabulary * 15 * sizeof(float) + (size_t{24} << 10));
  const bool drafted = reads_drafter(position.rule.kind);
  const bool scaled = position.target_unscaled == nullptr;
  SlotSampling sampling = place_sampling(desk, position.scaling, position.vocabulary, {});
  sampling.suppresses = desk.place_one(int32_t{1});
  const DistributionArgs target =
      place_row(desk, position.target, position.target_unscaled, vocabulary, sampling);
  const DistributionArgs drafter =
      place_row(desk, position.drafter, position.drafter_unscaled, vocabulary, sampling);
  VerifyArgs args = {};
  args.state = place_state(desk, position.rule, {});
  args.sampling = sampling;
  if (drafted) {
    args.drafts.reference = desk.place_one<const float*>(drafter.probs);
    args.drafts.reference_unscaled = desk.place_one<const float*>(drafter.unscaled);
  }
  args.vocabulary = position.vocabulary;
  args.logits.first = desk.place<int32_t>(1);
  args.logits.node = desk.place_one(int32_t{-1});
  args.target_logits = target.logits;
  args.target_probs = target.probs;
  args.target_unscaled = target.unscaled;
  args.target_best = target.best;
  args.target_status = target.row_status;
  args.target_log_sum = target.log_sum;
  args.pi = desk.place<float>(vocabulary);
  args.deferral = desk.place<float>(1);
  args.scratch = desk.place<float>(2 * vocabulary);
  args.one_hot = desk.place<float>(vocabulary);
  args.target = desk.place<TargetRow>(1);
  void* stream = desk.begin();
  const LaunchShape block = waiting(1, row_threads(position.vocabulary));
  if (scaled) {
    if (drafted) distribution_cuda(drafter, stream);
    verify_cuda(target, args, stream);
    launch(block, stream, made_rows_kernel, args, target.probs);
  } else {
    launch(block, stream, given_rows_kernel, args);
  }
  desk.end();
  const bool failed = *desk.read(args.state.failure) != 0 || *desk.read(drafter.row_status) != 0;
  if (failed) fail(ErrorCode::kNumeric, "cuda:", device, ": a row without a token to draw");
  DevicePositionRows result;
  const float* probs = desk.read(target.probs);
  const float* pi = desk.read(args.pi);
  result.target.assign(probs, probs + vocabulary);
  result.pi.assign(pi, pi + vocabulary);
  result.deferral = *desk.read(args.deferral);
  return result;
}

}  // namespace speccascade
