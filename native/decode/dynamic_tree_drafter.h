// A model that drafts the most probable paths of its tree within a budget of nodes,
// level by level (as in EAGLE-2, Li et al. 2024): at each level the best new nodes are
// expanded, their most probable successors are candidates, and of all candidates so far
// the best `nodes` by the product of probabilities along their path stay.
//
// The tree is chosen from the rows alone; nothing is drawn, so candidates may be
// dropped, and verification treats siblings as fixed.
#pragma once

#include "decode/drafter.h"

namespace speccascade {

class DynamicTreeDrafter : public Drafter {
 public:
  DynamicTreeDrafter(const DraftPlan& plan, const Model& model, const DraftContext& context);

  void encode(const std::vector<const std::vector<int32_t>*>& inputs,
              const std::vector<int>& sources) override;
  void start(int slot, int source) override { lane_.start(slot, source); }
  void draft() override;
  void commit() override;
  DraftRows rows() const override;
  size_t bytes() const override { return lane_.bytes(); }

 private:
  struct Candidate {
    int32_t token;
    int parent;  // index in the pool; -1: the committed sequence
    int depth;
    float score;     // log-probability of the path
    int cache_node;  // of the drafter's cache; -1: not computed
    int64_t age;     // rises with every candidate
  };
  struct Tree {
    std::vector<Candidate> pool;
    std::vector<int> frontier;  // to be computed next: indices in the pool
    int levels = 0;             // drafted
    int cache_nodes = 0;        // computed in this step
    bool open = false;          // whether a pass is needed
    bool last_rows = false;     // for the rules' sake alone
  };

  bool any_open() const;
  void open(int slot);
  void append_rows();
  void take_rows();
  void expand(int slot, int node, int64_t row, Tree& tree);
  void insert(Tree& tree, const Candidate& candidate) const;
  void choose_frontier(int slot, Tree& tree);
  void ask_missing_rows(int slot, Tree& tree);
  void write_draft(int slot, const Tree& tree);
  int64_t row_of(int slot, int cache_node) const;

  int budget_, depth_, beam_, rows_per_slot_, most_pending_;
  ModelLane lane_;
  std::vector<Tree> trees_;                                   // [slots]
  std::vector<int32_t> cache_node_;                           // [slots, max_nodes]
  std::vector<const float*> reference_, reference_unscaled_;  // [slots, max_nodes + 1]
  std::vector<int32_t> best_tokens_;
  int64_t age_ = 0;
};

}  // namespace speccascade
