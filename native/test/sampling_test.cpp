// From logits to distributions: edits, temperature, top-k, top-p, log-sums and row states, with
// settings of several slots mixed in one call.
#include "ops/sampling.h"

#include <vector>

#include "test/check.h"
#include "test/support/isa_runs.h"
#include "test/support/sampling_cases.h"
#include "test/support/tolerances.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

constexpr int kVocabularies[] = {1, 2, 3, 15, 17, 31, 32, 33, 40, 100, 257, 1030};

void mixed_settings_in_one_batch() {
  uint64_t seed = 1;
  for (const int vocabulary : kVocabularies) {
    for (const int rows : {0, 1, 2, 17, 40}) {
      for (int round = 0; round < 4; ++round) try_batch(distribution_cpu, vocabulary, rows, ++seed);
    }
  }
  try_batch(distribution_cpu, 32128, 3, ++seed);
  try_batch(distribution_cpu, 32128, 2, ++seed);
}

void not_finite() { rows_that_are_not_finite_are_told(distribution_cpu); }
void small_temperatures() { small_temperatures_approach_greedy(distribution_cpu); }
void large_temperatures() { large_temperatures_approach_uniform(distribution_cpu); }
void top_k() { top_k_prefers_the_lowest_index(distribution_cpu); }

void filters_in_double() {
  std::vector<double> row = {0.1, 0.4, 0.2, 0.3};
  filter_top<double>(row.data(), 4, 0, 0.7);  // 0.4 + 0.3 reach 0.7
  CHECK_NEAR(row[1], 4.0 / 7, kVectorDouble);
  CHECK_NEAR(row[3], 3.0 / 7, kVectorDouble);
  CHECK(row[0] == 0.0 && row[2] == 0.0);
  row = {0.1, 0.4, 0.2, 0.3};
  filter_top<double>(row.data(), 4, 2, 0.5);  // of what top-k left, 0.4 / 0.7 exceeds one half
  CHECK(row[1] == 1.0 && row[0] == 0.0 && row[2] == 0.0 && row[3] == 0.0);
  row = {0.25, 0.5, 0.25};
  filter_top<double>(row.data(), 3, 0, 0.5);  // the first reaches it
  CHECK(row == (std::vector<double>{0.0, 1.0, 0.0}), "more than reach the threshold");
  row = {0.1, 0.4, 0.2, 0.3};
  const std::vector<double> same = row;
  filter_top<double>(row.data(), 4, 4, 1.0);
  filter_top<double>(row.data(), 4, 0, 1.0);
  filter_top<double>(row.data(), 4, 1000, 1.0);
  CHECK(row == same, "filters that keep everything must not touch the row");
}

}  // namespace

int main(int argc, char** argv) {
  return run_for_every_isa(
      argc, argv,
      {CASE(mixed_settings_in_one_batch), CASE(not_finite), CASE(small_temperatures),
       CASE(large_temperatures), CASE(top_k), CASE(filters_in_double)});
}
