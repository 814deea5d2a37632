// BlockMath, the row passes of a block of a GPU, under the emulation: against the same passes in
// double, and the mathematics of rules and verification written over them.
#include "ops/row_math_cuda.cuh"

#include <algorithm>
#include <cmath>

#include "base/cuda_launch.h"
#include "decode/kseq.h"
#include "decode/rules.h"
#include "ops/row_math.h"
#include "test/check.h"
#include "test/support/emulated_runs.h"
#include "test/support/tolerances.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;
using Double = RowMath<double>;

constexpr int kLengths[] = {1, 2, 5, 31, 33, 257, 1000, 4099, 32128};

// What the passes give for one pair of rows.
struct Passes {
  float sum, difference, max, draws[4];
  int argmax;
};

SC_KERNEL(kMaxRowThreads)
passes_kernel(const float* a, const float* b, int count, const float* uniforms, float* softmax,
              float* difference, Passes* out) {
  Passes passes = {};
  passes.sum = BlockMath::sum(a, count);
  passes.difference = BlockMath::positive_difference(a, b, count, difference);
  passes.max = BlockMath::max(a, count);
  passes.argmax = BlockMath::argmax(a, count);
  for (int i = 0; i < 4; ++i) {
    passes.draws[i] = static_cast<float>(BlockMath::draw(a, count, passes.sum, uniforms[i]));
  }
  BlockMath::softmax(a, count, passes.max, 0.7f, softmax);
  BlockMath::put(difference, count - 1, softmax[0]);
  BlockMath::alone([=] { *out = passes; });
}

// A row of probabilities, some of them zero.
std::vector<float> random_row(TestRandom& random, int count) {
  std::vector<float> row(static_cast<size_t>(count));
  double total = 0.0;
  for (float& x : row) total += (x = random.below(4) == 0 ? 0.0f : std::exp(random.value(2.0)));
  if (total == 0.0) total = row[0] = 1.0f;
  for (float& x : row) x = static_cast<float>(x / total);
  return row;
}

std::vector<double> in_double(const std::vector<float>& row) { return {row.begin(), row.end()}; }

void try_passes(int count, uint64_t seed) {
  TestRandom random(seed);
  const size_t n = static_cast<size_t>(count);
  std::vector<float> a = random_row(random, count), b = random_row(random, count);
  a[n / 2] = a[n - 1] = *std::max_element(a.begin(), a.end());  // equals
  const std::vector<float> uniforms = {0.0f, 0.25f, static_cast<float>(random.uniform()),
                                       0x1.fffffep-1f};
  std::vector<float> softmax(n), difference(n);
  Passes passes = {};
  launch({1, row_threads(count)}, nullptr, passes_kernel, a.data(), b.data(), count,
         uniforms.data(), softmax.data(), difference.data(), &passes);
  const std::vector<double> x = in_double(a), y = in_double(b);
  std::vector<double> out(n);
  CHECK_NEAR(passes.sum, Double::sum(x.data(), count), kRowSum);
  CHECK_NEAR(passes.difference, Double::positive_difference(x.data(), y.data(), count, out.data()),
             kRowSum);
  for (size_t v = 0; v + 1 < n; ++v) CHECK(difference[v] == std::max(0.0f, a[v] - b[v]));
  CHECK(difference[n - 1] == softmax[0]);
  CHECK(passes.max == static_cast<float>(Double::max(x.data(), count)));
  CHECK(passes.argmax == Double::argmax(x.data(), count), "count ", count);
  for (size_t i = 0; i < uniforms.size(); ++i) {
    const int expected = Double::draw(x.data(), count, static_cast<double>(passes.sum),
                                      static_cast<double>(uniforms[i]));
    CHECK(static_cast<int>(passes.draws[i]) == expected, "count ", count, " uniform ", uniforms[i]);
  }
  Double::softmax(x.data(), count, Double::max(x.data(), count), static_cast<double>(0.7f),
                  out.data());
  for (size_t v = 0; v < n; ++v) CHECK_NEAR(softmax[v], out[v], kProbability, "count ", count);
}

