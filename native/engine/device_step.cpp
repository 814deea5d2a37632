#include "engine/device_step.h"

#include <algorithm>

#include "decode/decode_cuda.h"
#include "ops/ops_cuda.h"

namespace speccascade {

namespace {

size_t area(int64_t rows, int64_t columns) {
  return static_cast<size_t>(rows) * static_cast<size_t>(columns);
}

int rows_of(const SessionLimits& limits) {
  return limits.max_batch * (limits.draft.max_nodes() + 1);
}

}  // namespace

DeviceRows::DeviceRows(PassMemory& memory, ModelLane& lane, int slots, int rows)
    : lane_(lane),
      vocabulary_(lane.model.config.vocab_size),
      max_logits_(lane.decoder.max_logits()),
      ints_(memory, 6 * static_cast<size_t>(max_logits_) + static_cast<size_t>(slots)),
      log_sum_(memory, static_cast<size_t>(max_logits_)),
      probs_(memory, area(rows, vocabulary_)),
      unscaled_(memory, area(rows, vocabulary_)) {}

LogitRows DeviceRows::logits() const { return {field(0), field(1), field(2), field(3), field(6)}; }

void DeviceRows::queue(DeviceStream& stream, const SlotSampling& sampling) const {
  lane_.decoder.queue(stream);
  const LogitRows rows = logits();
  DistributionArgs args = {};
  args.logits = lane_.decoder.device_logits();
  args.vocabulary = static_cast<int>(vocabulary_);
  args.num_rows = lane_.decoder.device_rows().num_logits;
  args.max_rows = static_cast<int>(max_logits_);
  args.row_slot = rows.slot;
  args.row_output = rows.output;
  args.out_rows = rows.out_row;
  args.slots = sampling;
  args.probs = probs_.data();
  args.unscaled = unscaled_.data();
  args.best = field(4);
  args.log_sum = log_sum_.data();
  args.row_status = field(5);
  distribution_cuda(args, stream.handle());
}

bool DeviceStep::runs(const SessionLimits& limits, const Model& target,
                      const std::vector<const Model*>& drafters) {
  const DraftPlan& plan = limits.draft;
  const bool levels = plan.kind == DraftKind::kLevels && !plan.may_lag();
  if (!target.device || (plan.kind != DraftKind::kNone && !levels)) return false;
  return std::all_of(drafters.begin(), drafters.end(), [&](const Model* drafter) {
    return drafter->device && drafter->device_name() == target.device_name();
  });
}

DeviceStep::DeviceStep(const SessionLimits& limits, const SlotTables& tables, ModelLane& target,
                       LevelDrafter* drafter)
    : tables_(tables),
      target_(target),
      drafter_(drafter),
      confidence_(limits.draft.adaptive.confidence),
      memory_(target.model),
      device_tables_(memory_, tables.bytes()),
      target_rows_(memory_, target, limits.max_batch, rows_of(limits)),
      drafter_rows_(drafter ? std::make_unique<DeviceRows>(memory_, drafter->lane(),
                                                           limits.max_batch, rows_of(limits))
                            : nullptr),
      pi_(memory_, drafter ? area(rows_of(limits), target.model.config.vocab_size) : 0),
      deferral_(memory_, area(rows_of(limits), 1)),
      scratch_(memory_, area(2 * int64_t{limits.max_batch}, target.model.config.vocab_size)),
      one_hot_(memory_, area(limits.max_batch, target.model.config.vocab_size)),
      draft_scratch_(memory_, drafter ? area(limits.max_batch, target.model.config.vocab_size) : 0),
      proposal_(memory_, area(limits.max_batch, limits.draft.max_nodes())),
      reference_(memory_, drafter ? area(2, rows_of(limits)) : 0),
      widths_(memory_, limits.draft.widths.size()) {
  memory_.allocate();
  views_ = carve_tables(limits, target.model.config.vocab_size, device_tables_.data());
  std::copy(limits.draft.widths.begin(), limits.draft.widths.end(), widths_.host());
  point_at_rows();
}

// Which row follows a node is fixed; only the rows' contents change.
void DeviceStep::point_at_rows() {
  if (!drafter_) return;
  const size_t rows = reference_.size() / 2;
  for (size_t row = 0; row < rows; ++row) {
    reference_[row] = drafter_rows_->probs(static_cast<int64_t>(row));
    reference_[rows + row] = drafter_rows_->unscaled(static_cast<int64_t>(row));
  }
  reference_.to_device();
  widths_.to_device();
  memory_.stream()->synchronize();
}

void DeviceStep::start(int slot) {
  DeviceStream& stream = *memory_.stream();
  target_.self.slot_to_device(stream, slot);
  if (drafter_) drafter_->lane().self.slot_to_device(stream, slot);
  requests_changed_ = true;
}

void DeviceStep::run() {
  memory_.stream()->activate();
  send();
  if (drafter_) draft();
  verify();
  receive();
}

// What steps change goes down each time, what requests bring when one began.
void DeviceStep::send() {
  DeviceStream& stream = *memory_.stream();
  const size_t begin = requests_changed_ ? 0 : tables_.step_begin();
  stream.copy_to_device(device_tables_.data() + begin, tables_.memory() + begin,
                        tables_.bytes() - begin);
  if (requests_changed_) {
    target_.cross.to_device(stream);
    if (drafter_) drafter_->lane().cross.to_device(stream);
  }
  requests_changed_ = false;
}

// Passes that the longest draft takes; one more where a rule reads the rows behind it.
int DeviceStep::rounds() const {
  const SequenceState& state = tables_.sequences();
  int rounds = 0;
  for (int slot = 0; slot < state.slots; ++slot) {
    if (!state.active[slot]) continue;
    const int last = reads_drafter(state.rule[slot].kind) ? 1 : 0;
    rounds = std::max(rounds, state.draft_limit[slot] + last);
  }
  return rounds;
}

void DeviceStep::draft() {
  DeviceStream& stream = *memory_.stream();
  void* queue = stream.handle();
  ModelLane& lane = drafter_->lane();
  const SequenceState& state = views_.sequences;
  const SlotSampling sampling = views_.drafter_sampling();
  const CacheTable cache = lane.self.device_table();
  const DecoderRows& rows = lane.decoder.device_rows();
  const LogitRows logits = drafter_rows_->logits();
  const DraftDistributions drafts = {lane.decoder.device_logits(), drafter_rows_->probs(0),
                                     drafter_rows_->unscaled(0),   drafter_rows_->best(),
                                     drafter_rows_->status(),      proposal_.data(),
                                     draft_scratch_.data(),        lane.model.config.vocab_size};
  const DraftShape shape = {widths_.device(), drafter_->shape().siblings};
  open_drafts_cuda(state, queue);
  for (int round = rounds(); round > 0; --round) {
    draft_rows_cuda(state, sampling, cache, rows, logits, queue);
    drafter_rows_->queue(stream, sampling);
    extend_drafts_cuda(state, sampling, shape, cache, rows, logits, drafts, confidence_, queue);
  }
}

DraftRows DeviceStep::drafted() const {
  if (!drafter_) return {};
  const DraftRows host = drafter_->rows();
  return {reference_.device(), reference_.device() + reference_.size() / 2, proposal_.data(),
          host.siblings, host.chain};
}

void DeviceStep::verify() {
  DeviceStream& stream = *memory_.stream();
  void* queue = stream.handle();
  const SequenceState& state = views_.sequences;
  const CacheTable cache = target_.self.device_table();
  verify_rows_cuda(state, cache, target_.decoder.device_rows(), target_rows_.logits(),
                   views_.sampling, queue);
  target_rows_.queue(stream, views_.sampling);
  verify_cuda(
      {state, views_.sampling, drafted(), target_.model.config.vocab_size, target_rows_.logits(),
       target_.decoder.device_logits(), target_rows_.probs(0), target_rows_.unscaled(0),
       target_rows_.best(), target_rows_.status(), target_rows_.log_sum(), pi_.data(),
       deferral_.data(), scratch_.data(), one_hot_.data()},
      queue);
  if (drafter_) keep_accepted_cuda(state, drafter_->lane().self.device_table(), queue);
  commit_cuda(state, cache, queue);
}

void DeviceStep::receive() {
  DeviceStream& stream = *memory_.stream();
  const size_t begin = tables_.step_begin();
  stream.copy_to_host(tables_.memory() + begin, device_tables_.data() + begin,
                      tables_.bytes() - begin);
  stream.synchronize();
  if (drafter_) drafter_->count_drafted();
}

}  // namespace speccascade
