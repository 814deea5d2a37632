// The distribution kernel under the emulation: the cases of sampling_test, and against the CPU's
// distribution where rows are unscaled or large.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "ops/ops_cuda.h"
#include "test/check.h"
#include "test/support/emulated_runs.h"
#include "test/support/sampling_cases.h"
#include "test/support/tolerances.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

void run_cuda_op(const DistributionArgs& args, int) {
  DistributionArgs bounded = args;
  bounded.max_rows = args.max_rows + 1;  // the bound is one more than there are rows
  distribution_cuda(bounded, nullptr);
}

// Beside what the product of the logits leaves of them.
void run_with_peaks(const DistributionArgs& args, int threads) {
  std::vector<LeftPeak> peaks;
  const int count = peaks_of(args.vocabulary);
  for (int i = 0; i < *args.num_rows * count; ++i) {
    const float* row = args.logits + static_cast<ptrdiff_t>(i / count) * args.vocabulary;
    const int first = i % count * kPeakOutputs;
    RowPeak peak = {-std::numeric_limits<float>::infinity(), first};
    for (int v = first; v < std::min(first + kPeakOutputs, args.vocabulary); ++v) {
      if (!(row[v] <= peak.value)) peak = {row[v], v};
      if (std::isnan(row[v])) peak.value = std::numeric_limits<float>::infinity();
    }
    double powers = 0.0;
    for (int v = first; v < std::min(first + kPeakOutputs, args.vocabulary); ++v) {
      powers += row[v] > -std::numeric_limits<float>::infinity()
                    ? std::exp(static_cast<double>(row[v]) - static_cast<double>(peak.value))
                    : 0.0;
    }
    peaks.push_back({peak, static_cast<float>(powers)});
  }
  DistributionArgs with_peaks = args;
  with_peaks.peaks = peaks.data();
  run_cuda_op(with_peaks, threads);
}

void mixed_settings_in_one_batch() {
  uint64_t seed = 1;
  for (const int vocabulary : {1, 2, 5, 31, 32, 33, 100, 257, 1030}) {
    for (int round = 0; round < 4; ++round) {
      ++seed;
      const auto run = round % 2 == 0 ? run_cuda_op : run_with_peaks;
      with_schedule(seed, [&] { try_batch(run, vocabulary, 7, seed); });
    }
  }
  try_batch(run_cuda_op, 33, 0, ++seed);
}

void not_finite() {
  rows_that_are_not_finite_are_told(run_cuda_op);
  rows_that_are_not_finite_are_told(run_with_peaks);
}
void small_temperatures() { small_temperatures_approach_greedy(run_cuda_op); }
void large_temperatures() { large_temperatures_approach_uniform(run_cuda_op); }
void top_k() { top_k_prefers_the_lowest_index(run_cuda_op); }

// One row a slot, each with settings of its own, for both implementations.
struct Batch {
  int vocabulary;
  int32_t rows;
  std::vector<float> logits, temperature, top_p, probs, unscaled, log_sum;
  std::vector<int32_t> top_k, slot, zeros, ones, best, status;
  std::vector<uint32_t> suppress, eos, stop;

  Batch(int count, int columns, TestRandom& random)
      : vocabulary(columns),
        rows(count),
        logits(random.values(static_cast<size_t>(count) * static_cast<size_t>(columns), 3.0)),
        temperature(static_cast<size_t>(count), 0.8f),
        top_p(static_cast<size_t>(count), 1.0f),
        probs(logits.size(), -7.0f),
        unscaled(logits.size(), -7.0f),
        log_sum(static_cast<size_t>(count)),
        top_k(static_cast<size_t>(count)),
        slot(static_cast<size_t>(count)),
        zeros(static_cast<size_t>(count), 0),
        ones(static_cast<size_t>(count), 1),
        best(static_cast<size_t>(count)),
        status(static_cast<size_t>(count)) {
    std::iota(slot.begin(), slot.end(), 0);
    const size_t words = static_cast<size_t>(bit_words_for(columns));
    suppress.resize(words * static_cast<size_t>(count));
    eos = stop = suppress;
    suppress[words - 1] |= 1u << ((columns - 1) % 32);
  }

