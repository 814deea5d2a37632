// A round of a slot's dynamic tree, after the drafter's pass over its frontier: the most probable
// successors of each node become candidates, the best of all stay, and of the newest level those
// are expanded next whose successors could still stay. Made over RowMath for the CPU and over
// BlockMath for a block of a GPU, whose threads come together.
#pragma once

#include <cmath>

#include "decode/dynamic_tree.h"
#include "decode/level_writer.h"
#include "decode/verify.h"

namespace speccascade {

template <typename Math>
class DynamicTreeWriter {
 public:
  SC_COLLECTIVE DynamicTreeWriter(const SequenceState& state, const SlotSampling& sampling,
                                  const DynamicTree& tree, int slot)
      : state_(state),
        sampling_(sampling),
        tree_(tree),
        slot_(slot),
        pool_(tree_pool(tree, slot)),
        places_(slot_part(tree.places, slot, tree_candidates(tree.budget))),
        frontier_(slot_part(tree.frontier, slot, tree.budget)),
        size_(tree.pool_size[slot]),
        age_(tree.youngest[slot]) {}

  // Of the slot's logit rows [begin, end); writes the draft when it is complete.
  SC_COLLECTIVE void take_pass(const CacheTable& drafter, const LogitRows& logits, int begin,
                               int end) {
    const bool expands = phase_of(state_, slot_) == DraftPhase::kDrafting;
    auto failure = static_cast<Failure>(state_.failure[slot_]);
    for (int at = begin; at < end; ++at) {
      const auto status = static_cast<RowStatus>(tree_.row_status[at]);
      if (status != RowStatus::kOk) {
        failure = failure_of(status, Failure::kDrafterNotFinite);
      } else if (expands) {
        expand(logits.node[at], logits.out_row[at]);
      }
    }
    const int level = state_.draft_level[slot_];
    const bool grows = expands && failure == Failure::kNone;
    int frontier = 0;
    DraftPhase phase = DraftPhase::kClosed;
    if (grows) {
      keep_best();
      if (level + 1 < tree_.depth && level + 1 < state_.draft_limit[slot_]) {
        frontier = choose_frontier(level);
        phase = DraftPhase::kDrafting;
      }
      if (frontier == 0 && reads_drafter(state_.rule[slot_].kind)) {
        frontier = ask_missing_rows();
        phase = DraftPhase::kLastRows;
      }
      if (frontier == 0) phase = DraftPhase::kClosed;
    }
    const CacheTable cache = drafter;
    Math::alone([this, cache, failure, grows, frontier, phase] {
      // The committed positions of the first round are nodes no longer.
      cache.length[slot_] = state_.length[slot_];
      ++state_.draft_passes[slot_];
      state_.failure[slot_] = static_cast<int32_t>(failure);
      if (grows) ++state_.draft_level[slot_];
      tree_.pool_size[slot_] = size_;
      tree_.youngest[slot_] = age_;
      tree_.frontier_size[slot_] = frontier;
      state_.draft_phase[slot_] = static_cast<int32_t>(phase);
    });
    if (phase == DraftPhase::kClosed) write_draft();
  }

 private:
  SC_COLLECTIVE bool full() const { return size_ == tree_.budget; }

  // Better scores first, of equals the older.
  SC_COLLECTIVE bool precedes(int a, int b) const {
    if (pool_[a].score != pool_[b].score) return pool_[a].score > pool_[b].score;
    return pool_[a].age < pool_[b].age;
  }

  SC_COLLECTIVE bool ends(int candidate) const {
    return ends_sequence(sampling_, slot_, pool_[candidate].token);
  }

  // The candidates among the pool's first `count` for which chosen(i) holds.
  template <typename Chosen>
  SC_COLLECTIVE int count_of(int count, const Chosen& chosen) const {
    return static_cast<int>(Math::sum_of(count, [&](int i) { return chosen(i) ? 1.0f : 0.0f; }));
  }

  // How many of those, below `count`, come before i by before(j, i).
  template <typename Chosen, typename Before>
  SC_COLLECTIVE static int rank_of(int i, int count, const Chosen& chosen, const Before& before) {
    int rank = 0;
    for (int j = 0; j < count; ++j) rank += chosen(j) && before(j, i) ? 1 : 0;
    return rank;
  }

  // Adds the most probable successors of a node, or of the committed sequence, behind the pool.
  SC_COLLECTIVE void expand(int node, int out_row) {
    const float* probs = tree_.unscaled + static_cast<int64_t>(out_row) * tree_.vocabulary;
    int32_t best[kMostBeam] = {};
    const int found = Math::template top<kMostBeam>(probs, tree_.vocabulary, tree_.beam, best);
    if (found == 0 || probs[best[0]] < state_.confidence_stop[slot_]) return;
    const int first = tree_.budget + added_;
    Math::alone([this, node, found, first, probs, &best] {
      const int depth = node < 0 ? 0 : pool_[node].depth + 1;
      const float score = node < 0 ? 0.0f : pool_[node].score;
      // So many rounds whatever is found: then the array lies in registers.
      for (int i = 0; i < kMostBeam; ++i) {
        if (i >= found) break;
        pool_[first + i] = {best[i], node, depth, -1, age_ + i + 1, score + logf(probs[best[i]])};
      }
    });
    added_ += found;
    age_ += found;
  }

