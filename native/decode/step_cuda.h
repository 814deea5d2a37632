// One verification step of one sequence on rows that are handed in, by the kernels that verify a
// session's steps on a GPU.
#pragma once

#include <cstdint>
#include <vector>

#include "base/philox.h"
#include "decode/desk.h"
#include "decode/draft_shape.h"
#include "decode/rules.h"
#include "decode/step_result.h"

namespace speccascade {

struct DeviceStepArgs {
  Rule rule;
  RowScaling scaling;
  int vocabulary = 0;
  DeskDraft draft;
  bool chain = true;                 // node n follows node n - 1
  const float* target = nullptr;     // logits [nodes + 1, vocabulary]: after the prefix, then nodes
  const float* drafter = nullptr;    // likewise; null: nothing reads them
  const float* proposals = nullptr;  // of chains, [nodes, vocabulary]: what tokens were drawn from
  Siblings siblings = Siblings::kFixed;
  std::vector<int32_t> stops;  // tokens that end the sequence
};

// Throws ERR_DEVICE where there is no such device, ERR_NUMERIC for rows without a token to draw.
StepResult step_on_cuda(int device, const DeviceStepArgs& args);

}  // namespace speccascade
