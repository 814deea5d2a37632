// Rows of a target and its drafters after any prefix, by the formula of test/vectors/README.md: the
// models of the exact tests. A prefix gives the same rows everywhere, so laws can be enumerated.
#pragma once

#include <cstdint>
#include <vector>

namespace speccascade::test {

using Prefix = std::vector<int>;
using Row = std::vector<double>;

struct RowGenerator {
  uint32_t seed = 0;
  int vocabulary = 0;
  double target_scale = 1.0;          // sp
  std::vector<double> drafter_noise;  // sn, one per drafter

  // Logits of model 0 (the target) or of drafter 1, 2, ... after `prefix`.
  Row logits(int model, const Prefix& prefix) const;
};

// softmax(logits / temperature); one-hot at the lowest-index maximum at temperature 0. Minus
// infinity is a token that cannot occur.
Row softmax_row(const Row& logits, double temperature);

// The row divided by its sum.
Row normalised(Row row);

}  // namespace speccascade::test