  // Of the pool and the candidates behind it the best stay. None has a better score than its parent
  // or is older, so parents of those that stay do, too; they keep their places.
  SC_COLLECTIVE void keep_best() {
    const int budget = tree_.budget, size = size_, added = added_;
    const auto there = [=](int i) { return i < size || i >= budget; };
    const auto before = [this](int j, int i) { return precedes(j, i); };
    Math::for_each(budget + added, [&](int i) {
      places_[i] = there(i) && rank_of(i, budget + added, there, before) < budget ? 1 : 0;
    });
    const int all = size + added;
    size_ = all < budget ? all : budget;
    added_ = 0;
    Math::alone([this, budget, size, added] {
      int place = 0;
      for (int i = budget; i < budget + added; ++i) {
        if (places_[i] == 0) continue;
        while (place < size && places_[place] != 0) ++place;
        pool_[place++] = pool_[i];
      }
    });
  }

  // The best of the newest level.
  SC_COLLECTIVE int choose_frontier(int level) {
    const int size = size_;
    float worst = 0.0f;
    for (int i = 0; i < size; ++i) worst = pool_[i].score < worst ? pool_[i].score : worst;
    const bool any = !full();
    const auto chosen = [this, level, any, worst](int i) {
      return pool_[i].depth == level && !ends(i) && (any || pool_[i].score > worst);
    };
    const auto before = [this](int j, int i) { return precedes(j, i); };
    const int found = count_of(size, chosen);
    Math::for_each(size, [&](int i) {
      if (!chosen(i)) return;
      const int rank = rank_of(i, size, chosen, before);
      if (rank < tree_.beam) frontier_[rank] = i;
    });
    return found < tree_.beam ? found : tree_.beam;
  }

  // Rules read the drafter's row after every node. Parents come first.
  SC_COLLECTIVE int ask_missing_rows() {
    const int size = size_;
    const auto chosen = [this](int i) { return pool_[i].cache_node < 0 && !ends(i); };
    const auto before = [this](int j, int i) {
      if (pool_[j].depth != pool_[i].depth) return pool_[j].depth < pool_[i].depth;
      return pool_[j].age < pool_[i].age;
    };
    const int found = count_of(size, chosen);
    Math::for_each(size, [&](int i) {
      if (chosen(i)) frontier_[rank_of(i, size, chosen, before)] = i;
    });
    return found;
  }

  // Level by level, the children of a node together, the most probable first.
  SC_COLLECTIVE void write_draft() const {
    const int size = size_;
    int written = 0;
    // Parents are placed before their children are compared.
    for (int depth = 0; written < size; ++depth) {
      const auto chosen = [this, depth](int i) { return pool_[i].depth == depth; };
      const auto place = [this](int i) { return i < 0 ? -1 : places_[i]; };
      const auto before = [&](int j, int i) {
        const int left = place(pool_[j].parent), right = place(pool_[i].parent);
        return left != right ? left < right : pool_[j].age < pool_[i].age;
      };
      const int count = count_of(size, chosen);
      Math::for_each(size, [&](int i) {
        if (chosen(i)) places_[i] = written + rank_of(i, size, chosen, before);
      });
      written += count;
    }
    Math::for_each(size, [&](int i) { write_node(places_[i], pool_[i]); });
    Math::alone([this, size] {
      write_reference(-1, -1);
      state_.draft_count[slot_] = size;
    });
  }

  SC_COLLECTIVE void write_node(int node, const TreeCandidate& candidate) const {
    const int parent = candidate.parent;
    put_node(state_, slot_, node, candidate.token, parent < 0 ? -1 : places_[parent],
             candidate.depth);
    slot_part(tree_.cache_node, slot_, state_.max_nodes)[node] = candidate.cache_node;
    write_reference(node, candidate.cache_node);
  }

  // Of the row after a node.
  SC_COLLECTIVE void write_reference(int node, int cache_node) const {
    const int64_t row = tree_row(tree_, slot_, cache_node) * tree_.vocabulary;
    const int entry = row_after(state_, slot_, node);
    tree_.reference[entry] = tree_.probs + row;
    tree_.reference_unscaled[entry] = tree_.unscaled + row;
  }

  const SequenceState& state_;
  const SlotSampling& sampling_;
  const DynamicTree& tree_;
  int slot_;
  TreeCandidate* pool_;
  int32_t* places_;
  int32_t* frontier_;
  int size_;       // of the pool
  int age_;        // of the youngest candidate
  int added_ = 0;  // behind the pool
};

}  // namespace speccascade
