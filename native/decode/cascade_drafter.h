// Cascade Speculative Drafting (Chen et al. 2023) in the engine: models that review each
// other's drafts, down to Max-Gram, by the schedule of cs_draft_schedule.h, which is the
// same recursion for one sequence and without batches. Here every slot has a stack of
// reviewers and stands at its own place of the recursion; each round runs one model for
// all slots that wait for it.
//
// Drafts are chains, and so are the caches: a model has consumed some of a slot's
// tokens, committed or drafted, and forgets those that are taken back.
//
// Beyond the schedule: nothing follows a token that ends the sequence, and a draft never
// outgrows the tokens that are left (a reviewer's own token counted).
#pragma once

#include "base/buffer.h"
#include "decode/adaptive_length.h"
#include "decode/copy_drafter.h"
#include "decode/drafter.h"

namespace speccascade {

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

 private:
  // A draft in the making: tokens from `begin` on, for a reviewer's row of the lengths
  // (0: the target, 1 + i: drafter i).
  struct Frame {
    int row;
    int begin;
    int stage;
    int wanted;  // tokens by the end of the stage
    int limit;   // draft tokens, from the step's beginning, that this draft may reach
  };
  struct Slot {
    std::vector<Frame> frames;  // the last is worked on
    int waits_for = -1;         // model whose pass is needed; -1: none
    bool last_rows = false;     // the pass is for rules alone
    int reviews = 0;            // of this step: addresses their random draws
    int known_rows = 0;         // leading rows of the first model that are of this draft
    int considered = 0;         // tokens that adaptive length has seen
  };

  void open(int slot);
  void advance(int slot);
  bool draft_is_complete(int slot, const Frame& frame) const;
  bool ask(int slot, Frame& frame);
  int copy(int slot, int length);
  void finish(int slot);
  int deepest_wanted() const;
  void run(int model);
  int first_place(int slot) const;
  int append_rows(int model, int slot, int first_place);
  void review(int model, int slot, int first_logit);
  int accept_greedy(int model, int slot, int begin, int first_logit);
  int accept_sampled(int model, int slot, int begin);
  void consider(int slot);
  float confidence(int slot, int token) const;

  int count(int slot) const { return state_.draft_count[slot]; }
  int32_t* tokens(int slot) const { return slot_part(state_.draft_tokens, slot, state_.max_nodes); }
  int64_t row_of(int slot, int place) const {
    return static_cast<int64_t>(slot) * (state_.max_nodes + 1) + place;
  }
  void put(int slot, int32_t token, int source);
  void cut(int slot, int length);
  bool ended(int slot) const;
  bool lenient() const { return lenience_.kind != RuleKind::kLossless; }

  DraftPlan plan_;
  int models_;
  int copy_length_;
  double lenience_factor_;
  Rule lenience_;
  CopySource source_;
  AdaptiveLength adaptive_;
  std::vector<std::unique_ptr<ModelLane>> lanes_;
  std::vector<Array<float>> lenient_rows_;  // [models][slots * (max_nodes + 1), vocabulary]
  std::vector<Slot> slots_;
  std::vector<int32_t> drawn_by_;  // [slots, max_nodes] model, or -1: copied
  std::vector<const float*> reference_, reference_unscaled_, proposal_;
  Array<float> scratch_, one_hot_;
  std::vector<int32_t> copied_;
};

}  // namespace speccascade
