// One position's rows and pi as the kernels of a step make them: for lowlevel.targetDistribution,
// and for tests against exact numbers.
#pragma once

#include <vector>

#include "decode/row_scaling.h"
#include "decode/rules.h"

namespace speccascade {

// Rows are the host's, [vocabulary].
struct DevicePosition {
  int vocabulary = 0;
  // Logits; or, where unscaled rows are given, the rows that tokens are drawn from.
  const float* target = nullptr;
  const float* drafter = nullptr;  // null: no rule that reads it
  const float* target_unscaled = nullptr;
  const float* drafter_unscaled = nullptr;
  RowScaling scaling;  // of logits
  Rule rule;
};

struct DevicePositionRows {
  std::vector<float> target, pi;
  float deferral = 0.0f;
};

// The distribution of both models' rows, then rule and verification of an empty draft. Throws
// ERR_DEVICE where there is no such device, ERR_NUMERIC for rows without a token to draw.
DevicePositionRows position_on_cuda(int device, const DevicePosition& position);

}  // namespace speccascade