void passes_agree_with_double() {
  uint64_t seed = 1;
  for (const int count : kLengths) {
    for (int round = 0; round < 3; ++round) {
      ++seed;
      with_schedule(seed, [&] { try_passes(count, seed); });
    }
  }
}

constexpr int kTop = 8;
using TopEntries = std::vector<int32_t>;

SC_KERNEL(kMaxRowThreads) top_kernel(const float* row, int count, int wanted, int32_t* out) {
  int32_t best[kTop];
  const int found = BlockMath::top(row, count, wanted, best);
  BlockMath::alone([&] { std::copy(best, best + found, out); });
}

// By a sort that keeps the order of equals.
TopEntries sorted_entries(const std::vector<float>& row, int wanted) {
  TopEntries order;
  for (size_t v = 0; v < row.size(); ++v) {
    if (row[v] > 0.0f) order.push_back(static_cast<int32_t>(v));
  }
  std::stable_sort(order.begin(), order.end(), [&](int32_t x, int32_t y) {
    return row[static_cast<size_t>(x)] > row[static_cast<size_t>(y)];
  });
  if (order.size() > static_cast<size_t>(wanted)) order.resize(static_cast<size_t>(wanted));
  return order;
}

void top_entries_are_those_of_a_sort() {
  uint64_t seed = 40;
  for (const int count : kLengths) {
    for (const int wanted : {1, 3, kTop}) {
      TestRandom random(++seed);
      std::vector<float> row = random_row(random, count);
      // Many equals: rounded to a few values.
      for (float& x : row) x = std::ceil(x * 6.0f * static_cast<float>(count)) / 64.0f;
      if (wanted == 3) std::fill(row.begin(), row.end(), 0.0f);
      row[static_cast<size_t>(count) / 2] = 0.5f;
      const TopEntries expected = sorted_entries(row, wanted);
      int32_t best[kTop];
      const int found = RowMath<float>::top(row.data(), count, wanted, best);
      CHECK((TopEntries(best, best + found) == expected), "count ", count, " wanted ", wanted);
      with_schedule(seed, [&] {
        TopEntries out(kTop, -1);
        launch({1, row_threads(count)}, nullptr, top_kernel, row.data(), count, wanted, out.data());
        for (size_t i = 0; i < out.size(); ++i) {
          CHECK(out[i] == (i < expected.size() ? expected[i] : -1), "count ", count, " entry ", i);
        }
      });
    }
  }
}

SC_KERNEL(64) draw_kernel(const float* weights, int count, float total, float uniform, int* out) {
  const int drawn = BlockMath::draw(weights, count, total, uniform);
  BlockMath::alone([=] { *out = drawn; });
}

int draw(const std::vector<float>& weights, float total, float uniform) {
  int out = -1;
  launch({1, 64}, nullptr, draw_kernel, weights.data(), static_cast<int>(weights.size()), total,
         uniform, &out);
  return out;
}

// The same cases as of RowMath: never an entry without weight, also where the total is too large.
void draws_follow_the_cumulative_sum() {
  const std::vector<float> row = {0, 0.25f, 0, 0.5f, 0.25f, 0};
  CHECK(draw(row, 1.0f, 0.0f) == 1);
  CHECK(draw(row, 1.0f, 0.2499f) == 1);
  CHECK(draw(row, 1.0f, 0.25f) == 3);
  CHECK(draw(row, 1.0f, 0.7499f) == 3);
  CHECK(draw(row, 1.0f, 0.75f) == 4);
  CHECK(draw(row, 1.5f, 0.9f) == 4);
  CHECK(draw(std::vector<float>(70, 0.0f), 0.0f, 0.5f) == 0);
  std::vector<float> late(70, 0.0f);
  late[66] = 1.0f;
  CHECK(draw(late, 1.0f, 0.0f) == 66);
  CHECK(draw(late, 2.0f, 0.9f) == 66);
}

