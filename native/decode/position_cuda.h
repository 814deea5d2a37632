// One position's rows and pi as the kernels of a step make them: for lowlevel.targetDistribution,
// and for tests against exact numbers.
#pragma once

#include <vector>

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
  float temperature = 1.0f;  // 0: one-hot at the lowest-index maximum
  int top_k = 0;             // of logits; 0: off
  float top_p = 1.0f;        // of logits; 1: off
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
