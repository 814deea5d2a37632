// The operations on single rows against their formulas: norm, embedding look-up, and the passes
// over a vocabulary row that sampling is made of.
#include "ops/cpu_kernels.h"
#include "ops/embed.h"
#include "ops/rms_norm.h"
#include "ops/row_math.h"
#include "ops/sampling.h"

#include <algorithm>
#include <limits>

#include "test/check.h"
#include "test/support/isa_runs.h"
#include "test/support/reference_ops.h"
#include "test/support/test_random.h"
#include "test/support/tolerances.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

constexpr int kSizes[] = {1,  2,  3,   4,   7,    8,    9,    15,   16,   17,   31,
                          33, 40, 100, 257, 1000, 1023, 1024, 1025, 1040, 2049, 32128};
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

void try_rms_norm(int width, int rows, bool mapped, int threads, uint64_t seed) {
  TestRandom random(seed);
  const size_t w = static_cast<size_t>(width), r = static_cast<size_t>(rows);
  const std::vector<float> x = random.values((r + 2) * w, 3.0);
  const std::vector<float> weight = random.values(w);
  std::vector<int32_t> in_rows;
  for (int i = 0; i < rows; ++i) in_rows.push_back(random.below(rows + 2));
  std::vector<float> out(r * w + 1, -7.0f);
  const float epsilon = 1e-6f, scale = seed % 2 ? 1.0f : 0.125f;
  const int32_t count = rows;
  rms_norm_cpu({x.data(), weight.data(), out.data(), width, epsilon, scale, &count, rows,
                mapped ? in_rows.data() : nullptr},
               threads);
  for (size_t i = 0; i < r; ++i) {
    const size_t source = mapped ? static_cast<size_t>(in_rows[i]) : i;
    const std::vector<Twin> twin = rms_norm_twin(
        x.data() + source * w, weight, static_cast<double>(epsilon), static_cast<double>(scale));
    for (size_t c = 0; c < w; ++c) {
      CHECK(agrees(out[i * w + c], twin[c]), "width ", width, " rows ", rows, " at ", i, ",", c,
            ": got ", out[i * w + c], ", expected ", twin[c].value, " +- ", twin[c].bound);
    }
  }
  CHECK(out[r * w] == -7.0f, "wrote past the last row, width ", width, " rows ", rows);
}

void norms_follow_the_formula() {
  uint64_t seed = 1;
  for (const int width : {1, 2, 3, 15, 16, 17, 31, 33, 40, 100, 257, 1030}) {
    for (const int rows : {0, 1, 2, 15, 16, 17, 33, 40}) {
      try_rms_norm(width, rows, seed % 3 == 0, static_cast<int>(seed % 4) + 1, seed);
      ++seed;
    }
  }
}

// A row of zeros has no direction; epsilon keeps it at zero.
void norm_of_a_zero_row_is_zero() {
  const std::vector<float> x(17, 0.0f), weight(17, 2.0f);
  std::vector<float> out(17, 1.0f);
  const int32_t rows = 1;
  rms_norm_cpu({x.data(), weight.data(), out.data(), 17, 1e-6f, 1.0f, &rows, 1, nullptr}, 1);
  for (const float y : out) CHECK(y == 0.0f);
}

void embeddings_are_the_rows_of_the_table() {
  TestRandom random(5);
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kInt8}) {
    for (const int vocabulary : {1, 15, 16, 17, 40, 257}) {
      const int width = 1 + random.below(40);
      const size_t w = static_cast<size_t>(width);
      const std::vector<float> table = random.values(static_cast<size_t>(vocabulary) * w);
      const std::vector<float> held = rounded_to(dtype, table, width);
      std::vector<uint8_t> packed(packed_bytes(vocabulary, width, dtype, false));
      pack_rows(table.data(), 0, vocabulary, width, dtype, 0, false, packed.data());
      for (const int rows : {0, 1, 13}) {
        std::vector<int32_t> tokens;
        for (int r = 0; r < rows; ++r) tokens.push_back(random.below(vocabulary));
        std::vector<float> out(static_cast<size_t>(rows) * w);
        const int32_t count = rows;
        embed_cpu({{packed.data(), dtype, vocabulary, width, false},
                   tokens.data(),
                   out.data(),
                   &count,
                   rows});
        for (size_t r = 0; r < tokens.size(); ++r) {
          CHECK(same_bits(out.data() + r * w, held.data() + static_cast<size_t>(tokens[r]) * w, w),
                dtype_name(dtype), " vocabulary ", vocabulary, " token ", tokens[r]);
        }
      }
    }
  }
}

void argmax_is_the_lowest_of_the_largest() {
  TestRandom random(9);
  for (const int count : kSizes) {
    for (int round = 0; round < 20; ++round) {
      // Few distinct values, so that equals are common.
      std::vector<float> row(static_cast<size_t>(count));
      for (float& x : row) x = static_cast<float>(random.below(round % 2 ? 4 : 1000)) - 500.0f;
      if (round % 5 == 0) row[static_cast<size_t>(random.below(count))] = -kInfinity;
      int best = 0;
      for (int v = 1; v < count; ++v) {
        if (row[static_cast<size_t>(v)] > row[static_cast<size_t>(best)]) best = v;
      }
      bool finite = false;
      CHECK(cpu_kernels().argmax(row.data(), count, &finite) == best, "count ", count);
      CHECK(finite, "count ", count);
    }
  }
}

