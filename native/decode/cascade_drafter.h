// Cascade Speculative Drafting (Chen et al. 2023) in the engine: models that review each
// other's drafts, down to Max-Gram, by the schedule of test/laws/cs_draft_schedule.h, which is
// the same recursion for one sequence and without batches. Here every slot has a stack of
// reviewers and stands at its own place of the recursion (cascade_slot.h); each round runs
// one model for all slots that wait for it.
//
// Drafts are chains, and so are the caches: a model has consumed some of a slot's
// tokens, committed or drafted, and forgets those that are taken back.
//
// Beyond the schedule: nothing follows a token that ends the sequence, and a draft never
// outgrows the tokens that are left (a reviewer's own token counted).
#pragma once

#include "base/buffer.h"
#include "decode/adaptive_length.h"
#include "decode/cascade_state.h"
#include "decode/copy_drafter.h"
#include "decode/drafter.h"

namespace speccascade {

// The part of a cascade that follows from its plan; without the memory.
Cascade cascade_of(const DraftPlan& plan, const DraftContext& context);

// An order of passes, by their models, that contains every order in which a draft of at most
// `tokens` tokens may ask for them: every review adds a token or more, which bounds it. Longer than
// `most`, it is cut there.
std::vector<int> cascade_passes(const DraftPlan& plan, int tokens, size_t most);

class CascadeDrafter : public Drafter {
 public:
  CascadeDrafter(const DraftPlan& plan, const std::vector<const Model*>& models,
                 const DraftContext& context);

  void encode(const std::vector<const std::vector<int32_t>*>& inputs,
              const std::vector<int>& sources) override;
  void start(int slot, int source) override;
  void draft() override;
  void commit() override;
  DraftRows rows() const override;
  size_t bytes() const override;

  // For steps whose kernels draft in its place.
  const Cascade& cascade() const { return cascade_; }
  ModelLane& lane(int model) { return *lanes_[static_cast<size_t>(model)]; }
  const AdaptiveLength& lengths() const { return adaptive_; }
  int text_size() const { return copy_text_size(state_); }

 private:
  int deepest_wanted() const;
  void run(int model);

  HostLanes search_;
  AdaptiveLength adaptive_;
  std::vector<std::unique_ptr<ModelLane>> lanes_;
  std::vector<Array<float>> lenient_rows_;  // [models][slots * (max_nodes + 1), vocabulary]
  std::vector<const float*> reference_, reference_unscaled_, proposal_;
  // Behind `cascade_`.
  std::vector<int32_t> bigrams_, lengths_, drawn_by_, text_lengths_;
  std::vector<CascadeLane> views_;
  std::vector<CascadeFrame> frames_;
  std::vector<CascadeTurn> turns_;
  Array<float> scratch_, one_hot_;
  Cascade cascade_;
};

}  // namespace speccascade
