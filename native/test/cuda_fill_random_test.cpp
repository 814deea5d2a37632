// Weights made on the device against the same made and packed on the host: every bit, padding and
// scales included.
#include "model/weight_source.h"
#include "ops/fragment_matrix.h"
#include "ops/ops_cuda.h"
#include "test/check.h"
#include "test/support/emulated_runs.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

struct Part {
  const char* name;
  int rows, begin, which;
};

void compare(const std::vector<Part>& parts, int total, int columns, DType dtype, bool gated) {
  const RandomSource source(0x123456789abcdefull, 48, 16, 96, 32, true);
  std::vector<char> expected(device_matrix_bytes(total, columns, dtype, gated));
  std::vector<char> made(expected.size());
  for (const Part& part : parts) {
    std::vector<float> rows(static_cast<size_t>(part.rows) * static_cast<size_t>(columns));
    source.read(part.name, 0, part.rows, columns, rows.data());
    pack_device_rows(rows.data(), part.begin, part.rows, total, columns, dtype, part.which, gated,
                     expected.data());
    fill_random_cuda({*source.random(part.name), part.begin, part.rows, total, columns, dtype,
                      part.which, gated, made.data()},
                     nullptr);
  }
  size_t set = 0, values = 0;
  for (const char byte : expected) set += byte != 0;
  for (const Part& part : parts) values += static_cast<size_t>(part.rows * columns);
  CHECK(set > values / 2, set, " bytes of ", values, " values");
  CHECK(made == expected, dtype_name(dtype), " of ", total, " x ", columns);
}

void has_the_bits_of_the_host() {
  for (const DType dtype : {DType::kBF16, DType::kF16, DType::kInt8}) {
    for (const int columns : {3, 37, 300}) {
      compare({{"shared.weight", 21, 0, 0}}, 21, columns, dtype, false);
      compare({{"a.k.weight", 16, 0, 0}, {"a.v.weight", 19, 16, 0}}, 35, columns, dtype, false);
      compare({{"b.wi_0.weight", 18, 0, 0}, {"b.wi_1.weight", 18, 0, 1}}, 18, columns, dtype, true);
    }
  }
}

}  // namespace

int main(int argc, char** argv) { return run_cases(argc, argv, {CASE(has_the_bits_of_the_host)}); }
