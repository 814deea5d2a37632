// One verification step of one sequence on rows that are handed in, on the CPU: prepares the rows,
// then runs the engine's own acceptance on them. step_cuda.h has the same on a GPU.
#pragma once

#include <cstdint>
#include <vector>

#include "base/philox.h"
#include "decode/accept_tree.h"
#include "decode/position_rows.h"
#include "decode/rules.h"
#include "decode/step_result.h"

namespace speccascade {

enum class StepVerifier { kChain, kBlock, kTree, kTraversal };

// Rows are [vocabulary]; row 0 of an array of nodes + 1 follows the prefix, row n + 1
// follows node n. In chains node n follows node n - 1.
template <typename Real>
struct StepArgs {
  Rule rule;
  RowScaling scaling;
  int vocabulary;
  int nodes;
  const int32_t* parents;       // [nodes] -1: the prefix; parents before children
  const int32_t* tokens;        // [nodes]
  const Real* target;           // [nodes + 1, vocabulary]
  const Real* drafter;          // likewise; null: the rule and the proposals need none
  const uint8_t* drafter_rows;  // [nodes + 1] 0: no drafter row here, pi = target; null: all there
  const Real* proposals;        // [nodes, vocabulary] what each token was drawn from; null: drafter
  StepVerifier verifier;
  Siblings siblings;     // kGiven with proposals; kFixed: nothing was drawn, in chains too
  const int32_t* stops;  // [num_stops] tokens that end the sequence
  int num_stops;
  const double* uniforms;  // [nodes + 1] one per node, the last for the final draw; or null:
  DrawAddress at;          // counters from this address on, as the engine's
};

// Of each node below the prefix, from 0 on; and how many levels there are.
std::vector<int32_t> node_depths(const int32_t* parents, int nodes);
int levels_of(const std::vector<int32_t>& depths);

template <typename Real>
StepResult verify_step(const StepArgs<Real>& args);

}  // namespace speccascade
