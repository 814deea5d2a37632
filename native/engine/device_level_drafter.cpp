#include "engine/device_level_drafter.h"

#include <algorithm>

#include "decode/decode_cuda.h"
#include "ops/ops_cuda.h"

namespace speccascade {

DeviceLevelDrafter::DeviceLevelDrafter(const SessionLimits& limits, PassMemory& memory,
                                       LevelDrafter& drafter)
    : DeviceModelDrafter(memory, drafter.lane(), drafter.lengths(), limits.max_batch,
                         drafter.most_positions(), rows_of(limits)),
      drafter_(drafter),
      scratch_(memory, area(limits.max_batch, lane_.model.config.vocab_size)),
      proposal_(memory, area(limits.max_batch, limits.draft.max_nodes())),
      reference_(memory, area(2, rows_of(limits))),
      widths_(memory, limits.draft.widths.size()) {
  std::copy(limits.draft.widths.begin(), limits.draft.widths.end(), widths_.host());
}

// Which row follows a node is fixed; only the rows' contents change.
void DeviceLevelDrafter::fill() {
  const size_t rows = reference_.size() / 2;
  for (size_t row = 0; row < rows; ++row) {
    reference_[row] = rows_.probs(static_cast<int64_t>(row));
    reference_[rows + row] = rows_.unscaled(static_cast<int64_t>(row));
  }
  memory_.complete([this] {
    reference_.to_device();
    widths_.to_device();
    memory_.stream()->activate();
    loop_fits_ = draft_loop_fits_cuda();
  });
}

void DeviceLevelDrafter::queue_drafts(DeviceStream& stream, const TableViews& tables, int rounds) {
  void* queue = stream.handle();
  const SequenceState& state = tables.sequences;
  const SlotSampling sampling = tables.drafter_sampling();
  const CacheTable cache = lane_.self.device_table();
  const DecoderRows& rows = lane_.decoder.device_rows();
  const LogitRows logits = rows_.logits();
  const DraftDistributions drafts = {lane_.decoder.device_logits(),
                                     rows_.probs(0),
                                     rows_.unscaled(0),
                                     rows_.best(),
                                     rows_.status(),
                                     proposal_.data(),
                                     scratch_.data(),
                                     lane_.model.config.vocab_size};
  const DraftShape shape = {widths_.device(), drafter_.shape().siblings};
  const AdaptiveLength lengths = lengths_.over(state);
  open_drafts_cuda(state, lengths, queue);
  const PersistentPass* pass = loop_fits_ ? lane_.decoder.persistent(stream) : nullptr;
  if (pass != nullptr && pass->types == PassTypes::kBf16) {
    return draft_loop_cuda({state, sampling, shape, cache, rows, logits, drafts, lengths,
                            rows_.distribution(sampling), *pass, rounds},
                           queue);
  }
  for (int round = 0; round < rounds; ++round) {
    draft_rows_cuda(state, sampling, cache, rows, logits, queue);
    lane_.decoder.queue(stream);
    distribution_cuda(rows_.distribution(sampling), queue);
    extend_drafts_cuda(state, sampling, shape, cache, rows, logits, drafts, lengths, queue);
  }
}

void DeviceLevelDrafter::queue_commit(DeviceStream& stream, const TableViews& tables) {
  const AdaptiveLength lengths = lengths_.over(tables.sequences);
  if (lengths.on()) learn_lengths_cuda(tables.sequences, lengths, stream.handle());
  keep_accepted_cuda(tables.sequences, lane_.self.device_table(), stream.handle());
}

DraftRows DeviceLevelDrafter::rows() const {
  const DraftRows host = drafter_.rows();
  return {reference_.device(), reference_.device() + reference_.size() / 2, proposal_.data(),
          host.siblings, host.chain};
}

}  // namespace speccascade
