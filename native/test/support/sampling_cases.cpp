#include "test/support/sampling_cases.h"

#include <algorithm>
#include <limits>

#include "engine/slot_tables.h"
#include "test/check.h"
#include "test/support/reference_ops.h"
#include "test/support/test_random.h"
#include "test/support/tolerances.h"

namespace speccascade::test {

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

SessionLimits limits_for(int slots) {
  SessionLimits limits;
  limits.max_batch = slots;
  limits.max_new_tokens = 8;
  return limits;
}

// Everything a distribution writes, for rows of any slots.
struct Rows {
  std::vector<float> logits, probs, log_sum;
  std::vector<int32_t> slot, output, out_rows, best, status;

  void resize(int vocabulary, bool mapped, TestRandom& random) {
    const size_t count = slot.size();
    probs.assign((count + 3) * static_cast<size_t>(vocabulary), -7.0f);
    log_sum.assign(count, -7.0f);
    best.assign(count, -7);
    status.assign(count, -7);
    if (mapped) out_rows = random.permutation(static_cast<int>(count) + 3);
  }

  void run(Distribution distribution, const SlotTables& tables, int vocabulary, int threads) {
    // Tests of kernels on a GPU reach the heap alone (on_device.h).
    std::vector<char> copy(tables.memory(), tables.memory() + tables.bytes());
    const int32_t count = static_cast<int32_t>(slot.size());
    DistributionArgs args = {};
    args.logits = logits.data();
    args.vocabulary = vocabulary;
    args.num_rows = &count;
    args.max_rows = count;
    args.row_slot = slot.data();
    args.row_output = output.data();
    args.out_rows = out_rows.empty() ? nullptr : out_rows.data();
    args.slots =
        carve_tables(limits_for(tables.sequences().slots), vocabulary, copy.data()).sampling;
    args.probs = probs.data();
    args.best = best.data();
    args.log_sum = log_sum.data();
    args.row_status = status.data();
    distribution(args, threads);
  }
};

std::vector<int32_t> some_tokens(TestRandom& random, int vocabulary) {
  std::vector<int32_t> tokens;
  for (int i = random.below(std::min(vocabulary, 6)); i > 0; --i) {
    tokens.push_back(random.below(vocabulary));
  }
  return tokens;
}

Request random_request(TestRandom& random, int vocabulary) {
  constexpr float kTemperatures[] = {0.0f, 0.1f, 0.7f, 1.0f, 2.5f};
  Request request;
  request.prefix = {0};
  request.temperature = kTemperatures[random.below(5)];
  if (random.below(2)) request.top_k = 1 + random.below(vocabulary + 3);
  if (random.below(2)) request.top_p = 0.05f + 0.9f * static_cast<float>(random.uniform());
  if (random.below(2)) request.suppress_tokens = some_tokens(random, vocabulary);
  if (random.below(2)) request.eos_tokens = some_tokens(random, vocabulary);
  if (random.below(2)) request.stop_tokens = some_tokens(random, vocabulary);
  request.min_new_tokens = random.below(3);
  request.logprobs = random.below(2) == 1;
  request.seeds = {1};
  return request;
}

std::vector<bool> masked_tokens(const Request& request, int output, int vocabulary) {
  std::vector<bool> masked(static_cast<size_t>(vocabulary), false);
  for (const int32_t t : request.suppress_tokens) masked[static_cast<size_t>(t)] = true;
  if (output < request.min_new_tokens) {
    for (const int32_t t : request.eos_tokens) masked[static_cast<size_t>(t)] = true;
    for (const int32_t t : request.stop_tokens) masked[static_cast<size_t>(t)] = true;
  }
  return masked;
}

void check_row(const Rows& rows, size_t r, const std::vector<float>& logits,
               const Request& request) {
  const size_t vocabulary = logits.size();
  const DistributionTwin twin = distribution_twin(
      logits, masked_tokens(request, rows.output[r], static_cast<int>(vocabulary)),
      static_cast<double>(request.temperature), request.top_k, static_cast<double>(request.top_p));
  if (request.logprobs && !std::isnan(twin.log_sum)) {  // NaN: the model gave no token at all
    CHECK_NEAR(static_cast<double>(rows.log_sum[r]), twin.log_sum, kLogSum);
  }
  if (twin.best < 0) {
    CHECK(rows.status[r] == static_cast<int32_t>(RowStatus::kNoTokenLeft));
    return;
  }
  CHECK(rows.status[r] == static_cast<int32_t>(RowStatus::kOk));
  CHECK(rows.best[r] == twin.best, "vocabulary ", vocabulary);
  if (request.temperature == 0.0f || twin.nucleus_margin < kProbability) return;
  const size_t out = rows.out_rows.empty() ? r : static_cast<size_t>(rows.out_rows[r]);
  for (size_t v = 0; v < vocabulary; ++v) {
    const float got = rows.probs[out * vocabulary + v];
    CHECK_NEAR(static_cast<double>(got), twin.probs[v], kProbability, "vocabulary ", vocabulary,
               " T ", request.temperature, " k ", request.top_k, " p ", request.top_p, " token ",
               v);
    // What a filter or an edit removed has no mass at all.
    if (twin.probs[v] == 0.0) CHECK(got == 0.0f, "token ", v);
  }
}

}  // namespace

