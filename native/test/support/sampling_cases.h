// Cases of distributions over a vocabulary, for each implementation of sampling.h: against the
// formulas in double.
#pragma once

#include "ops/sampling.h"

namespace speccascade::test {

using Distribution = void (*)(const DistributionArgs& args, int threads);

// Rows of random slots with random settings.
void try_batch(Distribution distribution, int vocabulary, int num_rows, uint64_t seed);

void rows_that_are_not_finite_are_told(Distribution distribution);

// However small the temperature, all mass goes to the best token and none is lost.
void small_temperatures_approach_greedy(Distribution distribution);

void large_temperatures_approach_uniform(Distribution distribution);

// top-k 1 is greedy whatever the temperature; equals go to the lowest index.
void top_k_prefers_the_lowest_index(Distribution distribution);

}  // namespace speccascade::test
