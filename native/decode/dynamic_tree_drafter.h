// A model that drafts the most probable paths of its tree within a budget of nodes,
// level by level (as in EAGLE-2, Li et al. 2024): at each level the best new nodes are
// expanded, their most probable successors are candidates, and of all candidates so far
// the best `nodes` by the product of probabilities along their path stay.
//
// The tree is chosen from the rows alone; nothing is drawn, so candidates may be
// dropped, and verification treats siblings as fixed.
#pragma once

#include "decode/dynamic_tree.h"
#include "decode/model_drafter.h"

namespace speccascade {

class DynamicTreeDrafter : public ModelDrafter {
 public:
  DynamicTreeDrafter(const DraftPlan& plan, const Model& model, const DraftContext& context);

  void commit() override;
  DraftRows rows() const override;

 protected:
  void append_rows(const CacheTable& cache, const DecoderRows& rows) override;
  void extend(const CacheTable& cache, const DecoderRows& rows) override;

 private:
  std::vector<TreeCandidate> candidates_;
  std::vector<int32_t> places_, pool_size_, youngest_, frontier_, frontier_size_, cache_node_;
  std::vector<const float*> reference_, reference_unscaled_;  // [slots, max_nodes + 1]
  DynamicTree tree_;
};

}  // namespace speccascade
