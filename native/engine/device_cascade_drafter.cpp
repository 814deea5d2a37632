#include "engine/device_cascade_drafter.h"

#include <algorithm>

#include "decode/cascade_cuda.h"
#include "decode/decode_cuda.h"
#include "ops/ops_cuda.h"

namespace speccascade {

namespace {

size_t slots_of(const SessionLimits& limits) { return static_cast<size_t>(limits.max_batch); }

size_t nodes_of(const SessionLimits& limits) {
  return slots_of(limits) * static_cast<size_t>(limits.draft.max_nodes());
}

size_t vocabulary_of(const CascadeDrafter& drafter) {
  return static_cast<size_t>(drafter.cascade().vocabulary);
}

}  // namespace

DeviceCascadeDrafter::DeviceCascadeDrafter(const SessionLimits& limits, PassMemory& memory,
                                           CascadeDrafter& drafter)
    : plan_(limits.draft),
      memory_(memory),
      drafter_(drafter),
      lenient_size_(drafter.cascade().lenient()
                        ? (nodes_of(limits) + slots_of(limits)) * vocabulary_of(drafter)
                        : 0),
      lanes_(memory, static_cast<size_t>(plan_.models())),
      reference_(memory, plan_.models() > 0 ? 2 * (nodes_of(limits) + slots_of(limits)) : 0),
      lengths_(memory, plan_.lengths.size()),
      bigrams_(memory, plan_.bigrams.size()),
      frames_(memory, slots_of(limits) * static_cast<size_t>(plan_.models() + 1)),
      turns_(memory, slots_of(limits)),
      drawn_by_(memory, nodes_of(limits)),
      text_lengths_(memory, slots_of(limits) * static_cast<size_t>(drafter.text_size())),
      proposal_(memory, nodes_of(limits)),
      lenient_(memory, lenient_size_ * static_cast<size_t>(plan_.models())),
      scratch_(memory, slots_of(limits) * vocabulary_of(drafter)),
      one_hot_(memory, slots_of(limits) * vocabulary_of(drafter)),
      cascade_(drafter.cascade()) {
  const auto rows = static_cast<int>(nodes_of(limits) + slots_of(limits));
  for (int model = 0; model < plan_.models(); ++model) {
    rows_.push_back(
        std::make_unique<DeviceRows>(memory, drafter.lane(model), limits.max_batch, rows));
  }
  std::copy(plan_.lengths.begin(), plan_.lengths.end(), lengths_.host());
  std::copy(plan_.bigrams.begin(), plan_.bigrams.end(), bigrams_.host());
}

void DeviceCascadeDrafter::fill() {
  for (int model = 0; model < plan_.models(); ++model) {
    const auto m = static_cast<size_t>(model);
    const DeviceRows& rows = rows_of(model);
    lanes_[m] = {drafter_.lane(model).self.device_table(),
                 rows.probs(0),
                 rows.unscaled(0),
                 lenient_size_ > 0 ? lenient_.data() + m * lenient_size_ : nullptr,
                 rows.best(),
                 rows.status()};
  }
  const size_t rows = reference_.size() / 2;
  for (size_t row = 0; row < rows; ++row) {
    reference_[row] = rows_of(0).probs(static_cast<int64_t>(row));
    reference_[rows + row] = rows_of(0).unscaled(static_cast<int64_t>(row));
  }
  lanes_.to_device();
  reference_.to_device();
  lengths_.to_device();
  bigrams_.to_device();
  memory_.stream()->synchronize();
  cascade_.bigrams = {bigrams_.device(), static_cast<int>(bigrams_.size())};
  cascade_.lengths = lengths_.device();
  cascade_.lanes = lanes_.device();
  cascade_.frames = frames_.data();
  cascade_.turns = turns_.data();
  cascade_.drawn_by = drawn_by_.data();
  cascade_.proposal = proposal_.data();
  cascade_.text_lengths = text_lengths_.data();
  cascade_.scratch = scratch_.data();
  cascade_.one_hot = one_hot_.data();
}

void DeviceCascadeDrafter::start(DeviceStream& stream, int slot) {
  for (int model = 0; model < plan_.models(); ++model) {
    drafter_.lane(model).self.slot_to_device(stream, slot);
  }
}

void DeviceCascadeDrafter::send_requests(DeviceStream& stream) {
  for (int model = 0; model < plan_.models(); ++model) {
    drafter_.lane(model).cross.to_device(stream);
  }
}

int DeviceCascadeDrafter::catch_ups(const SequenceState& state) const {
  int most = 0;
  for (int slot = 0; slot < state.slots; ++slot) {
    if (!asks_drafter(state, slot)) continue;
    most = std::max(most, catch_up_passes(state.draft_lag[slot], cascade_.most_behind));
  }
  return most;
}

void DeviceCascadeDrafter::queue_catch_up(DeviceStream& stream, const TableViews& tables) {
  for (int model = 0; model < plan_.models(); ++model) queue_lag(stream, tables, model);
}

int DeviceCascadeDrafter::rounds(const SequenceState& state) const {
  int longest = 0, last_rows = 0;
  for (int slot = 0; slot < state.slots; ++slot) {
    if (!state.active[slot]) continue;
    longest = std::max(longest, drafter_.lengths().limit(state.draft_limit[slot]));
    if (reads_drafter(state.rule[slot].kind)) last_rows = 1;
  }
  return longest * 2 + last_rows;
}

void DeviceCascadeDrafter::queue_drafts(DeviceStream& stream, const TableViews& tables,
                                        int rounds) {
  const int longest = rounds / 2;
  const bool last_rows = rounds % 2 != 0;
  open_cascade_cuda(tables.sequences, tables.drafter_sampling(), cascade_,
                    drafter_.lengths().over(tables.sequences), stream.handle());
  for (const int model : cascade_passes(plan_, longest, kMostPasses)) {
    queue_pass(stream, tables, model);
  }
  if (last_rows) queue_pass(stream, tables, 0);
}

void DeviceCascadeDrafter::queue_lag(DeviceStream& stream, const TableViews& tables, int model) {
  DecoderPass& decoder = drafter_.lane(model).decoder;
  cascade_lag_rows_cuda(tables.sequences, cascade_, model, decoder.device_rows(), stream.handle());
  decoder.queue(stream);
  cascade_take_lag_cuda(tables.sequences, cascade_, model, stream.handle());
}

void DeviceCascadeDrafter::queue_pass(DeviceStream& stream, const TableViews& tables, int model) {
  void* queue = stream.handle();
  DecoderPass& decoder = drafter_.lane(model).decoder;
  const LogitRows logits = rows_of(model).logits();
  const SlotSampling sampling = tables.drafter_sampling();
  cascade_rows_cuda(tables.sequences, cascade_, model, decoder.device_rows(), logits, queue);
  decoder.queue(stream);
  distribution_cuda(rows_of(model).distribution(sampling), queue);
  cascade_review_cuda(tables.sequences, sampling, cascade_,
                      drafter_.lengths().over(tables.sequences), model, decoder.device_rows(),
                      logits, queue);
}

void DeviceCascadeDrafter::queue_commit(DeviceStream& stream, const TableViews& tables) {
  const AdaptiveLength lengths = drafter_.lengths().over(tables.sequences);
  if (lengths.on()) learn_lengths_cuda(tables.sequences, lengths, stream.handle());
  commit_cascade_cuda(tables.sequences, cascade_, stream.handle());
}

DraftRows DeviceCascadeDrafter::rows() const {
  DraftRows rows = drafter_.rows();
  const bool has_reference = reference_.size() > 0;
  rows.reference = has_reference ? reference_.device() : nullptr;
  rows.reference_unscaled = has_reference ? reference_.device() + reference_.size() / 2 : nullptr;
  rows.proposal = proposal_.data();
  return rows;
}

}  // namespace speccascade
