#include "engine/device_tree_drafter.h"

#include "decode/decode_cuda.h"
#include "ops/ops_cuda.h"

namespace speccascade {

DeviceTreeDrafter::DeviceTreeDrafter(const SessionLimits& limits, PassMemory& memory,
                                     const SequenceState& state, DynamicTreeDrafter& drafter)
    : DeviceModelDrafter(
          memory, state, drafter, drafter.lane(), drafter.lengths(), drafter.most_positions(),
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
  return {nodes_,
          depth_,
          tree_beam(nodes_),
          tree_computed_nodes(nodes_, depth_),
          lane_.model.config.vocab_size,
          candidates_.data(),
          places_.data(),
          pool_size_.data(),
          youngest_.data(),
          frontier_.data(),
          frontier_size_.data(),
          cache_node_.data(),
          rows_.probs(0),
          rows_.unscaled(0),
          rows_.status(),
          reference_.data(),
          reference_unscaled_.data()};
}

void DeviceTreeDrafter::queue_drafts(DeviceStream& stream, const TableViews& tables, int rounds) {
  void* queue = stream.handle();
  const SequenceState& state = tables.sequences;
  const SlotSampling sampling = tables.drafter_sampling();
  const CacheTable cache = lane_.self.device_table();
  const DecoderRows& rows = lane_.decoder.device_rows();
  const LogitRows logits = rows_.logits();
  const int drafting = queue_opening(stream, state, rounds);
  for (int round = 0; round < drafting; ++round) {
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

// As commit_tree_slot() left it.
int DeviceTreeDrafter::kept(const SequenceState& state, int slot) const {
  return state.draft_consumed[slot];
}

}  // namespace speccascade
