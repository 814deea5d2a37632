// A model that drafts by itself, round by round, one pass each: what its shapes have in common.
#pragma once

#include "decode/adaptive_length.h"
#include "decode/drafter.h"

namespace speccascade {

class ModelDrafter : public Drafter {
 public:
  void encode(const std::vector<const std::vector<int32_t>*>& inputs,
              const std::vector<int>& sources) override;
  void start(int slot, int source) override;
  void draft() override;
  size_t bytes() const override { return lane_.bytes(); }

  // For steps whose kernels draft in its place.
  ModelLane& lane() { return lane_; }
  const AdaptiveLength& lengths() const { return lengths_; }
  // Committed positions that a pass takes.
  int most_positions() const { return most_pending_; }

 protected:
  // Of one slot.
  struct Size {
    int level;       // nodes that a pass takes at most
    int nodes;       // whose successors are computed in a step
    int cache_rows;  // beyond those of every lane
  };

  ModelDrafter(const DraftPlan& plan, const Model& model, const DraftContext& context,
               const Size& size);

  // The round's rows, of all slots whose drafts are open.
  virtual void append_rows(const CacheTable& cache, const DecoderRows& rows) = 0;
  // The distributions behind them are there.
  virtual void extend(const CacheTable& cache, const DecoderRows& rows) = 0;

  int most_pending_;
  ModelLane lane_;
  AdaptiveLength lengths_;
};

}  // namespace speccascade
