// A model that drafts a chain, or a tree with given widths (Yang et al. 2024), one
// level in one pass: level_draft.h.
#pragma once

#include "decode/adaptive_length.h"
#include "decode/drafter.h"

namespace speccascade {

class LevelDrafter : public Drafter {
 public:
  LevelDrafter(const DraftPlan& plan, const Model& model, const DraftContext& context);

  void encode(const std::vector<const std::vector<int32_t>*>& inputs,
              const std::vector<int>& sources) override;
  void start(int slot, int source) override;
  void draft() override;
  void commit() override;
  DraftRows rows() const override;
  size_t bytes() const override;

  // For steps whose kernels draft in its place.
  ModelLane& lane() { return lane_; }
  const DraftShape& shape() const { return shape_; }
  const AdaptiveLength& lengths() const { return adaptive_; }
  // Committed positions that a pass takes.
  int most_positions() const { return most_pending_; }

 private:
  std::vector<int32_t> widths_;
  DraftShape shape_;
  bool chain_;
  int most_pending_;
  ModelLane lane_;
  AdaptiveLength adaptive_;
  std::vector<const float*> reference_, reference_unscaled_, proposal_;
  Array<float> scratch_;
};

}  // namespace speccascade
