// Who proposes: the first half of a step. A drafter fills the draft of every active
// slot (sequence_state.h) and tells what the tokens were drawn from; the target's pass
// and verification (verify.h) are the other half. One file a drafter.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "decode/draft_plan.h"
#include "decode/draft_rows.h"
#include "decode/model_lane.h"
#include "decode/sequence_state.h"
#include "ops/sampling.h"

namespace speccascade {

// Empties the drafts of all slots and says how long they may become: `draft_limit`, one
// less than the tokens left, because the target adds one itself, but to a trusted draft.
void empty_drafts(const SequenceState& state);

// What a session gives its drafter.
struct DraftContext {
  SequenceState state;
  SlotSampling sampling;  // of drafters: `wants_rows` is about theirs
  LaneLimits limits;
  int max_prefix;
  int vocabulary;
  const Model* target;  // costs are relative to its
};

// Committed positions that the first pass of a step takes. Once it has consumed the prefix, a
// drafter lags by two, the last token and an accepted leaf before it, and by more where lengths
// that vary did without it.
int most_pending(const DraftPlan& plan, const DraftContext& context);

class Drafter {
 public:
  explicit Drafter(const DraftContext& context) : context_(context), state_(context_.state) {}
  virtual ~Drafter() = default;
  Drafter(const Drafter&) = delete;
  Drafter& operator=(const Drafter&) = delete;

  virtual void encode(const std::vector<const std::vector<int32_t>*>& inputs,
                      const std::vector<int>& sources) = 0;
  // A sample begins in a slot.
  virtual void start(int slot, int source) = 0;
  virtual void draft() = 0;
  // The outcome stands in the state: caches keep what was accepted.
  virtual void commit() = 0;
  virtual DraftRows rows() const = 0;
  virtual size_t bytes() const = 0;

 protected:
  DraftContext context_;
  const SequenceState& state_;
};

// Null for DraftKind::kNone. The models outlive the drafter.
std::unique_ptr<Drafter> make_drafter(const DraftPlan& plan,
                                      const std::vector<const Model*>& models,
                                      const DraftContext& context);

}  // namespace speccascade
