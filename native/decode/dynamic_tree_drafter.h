// A model that drafts the most probable paths of its tree within a budget of nodes,
// level by level (as in EAGLE-2, Li et al. 2024): at each level the best new nodes are
// expanded, their most probable successors are candidates, and of all candidates so far
// the best `nodes` by the product of probabilities along their path stay.
//
// The tree is chosen from the rows alone; nothing is drawn, so candidates may be
// dropped, and verification treats siblings as fixed.
#pragma once

#include "decode/adaptive_length.h"
#include "decode/drafter.h"
#include "decode/dynamic_tree.h"

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

  // For steps whose kernels draft in its place.
  ModelLane& lane() { return lane_; }
  const AdaptiveLength& lengths() const { return lengths_; }
  // Committed positions that a pass takes.
  int most_positions() const { return most_pending_; }

 private:
  int most_pending_;
  ModelLane lane_;
  AdaptiveLength lengths_;  // off
  std::vector<TreeCandidate> candidates_;
  std::vector<int32_t> places_, pool_size_, youngest_, frontier_, frontier_size_, cache_node_;
  std::vector<const float*> reference_, reference_unscaled_;  // [slots, max_nodes + 1]
  DynamicTree tree_;
};

}  // namespace speccascade
