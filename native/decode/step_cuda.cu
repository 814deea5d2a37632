#include "decode/step_cuda.h"

#include "base/cuda_device.h"
#include "decode/decode_cuda.h"
#include "ops/ops_cuda.h"

namespace speccascade {

namespace {

// Where each row of an array on the device begins.
const float** place_pointers(Desk& desk, const float* rows, size_t count, size_t vocabulary) {
  std::vector<const float*> pointers;
  for (size_t r = 0; r < count; ++r) pointers.push_back(rows + r * vocabulary);
  return desk.place(count, pointers.data());
}

// What the tokens of a chain were drawn from; null where they were chosen without chance.
const float* const* place_proposals(Desk& desk, const DeviceStepArgs& args,
                                    const DistributionArgs& drafter, size_t vocabulary) {
  const auto nodes = static_cast<size_t>(args.draft.nodes);
  if (args.siblings == Siblings::kFixed) return desk.place<const float*>(nodes);
  if (args.proposals == nullptr) return place_pointers(desk, drafter.probs, nodes, vocabulary);
  return place_pointers(desk, desk.place(nodes * vocabulary, args.proposals), nodes, vocabulary);
}

size_t desk_bytes(const DeviceStepArgs& args, int scratch_rows) {
  const auto rows = static_cast<size_t>(args.draft.nodes) + 1;
  const size_t vocabulary = static_cast<size_t>(args.vocabulary) * sizeof(float);
  // Six arrays of rows, proposals, scratch, a row of ones; tables of a few numbers for each.
  const size_t whole = (7 * rows + static_cast<size_t>(scratch_rows) + 2) * vocabulary;
  return whole + rows * (sizeof(TargetRow) + 256) + (size_t{32} << 10);
}

StepResult result_of(const Desk& desk, const VerifyArgs& args) {
  StepResult result;
  const int32_t* path = desk.read(args.state.path);
  const int accepted = *desk.read(args.state.accepted), tested = *desk.read(args.state.tested);
  result.accepted.assign(path, path + accepted);
  if (*desk.read(args.state.emitted) > accepted) {
    result.next = desk.read(args.state.tokens)[1 + accepted];
  }
  const float* deferral = desk.read(args.deferral);
  for (int i = 0; i < tested; ++i)
    result.deferral.push_back(deferral[i == 0 ? 0 : 1 + path[i - 1]]);
  return result;
}

}  // namespace

StepResult step_on_cuda(int device, const DeviceStepArgs& step) {
  const auto vocabulary = static_cast<size_t>(step.vocabulary);
  const int count = step.draft.nodes + 1;
  const auto rows = static_cast<size_t>(count);
  const bool traversal = step.draft.verifier == Verifier::kTraversal;
  const int scratch_rows = verify_scratch_rows(traversal, step.draft.levels);
  Desk desk(open_cuda_device(device), desk_bytes(step, scratch_rows));
  const SlotSampling sampling = place_sampling(desk, step.scaling, step.vocabulary, step.stops);
  const DistributionArgs target =
      place_distribution(desk, step.target, count, step.vocabulary, sampling);
  const DistributionArgs drafter =
      place_distribution(desk, step.drafter, count, step.vocabulary, sampling);
  std::vector<int32_t> nodes;
  for (int r = 0; r < count; ++r) nodes.push_back(r - 1);

  VerifyArgs args = {};
  args.state = place_state(desk, step.rule, step.draft);
  args.sampling = sampling;
  args.drafts.siblings = step.siblings;
  args.drafts.chain = step.chain;
  if (step.drafter != nullptr) {
    args.drafts.reference = place_pointers(desk, drafter.probs, rows, vocabulary);
    args.drafts.reference_unscaled = place_pointers(desk, drafter.unscaled, rows, vocabulary);
  }
  if (step.chain) args.drafts.proposal = place_proposals(desk, step, drafter, vocabulary);
  args.vocabulary = step.vocabulary;
  args.logits.first = desk.place<int32_t>(1);
  args.logits.node = desk.place(rows, nodes.data());
  args.target_logits = target.logits;
  args.target_best = target.best;
  args.target_status = target.row_status;
  args.target_log_sum = target.log_sum;
  args.deferral = desk.place<float>(rows);
  args.scratch_rows = scratch_rows;
  args.scratch = desk.place<float>(static_cast<size_t>(scratch_rows) * vocabulary);
  args.weights = desk.place<float>(static_cast<size_t>(step.draft.levels) + 1);
  args.one_hot = desk.place<float>(vocabulary);
  args.target = desk.place<TargetRow>(rows);

  void* stream = desk.begin();
  if (step.drafter != nullptr) distribution_cuda(drafter, stream);
  verify_cuda(target, args, stream);
  desk.end();
  const int32_t* status = desk.read(drafter.row_status);
  bool failed = *desk.read(args.state.failure) != 0;
  for (int r = 0; step.drafter != nullptr && r < count; ++r) failed = failed || status[r] != 0;
  if (failed) fail(ErrorCode::kNumeric, "cuda:", device, ": a row without a token to draw");
  return result_of(desk, args);
}

}  // namespace speccascade
