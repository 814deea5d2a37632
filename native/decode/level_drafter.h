// A model that drafts a chain, or a tree with given widths (Yang et al. 2024), one
// level in one pass: level_draft.h.
#pragma once

#include "decode/model_drafter.h"

namespace speccascade {

class LevelDrafter : public ModelDrafter {
 public:
  LevelDrafter(const DraftPlan& plan, const Model& model, const DraftContext& context);

  void commit() override;
  DraftRows rows() const override;

  const DraftShape& shape() const { return shape_; }

 protected:
  void append_rows(const CacheTable& cache, const DecoderRows& rows) override;
  void extend(const CacheTable& cache, const DecoderRows& rows) override;

 private:
  std::vector<int32_t> widths_;
  DraftShape shape_;
  bool chain_;
  std::vector<const float*> reference_, reference_unscaled_, proposal_;
  Array<float> scratch_;
};

}  // namespace speccascade
