// What one verification step of one sequence comes to.
#pragma once

#include <cstdint>
#include <vector>

namespace speccascade {

struct StepResult {
  std::vector<int32_t> accepted;  // nodes of the accepted path
  int32_t next = -1;              // the token after it; -1 when its last token ends the sequence
  std::vector<float> deferral;    // per tested position
};

}  // namespace speccascade
