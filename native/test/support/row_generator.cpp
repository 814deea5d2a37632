#include "test/support/row_generator.h"

#include <algorithm>
#include <cmath>

namespace speccascade::test {

namespace {

uint32_t mix(uint32_t x) {
  x ^= x >> 16;
  x *= 0x7feb352du;
  x ^= x >> 15;
  x *= 0x846ca68bu;
  x ^= x >> 16;
  return x;
}

double uniform_at(uint32_t seed, uint32_t stream, uint32_t i) {
  return mix(i * 0x9E3779B1u + seed * 0x85EBCA77u + stream * 0xC2B2AE3Du) * 0x1p-32;
}

double bell(uint32_t seed, uint32_t model, uint32_t i) {
  return uniform_at(seed, 3 * model + 1, i) + uniform_at(seed, 3 * model + 2, i) +
         uniform_at(seed, 3 * model + 3, i) - 1.5;
}

}  // namespace

Row RowGenerator::logits(int model, const Prefix& prefix) const {
  const uint32_t size = static_cast<uint32_t>(vocabulary);
  uint32_t code = 1;
  for (const int token : prefix) code = code * (size + 1) + static_cast<uint32_t>(token) + 1;
  Row row;
  for (uint32_t v = 0; v < size; ++v) {
    const uint32_t i = code * size + v;
    double logit = target_scale * bell(seed, 0, i);
    if (model > 0) {
      logit += drafter_noise[static_cast<size_t>(model - 1)] *
               bell(seed, static_cast<uint32_t>(model), i);
    }
    row.push_back(logit);
  }
  return row;
}

Row softmax_row(const Row& logits, double temperature) {
  const auto best = std::max_element(logits.begin(), logits.end());
  Row row(logits.size(), 0.0);
  if (temperature == 0.0) {
    row[static_cast<size_t>(best - logits.begin())] = 1.0;
    return row;
  }
  for (size_t v = 0; v < logits.size(); ++v) row[v] = std::exp((logits[v] - *best) / temperature);
  return normalised(row);
}

Row normalised(Row row) {
  double total = 0.0;
  for (const double x : row) total += x;
  for (double& x : row) x /= total;
  return row;
}

}  // namespace speccascade::test
