// The row operations of the CUDA core under the emulation: norm against the plain formula,
// embedding against the table, and the packed form of a matrix.
#include <cmath>

#include "ops/ops_cuda.h"
#include "test/check.h"
#include "test/support/emulated_runs.h"
#include "test/support/reference_ops.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

void try_rms_norm(int width, int rows, bool mapped, uint64_t seed) {
  TestRandom random(seed);
  const size_t w = static_cast<size_t>(width), r = static_cast<size_t>(rows);
  const std::vector<float> x = random.values((r + 2) * w), weight = random.values(w);
  std::vector<int32_t> in_rows;
  for (int i = 0; i < rows; ++i) in_rows.push_back(random.below(rows + 2));
  std::vector<float> out(r * w + w, -7.0f);
  const float epsilon = 1e-6f, scale = seed % 2 ? 1.0f : 0.125f;
  const int32_t count = rows;
  // The bound is one more than there are rows.
  rms_norm_cuda({x.data(), weight.data(), out.data(), width, epsilon, scale, &count, rows + 1,
                 mapped ? in_rows.data() : nullptr},
                nullptr);
  for (size_t i = 0; i < r; ++i) {
    const size_t source = mapped ? static_cast<size_t>(in_rows[i]) : i;
    const std::vector<Twin> twin = rms_norm_twin(
        x.data() + source * w, weight, static_cast<double>(epsilon), static_cast<double>(scale));
    for (size_t c = 0; c < w; ++c) {
      CHECK(agrees(out[i * w + c], twin[c]), "width ", width, " rows ", rows, " at ", i, ",", c,
            ": got ", out[i * w + c], ", expected ", twin[c].value, " +- ", twin[c].bound);
    }
  }
  for (size_t c = 0; c < w; ++c) CHECK(out[r * w + c] == -7.0f, "a row that is not there");
}

void norms_follow_the_formula() {
  uint64_t seed = 1;
  for (const int width : {1, 2, 31, 33, 255, 256, 257, 1030}) {
    for (const int rows : {0, 1, 5}) {
      ++seed;
      with_schedule(seed, [&] { try_rms_norm(width, rows, seed % 2 == 0, seed); });
    }
  }
}

void norms_in_every_schedule() {
  TestRandom random(4);
  const std::vector<float> x = random.values(3 * 777), weight = random.values(777);
  const int32_t rows = 3;
  same_in_every_schedule("norm", [&] {
    std::vector<float> out(x.size());
    rms_norm_cuda({x.data(), weight.data(), out.data(), 777, 1e-6f, 1.0f, &rows, 3, nullptr},
                  nullptr);
    return out;
  });
}

void embeddings_are_the_rows_of_the_table() {
  TestRandom random(5);
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16, DType::kInt8}) {
    for (const int vocabulary : {1, 15, 16, 17, 40, 257}) {
      const int width = 1 + random.below(70);
      const size_t w = static_cast<size_t>(width);
      const std::vector<float> table = random.values(static_cast<size_t>(vocabulary) * w);
      std::vector<float> held = rounded_to(dtype, table, width);
      if (dtype == DType::kF16) {
        for (float& x : held) x = f16_to_float(float_to_f16(x));
      }
      DeviceMatrix matrix(vocabulary, width, dtype, false, 1);
      matrix.pack(table, 0);
      for (const int rows : {0, 1, 13}) {
        std::vector<int32_t> tokens;
        for (int r = 0; r < rows; ++r) tokens.push_back(random.below(vocabulary));
        std::vector<float> out(static_cast<size_t>(rows) * w);
        const int32_t count = rows;
        embed_cuda({matrix.view(), tokens.data(), out.data(), &count, rows}, {}, nullptr);
        for (size_t r = 0; r < tokens.size(); ++r) {
          CHECK(same_bits(out.data() + r * w, held.data() + static_cast<size_t>(tokens[r]) * w, w),
                dtype_name(dtype), " vocabulary ", vocabulary, " token ", tokens[r]);
        }
      }
    }
  }
}

// Every half comes back from float as it was, and what lies between two goes to the nearer one, at
// equal distance to the even one.
void halves_are_rounded_to_nearest() {
  for (uint32_t bits = 0; bits < 0x10000u; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const float value = f16_to_float(half);
    if (std::isnan(value)) {
      CHECK(std::isnan(f16_to_float(float_to_f16(value))));
      continue;
    }
    CHECK(float_to_f16(value) == half, bits);
    if ((bits & 0x7fffu) >= 0x7bffu) continue;  // the next is infinity
    const auto next = static_cast<uint16_t>(half + 1);
    const float middle = 0.5f * (value + f16_to_float(next));
    const uint16_t even = half % 2 == 0 ? half : next;
    CHECK(float_to_f16(middle) == even, bits);
    CHECK(float_to_f16(std::nextafter(middle, value)) == half, bits);
    CHECK(float_to_f16(std::nextafter(middle, f16_to_float(next))) == next, bits);
  }
  CHECK(float_to_f16(65519.0f) == 0x7bffu);
  CHECK(float_to_f16(65520.0f) == 0x7c00u);
  CHECK(float_to_f16(-INFINITY) == 0xfc00u);
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(
      argc, argv,
      {CASE(norms_follow_the_formula), CASE(norms_in_every_schedule),
       CASE(embeddings_are_the_rows_of_the_table), CASE(halves_are_rounded_to_nearest)});
}
