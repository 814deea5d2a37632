// How a row that is handed in becomes one that tokens are drawn from.
#pragma once

namespace speccascade {

struct RowScaling {
  double temperature = 1.0;    // 0: one-hot at the lowest-index maximum
  int top_k = 0;               // 0: off
  double top_p = 1.0;          // 1: off
  bool probabilities = false;  // rows are probabilities instead of logits
};

}  // namespace speccascade