  DistributionArgs args() {
    const SlotSampling sampling = {temperature.data(),
                                   top_k.data(),
                                   top_p.data(),
                                   ones.data(),
                                   ones.data(),
                                   ones.data(),
                                   zeros.data(),
                                   suppress.data(),
                                   eos.data(),
                                   stop.data(),
                                   bit_words_for(vocabulary)};
    return {logits.data(), vocabulary,     &rows,        rows,         slot.data(),
            zeros.data(),  nullptr,        sampling,     probs.data(), unscaled.data(),
            best.data(),   log_sum.data(), status.data()};
  }
};

void compare(Batch batch) {
  Batch other = batch;
  distribution_cpu(batch.args(), 1);
  distribution_cuda(other.args(), nullptr);
  CHECK(other.best == batch.best && other.status == batch.status);
  CHECK(same_bits(other.logits, batch.logits), "edits");
  for (size_t r = 0; r < batch.log_sum.size(); ++r) {
    CHECK_NEAR(other.log_sum[r], batch.log_sum[r], kLogSum);
  }
  for (size_t i = 0; i < batch.probs.size(); ++i) {
    CHECK_NEAR(other.probs[i], batch.probs[i], kProbability, "entry ", i);
    CHECK_NEAR(other.unscaled[i], batch.unscaled[i], kProbability, "entry ", i);
  }
}

Batch mixed_batch(int vocabulary, uint64_t seed) {
  TestRandom random(seed);
  Batch batch(5, vocabulary, random);
  batch.temperature = {0.0f, 0.8f, 1.5f, 0.8f, 0.3f};
  batch.top_k = {0, 0, std::max(1, vocabulary / 3), std::max(1, vocabulary / 2), vocabulary + 2};
  batch.top_p = {1.0f, 1.0f, 1.0f, 0.9f, 0.7f};
  return batch;
}

void rows_that_rules_read() {
  for (const int vocabulary : {5, 33, 1000}) {
    compare(mixed_batch(vocabulary, static_cast<uint64_t>(vocabulary)));
  }
}

// The largest vocabulary, with many equals: every logit is a multiple of 1/4.
void the_largest_vocabulary() {
  TestRandom random(7);
  Batch batch(2, 250112, random);
  for (float& x : batch.logits) x = std::round(x * 4.0f) / 4.0f;
  batch.top_k = {3000, 0};
  batch.top_p = {1.0f, 0.6f};
  compare(batch);
}

// Rows where counters meet: of one value, of two in turns, of one large entry among small ones, and
// within a hundredth of each other, more at the boundary than are collected.
void rows_of_few_values() {
  TestRandom random(11);
  constexpr int kColumns = 32128, kOfRows = 6;
  Batch batch(kOfRows, kColumns, random);
  batch.top_k = {0, 777, 0, 0, 0, 20000};
  batch.top_p = {0.37f, 1.0f, 0.8f, 0.9f, 0.95f, 0.5f};
  for (size_t i = 0; i < batch.logits.size(); ++i) {
    const size_t row = i / kColumns;
    float& x = batch.logits[i];
    if (row < 2) x = -3.0f;
    if (row == 2) x = i % 2 == 0 ? 1.0f : 1.5f;
    if (row == 3) x = i % kColumns == 12345 ? 30.0f : x;
    if (row > 3) x = std::round(x * 3.0f) / 1024.0f;
  }
  compare(batch);
}

// What is kept does not depend on the order in which threads count.
void rows_in_every_schedule() {
  for (const int vocabulary : {33, 1000}) {
    same_in_every_schedule("distribution", [&] {
      Batch batch = mixed_batch(vocabulary, 3);
      distribution_cuda(batch.args(), nullptr);
      batch.probs.insert(batch.probs.end(), batch.unscaled.begin(), batch.unscaled.end());
      batch.probs.insert(batch.probs.end(), batch.log_sum.begin(), batch.log_sum.end());
      return batch.probs;
    });
  }
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(
      argc, argv,
      {CASE(mixed_settings_in_one_batch), CASE(not_finite), CASE(small_temperatures),
       CASE(large_temperatures), CASE(top_k), CASE(rows_that_rules_read),
       CASE(the_largest_vocabulary), CASE(rows_of_few_values), CASE(rows_in_every_schedule)});
}
