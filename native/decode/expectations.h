// What speculation is expected to gain, from measured acceptance and costs. Positions
// are taken as independent, each accepting with probability a; costs are those of one
// call relative to one call of the target.
//
// Leviathan et al. 2023 (tokens, speed-up); Chen et al. 2023, "Cascade Speculative
// Drafting" (generating function, vertical cascade); formulas in docs/methods.md.
#pragma once

namespace speccascade {

// Tokens per target call of a chain of `length`: (1 - a^(length+1)) / (1 - a).
double expected_tokens(double acceptance, int length);

// Its speed-up over the target alone: tokens / (length * cost + 1).
double expected_speedup(double acceptance, int length, double cost);

// Generating function, at x, of the tokens that one step with a chain of `length` emits:
// 1 + (x - 1) (1 - (a x)^(length+1)) / (1 - a x).
double tokens_generating(double x, double acceptance, int length);

// A vertical cascade: the draft is `reviews` reviews by d_1 (accepted by the target with
// probability a, cost c_1) of chains of `length` by d_2 (accepted by d_1 with
// probability a_2, cost c_2).
struct VerticalCascade {
  double acceptance;
  double lower_acceptance;
  int reviews;
  int length;
  double cost;
  double lower_cost;
};

double expected_vertical_speedup(const VerticalCascade& cascade);

// One stage of a horizontal cascade: so many tokens by a drafter of this acceptance
// and cost.
struct HorizontalStage {
  double acceptance;
  int tokens;
  double cost;
};

double expected_horizontal_speedup(const HorizontalStage* stages, int num_stages);

// Tokens per target call of a tree: 1 + sum_d prod_{j <= d} acceptance[j], where
// acceptance[j] is the chance that one of the children at depth j is accepted.
double expected_tree_tokens(const double* acceptance, int levels);

}  // namespace speccascade
