#include "engine/device_tree_drafter.h"

#include "decode/decode_cuda.h"
#include "ops/ops_cuda.h"

namespace speccascade {

DeviceTreeDrafter::DeviceTreeDrafter(const SessionLimits& limits, PassMemory& memory,
                                     DynamicTreeDrafter& drafter)
    : DeviceModelDrafter(
          memory, drafter.lane(), drafter.lengths(), limits.max_batch, drafter.most_positions(),
          limits.max_batch * (tree_computed_nodes(limits.draft.nodes, limits.draft.depth) + 1)),
      nodes_(limits.draft.nodes),
      depth_(limits.draft.depth),
      candidates_(memory, area(limits.max_batch, tree_candidates(nodes_))),
      places_(memory, candidates_.size()),
      pool_size_(memory, area(limits.max_batch, 1)),
      youngest_(memory, pool_size_.size()),
      frontier_(memory, area(limits.max_batch, nodes_)),
      frontier_size_(memory, pool_size_.size()),
      cache_node_(memory, frontier_.size()),
      reference_(memory, area(limits.max_batch, nodes_ + 1)),
      reference_unscaled_(memory, reference_.size()) {}

DynamicTree DeviceTreeDrafter::tree() const {
  return {.budget = nodes_,
          .depth = depth_,
          .beam = tree_beam(nodes_),
          .computed = tree_computed_nodes(nodes_, depth_),
          .vocabulary = lane_.model.config.vocab_size,
          .candidates = candidates_.data(),
          .places = places_.data(),
          .pool_size = pool_size_.data(),
          .youngest = youngest_.data(),
          .frontier = frontier_.data(),
          .frontier_size = frontier_size_.data(),
          .cache_node = cache_node_.data(),
          .probs = rows_.probs(0),
          .unscaled = rows_.unscaled(0),
          .row_status = rows_.status(),
          .reference = reference_.data(),
          .reference_unscaled = reference_unscaled_.data()};
}

void DeviceTreeDrafter::queue_drafts(DeviceStream& stream, const TableViews& tables, int rounds) {
  void* queue = stream.handle();
  const SequenceState& state = tables.sequences;
  const SlotSampling sampling = tables.drafter_sampling();
  const CacheTable cache = lane_.self.device_table();
  const DecoderRows& rows = lane_.decoder.device_rows();
  const LogitRows logits = rows_.logits();
  open_drafts_cuda(state, lengths_.over(state), queue);
  for (int round = 0; round < rounds; ++round) {
    tree_rows_cuda(state, tree(), cache, rows, logits, queue);
    lane_.decoder.queue(stream);
    distribution_cuda(rows_.distribution(sampling), queue);
    grow_trees_cuda(state, sampling, tree(), cache, rows, logits, queue);
  }
}

void DeviceTreeDrafter::queue_commit(DeviceStream& stream, const TableViews& tables) {
  commit_trees_cuda(tables.sequences, tree(), lane_.self.device_table(), stream.handle());
}

DraftRows DeviceTreeDrafter::rows() const {
  return {reference_.data(), reference_unscaled_.data(), nullptr, Siblings::kFixed, false};
}

}  // namespace speccascade