void try_batch(Distribution distribution, int vocabulary, int num_rows, uint64_t seed) {
  TestRandom random(seed);
  constexpr int kSlots = 5;
  SlotTables tables(limits_for(kSlots), vocabulary);
  std::vector<Request> requests;
  for (int s = 0; s < kSlots; ++s) {
    requests.push_back(random_request(random, vocabulary));
    tables.assign(s, requests.back(), 1);
  }
  Rows rows;
  for (int r = 0; r < num_rows; ++r) {
    rows.slot.push_back(random.below(kSlots));
    rows.output.push_back(random.below(4));
    for (int v = 0; v < vocabulary; ++v) {
      // Multiples of 1/8: ties are common, and what is no tie is far from one.
      const float logit = static_cast<float>(random.below(160) - 80) / 8.0f;
      rows.logits.push_back(random.below(40) == 0 ? -kInfinity : logit);
    }
  }
  const std::vector<float> before = rows.logits;
  rows.resize(vocabulary, seed % 2 == 0, random);
  rows.run(distribution, tables, vocabulary, static_cast<int>(seed % 3) + 1);
  for (size_t r = 0; r < rows.slot.size(); ++r) {
    const auto begin = before.begin() + static_cast<ptrdiff_t>(r) * vocabulary;
    check_row(rows, r, {begin, begin + vocabulary}, requests[static_cast<size_t>(rows.slot[r])]);
  }
}

namespace {

// One row with one request.
Rows run_row(Distribution distribution, const Request& request, std::vector<float> logits) {
  const int vocabulary = static_cast<int>(logits.size());
  TestRandom random(1);
  SlotTables tables(limits_for(1), vocabulary);
  tables.assign(0, request, 1);
  Rows rows;
  rows.slot = {0};
  rows.output = {0};
  rows.logits = std::move(logits);
  rows.resize(vocabulary, false, random);
  rows.run(distribution, tables, vocabulary, 1);
  return rows;
}

Request plain_request(float temperature) {
  Request request;
  request.prefix = {0};
  request.temperature = temperature;
  request.seeds = {1};
  return request;
}

}  // namespace

void rows_that_are_not_finite_are_told(Distribution distribution) {
  for (const float temperature : {0.0f, 1.0f}) {
    for (const float poison : {kNaN, kInfinity}) {
      for (const size_t at : {0, 7, 16, 18}) {
        std::vector<float> logits(19, 0.5f);
        logits[at] = poison;
        const Rows rows = run_row(distribution, plain_request(temperature), logits);
        CHECK(rows.status[0] == static_cast<int32_t>(RowStatus::kNotFinite), "at ", at);
      }
    }
  }
  // A suppressed token does not hide what the model gave.
  Request request = plain_request(1.0f);
  request.suppress_tokens = {3};
  std::vector<float> logits(19, 0.5f);
  logits[3] = kNaN;
  CHECK(run_row(distribution, request, logits).status[0] ==
        static_cast<int32_t>(RowStatus::kNotFinite));
}

// However small the temperature, all mass goes to the best token and none is lost.
void small_temperatures_approach_greedy(Distribution distribution) {
  for (const float temperature : {1e-3f, 1e-10f, 1e-30f, 1e-37f, 1e-38f, 1e-39f, 1e-45f}) {
    const Rows rows =
        run_row(distribution, plain_request(temperature), {1.0f, 2.0f, -3.0f, 1.99f, 0.0f});
    const std::vector<float> expected = {0.0f, 1.0f, 0.0f, 0.0f, 0.0f};
    for (size_t v = 0; v < expected.size(); ++v) {
      CHECK_NEAR(static_cast<double>(rows.probs[v]), static_cast<double>(expected[v]), 1e-4,
                 "temperature ", temperature, " token ", v);
    }
  }
}

void large_temperatures_approach_uniform(Distribution distribution) {
  const Rows rows = run_row(distribution, plain_request(3e38f), {1.0f, 2.0f, -3.0f, 5.0f});
  for (size_t v = 0; v < 4; ++v) CHECK_NEAR(static_cast<double>(rows.probs[v]), 0.25, kProbability);
}

// top-k 1 is greedy whatever the temperature; equals go to the lowest index.
void top_k_prefers_the_lowest_index(Distribution distribution) {
  Request request = plain_request(1.7f);
  request.top_k = 1;
  std::vector<float> expected = {0, 0, 1, 0, 0, 0};
  Rows rows = run_row(distribution, request, {1.0f, 2.0f, 3.0f, 3.0f, -1.0f, 3.0f});
  rows.probs.resize(6);
  CHECK(rows.probs == expected);
  request.top_k = 2;
  expected = {0, 0, 0.5f, 0.5f, 0, 0};
  rows = run_row(distribution, request, {1.0f, 2.0f, 3.0f, 3.0f, -1.0f, 3.0f});
  rows.probs.resize(6);
  CHECK(rows.probs == expected);
}

}  // namespace speccascade::test
