#include "decode/expectations.h"

#include <cmath>

namespace speccascade {

namespace {

// 1 + x + ... + x^(terms - 1), at x = 1 too.
double geometric_sum(double x, int terms) {
  double sum = 0.0;
  for (int i = 0; i < terms; ++i) sum = 1.0 + x * sum;
  return sum;
}

}  // namespace

double expected_tokens(double acceptance, int length) {
  return geometric_sum(acceptance, length + 1);
}

double expected_speedup(double acceptance, int length, double cost) {
  return expected_tokens(acceptance, length) / (length * cost + 1.0);
}

double tokens_generating(double x, double acceptance, int length) {
  return 1.0 + (x - 1.0) * geometric_sum(acceptance * x, length + 1);
}

double expected_vertical_speedup(const VerticalCascade& cascade) {
  // The block of n reviews has the generating function phi(x)^n, and the target keeps
  // its tokens with probability a: 1 + a + ... over a random length.
  const double phi =
      tokens_generating(cascade.acceptance, cascade.lower_acceptance, cascade.length);
  const double power = std::pow(phi, cascade.reviews);
  const double cost =
      1.0 + cascade.reviews * cascade.cost + cascade.reviews * cascade.length * cascade.lower_cost;
  if (cascade.acceptance == 1.0) {
    // The limit: every drafted token is kept.
    return (1.0 + cascade.reviews * expected_tokens(cascade.lower_acceptance, cascade.length)) /
           cost;
  }
  return (1.0 - cascade.acceptance * power) / ((1.0 - cascade.acceptance) * cost);
}

double expected_horizontal_speedup(const HorizontalStage* stages, int num_stages) {
  double tokens = 1.0, reached = 1.0, cost = 1.0;
  for (int i = 0; i < num_stages; ++i) {
    for (int j = 0; j < stages[i].tokens; ++j) {
      reached *= stages[i].acceptance;
      tokens += reached;
    }
    cost += stages[i].tokens * stages[i].cost;
  }
  return tokens / cost;
}

double expected_tree_tokens(const double* acceptance, int levels) {
  double tokens = 1.0, reached = 1.0;
  for (int i = 0; i < levels; ++i) {
    reached *= acceptance[i];
    tokens += reached;
  }
  return tokens;
}

}  // namespace speccascade
