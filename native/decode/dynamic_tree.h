// What a dynamic tree is made of, and one slot's part of its bookkeeping: for the CPU's loops over
// slots and for a GPU's threads. How it grows: dynamic_tree_writer.h.
#pragma once

#include "decode/slot_rows.h"

namespace speccascade {

// Nodes expanded at a level, and candidates below each: more serve no tree of usual size.
constexpr int kMostBeam = 8;

struct TreeCandidate {
  int32_t token;
  int32_t parent;      // index in the pool; -1: the committed sequence
  int32_t depth;       // 0: directly after it
  int32_t cache_node;  // of the drafter's cache; -1: its keys were not computed
  int32_t age;         // rises with every candidate of a draft
  float score;         // log-probability of the path
};

struct DynamicTree {
  int budget;    // nodes of a draft
  int depth;     // levels
  int beam;      // <= kMostBeam
  int computed;  // nodes of a step whose keys the drafter computes, at most
  int vocabulary;
  // [slots, budget + beam * beam]: the pool, and behind it the candidates of a round.
  TreeCandidate* candidates;
  int32_t* places;     // likewise: scratch
  int32_t* pool_size;  // [slots]
  int32_t* youngest;   // [slots] candidates so far
  // To be computed next: indices in the pool.
  int32_t* frontier;       // [slots, budget]
  int32_t* frontier_size;  // [slots]
  int32_t* cache_node;     // [slots, max_nodes] of the draft's nodes
  // Rows: computed + 1 a slot; row 0 follows the committed sequence, 1 + n the computed node n.
  const float* probs;         // [rows, vocabulary]
  const float* unscaled;      // likewise
  const int32_t* row_status;  // [logit rows]
  // [slots, max_nodes + 1]: DraftRows
  const float** reference;
  const float** reference_unscaled;
};

SC_HOST_DEVICE constexpr int tree_beam(int nodes) { return nodes < kMostBeam ? nodes : kMostBeam; }

// Those expanded, and for rules those that are not.
SC_HOST_DEVICE constexpr int tree_computed_nodes(int nodes, int depth) {
  return tree_beam(nodes) * depth + nodes;
}

SC_HOST_DEVICE constexpr int tree_candidates(int nodes) {
  return nodes + tree_beam(nodes) * tree_beam(nodes);
}

SC_HOST_DEVICE inline TreeCandidate* tree_pool(const DynamicTree& tree, int slot) {
  return slot_part(tree.candidates, slot, tree_candidates(tree.budget));
}

SC_HOST_DEVICE inline int64_t tree_row(const DynamicTree& tree, int slot, int cache_node) {
  return static_cast<int64_t>(slot) * (tree.computed + 1) + 1 + cache_node;
}

// First round of a step: the committed positions that the drafter has not consumed. Later rounds:
// the frontier.
SC_HOST_DEVICE inline SlotRows tree_slot_rows(const SequenceState& state, const DynamicTree& tree,
                                              const CacheTable& drafter, int slot) {
  if (phase_of(state, slot) == DraftPhase::kClosed) return {0, 0};
  if (state.draft_level[slot] == 0) return {state.length[slot] - drafter.length[slot], 1};
  return {tree.frontier_size[slot], tree.frontier_size[slot]};
}

SC_HOST_DEVICE inline void append_tree_slot(const SequenceState& state, const DynamicTree& tree,
                                            const CacheTable& drafter, const DecoderRows& rows,
                                            const LogitRows& logits, int slot) {
  if (phase_of(state, slot) == DraftPhase::kClosed) return;
  if (state.draft_level[slot] == 0) {
    tree.pool_size[slot] = 0;
    tree.youngest[slot] = 0;
    const int last = append_pending(state, rows, drafter, slot);
    append_logit(state, rows, logits, last, -1, static_cast<int>(tree_row(tree, slot, -1)));
    return;
  }
  TreeCandidate* pool = tree_pool(tree, slot);
  const int32_t* frontier = slot_part(tree.frontier, slot, tree.budget);
  for (int i = 0; i < tree.frontier_size[slot]; ++i) {
    TreeCandidate& node = pool[frontier[i]];
    node.cache_node = state.draft_consumed[slot]++;
    const int parent = node.parent < 0 ? -1 : pool[node.parent].cache_node;
    const int row = append_row(rows, slot, node.token, state.length[slot] + node.depth,
                               node.cache_node, parent);
    append_logit(state, rows, logits, row, frontier[i],
                 static_cast<int>(tree_row(tree, slot, node.cache_node)));
  }
}

// The drafter's cache keeps the accepted nodes that it has keys of.
SC_HOST_DEVICE inline void commit_tree_slot(const SequenceState& state, const DynamicTree& tree,
                                            const CacheTable& drafter, int slot) {
  if (!state.active[slot]) return;
  if (drafted(state, drafter, slot)) {
    const int32_t* path = slot_part(state.path, slot, state.max_path);
    const int32_t* cache_node = slot_part(tree.cache_node, slot, state.max_nodes);
    int32_t* kept = slot_part(tree.frontier, slot, tree.budget);
    int count = 0;
    while (count < state.accepted[slot] && cache_node[path[count]] >= 0) {
      kept[count] = cache_node[path[count]];
      ++count;
    }
    keep_drafted(drafter, slot, kept, count);
  }
  write_lag(state, drafter, slot);
}

}  // namespace speccascade
