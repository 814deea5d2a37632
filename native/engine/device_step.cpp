#include "engine/device_step.h"

#include <algorithm>

#include "decode/decode_cuda.h"

namespace speccascade {

bool DeviceStep::runs(const SessionLimits& limits, const Model& target,
                      const std::vector<const Model*>& drafters) {
  if (!target.device || !drafts_on_device(limits.draft)) return false;
  return std::all_of(drafters.begin(), drafters.end(), [&](const Model* drafter) {
    return drafter->device && drafter->device_name() == target.device_name();
  });
}

DeviceStep::DeviceStep(const SessionLimits& limits, const SlotTables& tables, ModelLane& target,
                       Drafter* drafter)
    : tables_(tables),
      target_(target),
      memory_(target.model),
      device_tables_(memory_, tables.bytes()),
      target_rows_(memory_, target, limits.max_batch, 0),
      drafter_(make_device_drafter(limits, memory_, drafter)),
      verified_(memory_, area(rows_of(limits), 1)),
      scratch_rows_(verify_scratch_rows(limits.traversal, limits.draft.max_path())),
      deferral_(memory_, area(rows_of(limits), 1)),
      scratch_(memory_,
               area(int64_t{limits.max_batch} * scratch_rows_, target.model.config.vocab_size)),
      weights_(memory_, limits.traversal ? area(limits.max_batch, limits.draft.max_path()) : 0),
      one_hot_(memory_, area(limits.max_batch, target.model.config.vocab_size)) {
  memory_.allocate();
  views_ = carve_tables(limits, target.model.config.vocab_size, device_tables_.data());
  if (drafter_) drafter_->fill();
}

void DeviceStep::start(int slot) {
  DeviceStream& stream = *memory_.stream();
  target_.self.slot_to_device(stream, slot);
  if (drafter_) drafter_->start(stream, slot);
  requests_changed_ = true;
}

void DeviceStep::run() {
  DeviceStream& stream = *memory_.stream();
  memory_.complete([&] {
    if (requests_changed_) send_requests();
    stream.mark(0);
    if (drafter_) draft();
    stream.mark(1);
    verification_.run(stream, 0, [&] {
      if (!drafter_) send();
      verify();
      receive();
    });
    stream.mark(2);
  });
}

// Tables that requests bring are copied when one began; those that steps change, before every step.
void DeviceStep::send_requests() {
  DeviceStream& stream = *memory_.stream();
  stream.copy_to_device(device_tables_.data(), tables_.memory(), tables_.step_begin());
  target_.cross.to_device(stream);
  if (drafter_) drafter_->send_requests(stream);
  requests_changed_ = false;
}

void DeviceStep::send() {
  const size_t begin = tables_.step_begin();
  memory_.stream()->copy_to_device(device_tables_.data() + begin, tables_.memory() + begin,
                                   tables_.bytes() - begin);
}

// Each graph begins with the tables, so that none depends on whether another was launched.
void DeviceStep::draft() {
  DeviceStream& stream = *memory_.stream();
  for (int left = drafter_->catch_ups(tables_.sequences()); left > 0; --left) {
    catch_up_.run(stream, 0, [&] {
      send();
      drafter_->queue_catch_up(stream, views_);
    });
  }
  const int rounds = drafter_->rounds(tables_.sequences());
  drafts_.run(stream, rounds, [&] {
    send();
    drafter_->queue_drafts(stream, views_, rounds);
  });
}

void DeviceStep::verify() {
  DeviceStream& stream = *memory_.stream();
  void* queue = stream.handle();
  const SequenceState& state = views_.sequences;
  const CacheTable cache = target_.self.device_table();
  verify_rows_cuda(state, cache, target_.decoder.device_rows(), target_rows_.logits(),
                   views_.sampling, queue);
  target_.decoder.queue(stream);
  verify_cuda(target_rows_.distribution(views_.sampling),
              {.state = state,
               .sampling = views_.sampling,
               .drafts = drafter_ ? drafter_->rows() : DraftRows{},
               .vocabulary = target_.model.config.vocab_size,
               .logits = target_rows_.logits(),
               .target_logits = target_.decoder.device_logits(),
               .target_probs = nullptr,
               .target_unscaled = nullptr,
               .target_best = target_rows_.best(),
               .target_status = target_rows_.status(),
               .target_log_sum = target_rows_.log_sum(),
               .pi = nullptr,
               .deferral = deferral_.data(),
               .scratch = scratch_.data(),
               .one_hot = one_hot_.data(),
               .target = verified_.data(),
               .scratch_rows = scratch_rows_,
               .weights = weights_.data()},
              queue);
  if (drafter_) drafter_->queue_commit(stream, views_);
  commit_cuda(state, cache, queue);
}

void DeviceStep::receive() {
  const size_t begin = tables_.step_begin();
  memory_.stream()->copy_to_host(tables_.memory() + begin, device_tables_.data() + begin,
                                 tables_.bytes() - begin);
}

}  // namespace speccascade
