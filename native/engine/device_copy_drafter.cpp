#include "engine/device_copy_drafter.h"

#include <algorithm>

#include "decode/decode_cuda.h"

namespace speccascade {

namespace {

size_t slots_of(const SessionLimits& limits) { return static_cast<size_t>(limits.max_batch); }

}  // namespace

DeviceCopyDrafter::DeviceCopyDrafter(const SessionLimits& limits, PassMemory& memory,
                                     CopyDrafter& drafter)
    : memory_(memory),
      drafter_(drafter),
      widths_(memory, limits.draft.widths.size()),
      bigrams_(memory, limits.draft.bigrams.size()),
      proposal_(memory, slots_of(limits) * static_cast<size_t>(limits.draft.max_nodes())),
      lengths_(memory, slots_of(limits) * static_cast<size_t>(drafter.text_size())),
      path_(memory, slots_of(limits) * static_cast<size_t>(limits.draft.max_path())) {
  std::copy(limits.draft.widths.begin(), limits.draft.widths.end(), widths_.host());
  std::copy(limits.draft.bigrams.begin(), limits.draft.bigrams.end(), bigrams_.host());
}

void DeviceCopyDrafter::fill() {
  widths_.to_device();
  bigrams_.to_device();
  proposal_.to_device();
  memory_.stream()->synchronize();
}

void DeviceCopyDrafter::queue_drafts(DeviceStream& stream, const TableViews& tables, int) {
  const BigramTable bigrams = {bigrams_.device(), static_cast<int>(bigrams_.size())};
  copy_drafts_cuda(tables.sequences, tables.drafter_sampling(),
                   {widths_.device(), drafter_.rows().chain, bigrams},
                   {lengths_.data(), path_.data()}, drafter_.lengths().over(tables.sequences),
                   stream.handle());
}

void DeviceCopyDrafter::queue_commit(DeviceStream& stream, const TableViews& tables) {
  const AdaptiveLength lengths = drafter_.lengths().over(tables.sequences);
  if (lengths.on()) learn_lengths_cuda(tables.sequences, lengths, stream.handle());
}

DraftRows DeviceCopyDrafter::rows() const {
  DraftRows rows = drafter_.rows();
  rows.proposal = proposal_.device();
  return rows;
}

}  // namespace speccascade
