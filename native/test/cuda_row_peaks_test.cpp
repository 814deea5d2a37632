// What a product leaves of each 16 outputs of a row (LeftPeak), under the emulation: against the
// row itself, in all kernels, with ties and with rows that are not finite; nothing beside it is
// written.
#include <cmath>
#include <limits>

#include "ops/ops_cuda.h"
#include "test/check.h"
#include "test/support/emulated_runs.h"
#include "test/support/test_random.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Logits {
  std::vector<float> out;
  std::vector<LeftPeak> peaks;  // a row more than there are
};

Logits multiply(const DeviceMatrix& matrix, const std::vector<float>& x, int rows, int max_rows) {
  const Matrix view = matrix.view();
  const size_t n = static_cast<size_t>(view.n), peaks = static_cast<size_t>(peaks_of(view.n));
  const int32_t count = rows;
  Logits logits = {
      std::vector<float>(n * static_cast<size_t>(rows)),
      std::vector<LeftPeak>(peaks * static_cast<size_t>(rows + 1), {{-7.0f, -7}, -7.0f})};
  std::vector<uint8_t> scratch(gemm_scratch_bytes_cuda(max_rows, view.k, view.parts, view.dtype));
  gemm_cuda({x.data(), view.k, view, logits.out.data(), view.n, Epilogue::kStore, Activation::kNone,
             &count, max_rows, nullptr, nullptr, scratch.data(), logits.peaks.data()},
            nullptr);
  return logits;
}

struct Expected {
  RowPeak peak;
  double powers;
};

Expected peak_of(const float* outputs, int first, int count) {
  RowPeak peak = {-kInfinity, 0x7fffffff};
  for (int n = first; n < first + count; ++n) {
    const float value = outputs[n] < kInfinity ? outputs[n] : kInfinity;
    if (value > peak.value || (value == peak.value && n < peak.index)) peak = {value, n};
  }
  double powers = 0.0;
  for (int n = first; n < first + count; ++n) {
    if (!(outputs[n] > -kInfinity)) continue;
    powers += std::exp(static_cast<double>(outputs[n]) - static_cast<double>(peak.value));
  }
  return {peak, powers};
}

void check(const Logits& logits, int rows, int n) {
  const int peaks = peaks_of(n);
  for (int row = 0; row < rows; ++row) {
    for (int i = 0; i < peaks; ++i) {
      const int first = i * kPeakOutputs;
      const Expected expected = peak_of(logits.out.data() + static_cast<ptrdiff_t>(row) * n, first,
                                        std::min(kPeakOutputs, n - first));
      const auto& [got, powers] = logits.peaks[static_cast<size_t>(row * peaks + i)];
      CHECK(got.value == expected.peak.value && got.index == expected.peak.index, "row ", row,
            " of ", rows, ", outputs from ", first, " of ", n, ": ", got.value, " at ", got.index);
      if (!(got.value < kInfinity)) continue;
      CHECK(std::abs(powers - expected.powers) <= 1e-6 * expected.powers, "row ", row, " of ", rows,
            ", outputs from ", first, " of ", n, ": powers ", powers, " for ", expected.powers);
    }
  }
  for (int i = rows * peaks; i < (rows + 1) * peaks; ++i) {
    CHECK(logits.peaks[static_cast<size_t>(i)].peak.index == -7, "a row that is not there");
  }
}

// Passes planned for 1, 20 and 40 rows: skinny products, the wider ones, tiles.
void peaks_are_those_of_the_rows() {
  uint64_t seed = 1;
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16, DType::kInt8}) {
    for (const int n : {1, 16, 37, 150}) {
      for (const int rows : {1, 13, 35}) {
        TestRandom random(++seed);
        constexpr int kDepth = 24;
        DeviceMatrix matrix(n, kDepth, dtype, false, 1);
        std::vector<float> weights = random.values(static_cast<size_t>(n) * kDepth);
        // Equals in every row: each output has a twin in its group, and the last of the group
        // before.
        for (size_t i = kDepth; i < weights.size(); ++i) {
          if (i / kDepth % 3 != 0) weights[i] = weights[i - kDepth];
        }
        matrix.pack(weights, 0);
        std::vector<float> x = random.values(static_cast<size_t>(rows) * kDepth);
        if (rows > 1) x[kDepth] = seed % 2 ? kInfinity : std::nanf("");
        with_schedule(seed, [&] {
          check(multiply(matrix, x, rows, rows == 1 ? 1 : rows < 20 ? 20 : 40), rows, n);
        });
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(argc, argv, {CASE(peaks_are_those_of_the_rows)});
}
