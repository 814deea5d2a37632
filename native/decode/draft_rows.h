// What the tokens of a draft were drawn from: what a drafter tells verification.
#pragma once

#include <cstdint>

#include "decode/draft_shape.h"

namespace speccascade {

// The rows behind a step's drafts, [vocabulary] each.
struct DraftRows {
  // [slots, max_nodes + 1] of the drafter that rules read: entry 0 of a slot follows the
  // committed sequence, 1 + n follows node n. Null without such a drafter. Of requests at
  // temperature 1 without filters, the unscaled rows are equal to the others, bit by bit.
  const float* const* reference = nullptr;
  const float* const* reference_unscaled = nullptr;
  // [slots, max_nodes] what each node's token was drawn from; null: chosen without
  // chance. Null where siblings are fixed and the draft is no chain.
  const float* const* proposal = nullptr;
  Siblings siblings = Siblings::kFixed;  // how a node's children were chosen, temperature > 0
  bool chain = true;                     // one candidate per node
};

}  // namespace speccascade