SC_KERNEL(kMaxRowThreads)
rule_kernel(Rule rule, RuleRows<float> rows, float* pi, float* deferral) {
  const float deferred = rule_target<BlockMath>(rule, rows, pi).deferral;
  BlockMath::alone([=] { *deferral = deferred; });
}

void try_rule(const Rule& rule, int count, uint64_t seed) {
  TestRandom random(seed);
  std::vector<float> rows[4];
  std::vector<double> doubles[4];
  for (int i = 0; i < 4; ++i) doubles[i] = in_double(rows[i] = random_row(random, count));
  // A zero of p0 would make BiLD's distance infinite in most rows.
  for (size_t v = 0; v < rows[3].size(); ++v) {
    doubles[3][v] = static_cast<double>(rows[3][v] += 1e-4f);
  }
  const bool greedy = seed % 2 == 0;
  std::vector<float> pi(static_cast<size_t>(count), -7.0f);
  std::vector<double> expected(pi.size());
  float deferral = -7.0f;
  launch({1, row_threads(count)}, nullptr, rule_kernel, rule,
         RuleRows<float>{rows[0].data(), rows[1].data(), rows[2].data(), rows[3].data(), count,
                         greedy},
         pi.data(), &deferral);
  const RuleRows<double> exact = {
      doubles[0].data(), doubles[1].data(), doubles[2].data(), doubles[3].data(), count, greedy};
  const double expected_deferral = rule_target<Double>(rule, exact, expected.data()).deferral;
  CHECK_NEAR(deferral, expected_deferral, kVectorFloat, "rule ", static_cast<int>(rule.kind));
  for (size_t v = 0; v < pi.size(); ++v) {
    CHECK_NEAR(pi[v], expected[v], kVectorFloat, "rule ", static_cast<int>(rule.kind), " count ",
               count, " entry ", v);
  }
}

void rules_agree_with_double() {
  uint64_t seed = 100;
  for (int kind = 0; kind <= static_cast<int>(RuleKind::kBild); ++kind) {
    for (const double alpha : {0.05, 0.4}) {
      for (const int count : {5, 33, 1000}) {
        ++seed;
        const Rule rule = {static_cast<RuleKind>(kind), alpha, 0.8};
        with_schedule(seed, [&] { try_rule(rule, count, seed); });
      }
    }
  }
}

SC_KERNEL(kMaxRowThreads)
kseq_kernel(const float* pi, const float* drafter, int count, int k, float* residual, float* out) {
  const float rho = kseq_rho<BlockMath>(pi, drafter, count, k);
  const float mass = kseq_residual<BlockMath>(pi, drafter, count, k, rho, residual);
  BlockMath::alone([=] {
    out[0] = rho;
    out[1] = mass;
  });
}

void kseq_agrees_with_double() {
  for (const int count : {5, 33, 1000}) {
    for (const int k : {1, 2, 5}) {
      TestRandom random(static_cast<uint64_t>(count * 10 + k));
      const std::vector<float> pi = random_row(random, count), q = random_row(random, count);
      const std::vector<double> p = in_double(pi), d = in_double(q);
      std::vector<float> residual(pi.size());
      std::vector<double> expected(pi.size());
      float out[2] = {};
      launch({1, row_threads(count)}, nullptr, kseq_kernel, pi.data(), q.data(), count, k,
             residual.data(), &out[0]);
      const double rho = kseq_rho<Double>(p.data(), d.data(), count, k);
      CHECK_NEAR(out[0], rho, kVectorFloat * k, "k ", k);
      CHECK_NEAR(out[1], kseq_residual<Double>(p.data(), d.data(), count, k, rho, expected.data()),
                 kVectorFloat);
      for (size_t v = 0; v < pi.size(); ++v) CHECK_NEAR(residual[v], expected[v], kVectorFloat);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(argc, argv,
                   {CASE(passes_agree_with_double), CASE(top_entries_are_those_of_a_sort),
                    CASE(draws_follow_the_cumulative_sum), CASE(rules_agree_with_double),
                    CASE(kseq_agrees_with_double)});
}