void argmax_sees_every_entry_that_is_not_finite() {
  for (const int count : {1, 3, 4, 5, 8, 15, 16, 17, 33, 100}) {
    for (int at = 0; at < count; ++at) {
      for (const float poison : {kNaN, -kNaN, kInfinity}) {
        std::vector<float> row(static_cast<size_t>(count), 1.0f);
        row[static_cast<size_t>(at)] = poison;
        bool finite = true;
        const int best = cpu_kernels().argmax(row.data(), count, &finite);
        CHECK(!finite, "count ", count, " at ", at, " value ", poison);
        CHECK(best >= 0 && best < count, "count ", count, " at ", at);
      }
    }
  }
}

void exponentials_and_their_sum() {
  TestRandom random(13);
  for (const int count : kSizes) {
    for (const float inverse_temperature : {0.1f, 1.0f, 10.0f}) {
      std::vector<float> row = random.values(static_cast<size_t>(count), 8.0);
      if (count > 2) row[1] = -kInfinity;
      if (count > 3) row[2] = -1e30f;
      const float max = *std::max_element(row.begin(), row.end());
      std::vector<float> out(row.size() + 1, -7.0f);
      const float total =
          cpu_kernels().exp_row(row.data(), count, max, inverse_temperature, out.data());
      double sum = 0.0;
      for (size_t v = 0; v < row.size(); ++v) {
        const double exponent = (static_cast<double>(row[v]) - static_cast<double>(max)) *
                                static_cast<double>(inverse_temperature);
        const double expected = std::exp(exponent);
        sum += expected;
        // Two roundings of the exponent, which e^ turns into relative errors.
        const double relative = std::isinf(exponent) ? 0.0 : kExp - 2 * exponent * kUnit;
        CHECK_NEAR(static_cast<double>(out[v]), expected, relative * expected + 1e-37, "count ",
                   count, " exponent ", exponent);
      }
      CHECK_NEAR(static_cast<double>(total), sum, kRowSum * sum, "count ", count);
      CHECK(out.back() == -7.0f, "wrote past the row, count ", count);
    }
  }
}

void sums_and_differences() {
  TestRandom random(17);
  for (const int count : kSizes) {
    const size_t n = static_cast<size_t>(count);
    std::vector<float> a = random.values(n), b = random.values(n);
    for (float& x : a) x = std::fabs(x);
    for (float& x : b) x = std::fabs(x);
    double sum = 0.0, mass = 0.0;
    std::vector<float> expected(n);
    for (size_t v = 0; v < n; ++v) {
      sum += static_cast<double>(a[v]);
      expected[v] = a[v] > b[v] ? a[v] - b[v] : 0.0f;
      mass += static_cast<double>(expected[v]);
    }
    CHECK_NEAR(static_cast<double>(cpu_kernels().sum_row(a.data(), count)), sum, kRowSum * sum);
    std::vector<float> fresh(n), over_a = a, over_b = b;
    const float masses[] = {
        cpu_kernels().positive_difference(a.data(), b.data(), count, fresh.data()),
        cpu_kernels().positive_difference(over_a.data(), b.data(), count, over_a.data()),
        cpu_kernels().positive_difference(a.data(), over_b.data(), count, over_b.data())};
    for (const float got : masses) CHECK_NEAR(static_cast<double>(got), mass, kRowSum * mass);
    CHECK(fresh == expected && over_a == expected && over_b == expected, "count ", count);
    std::vector<float> scaled = a;
    cpu_kernels().scale_row(scaled.data(), count, 0.3f);
    for (size_t v = 0; v < n; ++v) CHECK(scaled[v] == a[v] * 0.3f, "count ", count);
  }
}

void log_sum_exp_of_long_rows() {
  TestRandom random(19);
  for (const int count : kSizes) {
    const std::vector<float> row = random.values(static_cast<size_t>(count), 10.0);
    const float max = *std::max_element(row.begin(), row.end());
    std::vector<float> scratch(row.size());
    double sum = 0.0;
    for (const float x : row) sum += std::exp(static_cast<double>(x) - static_cast<double>(max));
    CHECK_NEAR(static_cast<double>(log_sum_exp(row.data(), count, max, scratch.data())),
               static_cast<double>(max) + std::log(sum), kLogSum, "count ", count);
  }
}

// The smallest index whose cumulative weight exceeds uniform * total, never one without weight.
template <typename Real>
void draws_follow_the_cumulative_sum() {
  using Math = RowMath<Real>;
  const std::vector<Real> row = {0, Real(0.25), 0, Real(0.5), Real(0.25), 0};
  const auto draw = [&](double uniform) {
    return Math::draw(row.data(), 6, Real(1), static_cast<Real>(uniform));
  };
  CHECK(draw(0.0) == 1);
  CHECK(draw(0.2499) == 1);
  CHECK(draw(0.25) == 3);
  CHECK(draw(0.7499) == 3);
  CHECK(draw(0.75) == 4);
  CHECK(draw(0.9999999) == 4);
  // A total that rounding made too large runs past the end: the last index with weight.
  CHECK(Math::draw(row.data(), 6, Real(1.5), Real(0.9)) == 4);
}

void draws_in_float() { draws_follow_the_cumulative_sum<float>(); }
void draws_in_double() { draws_follow_the_cumulative_sum<double>(); }

}  // namespace

int main(int argc, char** argv) {
  return run_for_every_isa(
      argc, argv,
      {CASE(norms_follow_the_formula), CASE(norm_of_a_zero_row_is_zero),
       CASE(embeddings_are_the_rows_of_the_table), CASE(argmax_is_the_lowest_of_the_largest),
       CASE(argmax_sees_every_entry_that_is_not_finite), CASE(exponentials_and_their_sum),
       CASE(sums_and_differences), CASE(log_sum_exp_of_long_rows), CASE(draws_in_float),
       CASE(draws_in_double)});
}
