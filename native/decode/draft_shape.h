// The form of a step's draft: how many candidates follow each node, level by
// level. A chain of length g is g levels of one candidate.
#pragma once

#include <cstdint>

#include "base/host_device.h"

namespace speccascade {

// How the children of a node were chosen; see accept_tree.h.
enum class Siblings : int32_t { kWithReplacement, kWithoutReplacement, kFixed, kGiven };

// Of drafts made level by level; fixed for a session.
struct DraftShape {
  const int32_t* widths;  // [levels] candidates per node
  Siblings siblings;      // of drawn candidates; at temperature 0 they are fixed
};

// Rows [vocabulary] of scratch that verifying a draft of so many levels takes (accept_*.h).
constexpr int verify_scratch_rows(bool traversal, int levels) { return traversal ? 2 * levels : 2; }

}  // namespace speccascade
