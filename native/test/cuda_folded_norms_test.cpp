// Norms in the products that read them, under the emulation: which of a program's go there, and
// what they give.
#include "ops/folded_norms.h"

#include "ops/ops_cuda.h"
#include "test/check.h"
#include "test/support/emulated_runs.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

constexpr int kWidth = 40, kRows = 5, kOutputs = 21;

// 40 terms of size up to 4, each rounded to bf16 once on either side: 2 x 40 x 4 x 2^-9 at most.
constexpr double kRoundedNorm = 0.625;

// A norm and two products of what it gives.
struct Layer {
  std::vector<float> x, weight, normed, first, second;
  std::vector<uint8_t> scratch;
  DeviceMatrix matrix;
  int32_t rows = kRows;

  explicit Layer(DType dtype) : matrix(kOutputs, kWidth, dtype, false, 1) {
    TestRandom random(7);
    x = random.values(kRows * kWidth, 30.0);
    weight = random.values(kWidth);
    matrix.pack(random.values(kOutputs * kWidth), 0);
    normed.assign(x.size(), -7.0f);
    first.assign(kRows * kOutputs, -7.0f);
    second = first;
    scratch.assign(gemm_scratch_bytes_cuda(kRows, kWidth, 1, dtype), 0xff);
  }

  RmsNormArgs norm() {
    return {x.data(), weight.data(), normed.data(), kWidth,  1e-6f,
            1.0f,     &rows,         kRows,         nullptr, true};
  }
  GemmArgs product(std::vector<float>& out) {
    return {normed.data(),     kWidth, matrix.view(), out.data(), kOutputs, Epilogue::kStore,
            Activation::kNone, &rows,  kRows,         nullptr,    nullptr,  scratch.data()};
  }
};

Program program_of(Layer& layer, bool for_products, const float* changed = nullptr) {
  Program program;
  RmsNormArgs norm = layer.norm();
  norm.for_products = for_products;
  program.add(norm);
  program.add(layer.product(layer.first));
  if (changed != nullptr) {
    GemmArgs change = layer.product(layer.x);
    change.x = changed;
    program.add(change);
  }
  program.add(layer.product(layer.second));
  return program;
}

void norms_go_where_products_can_make_them() {
  Layer layer(DType::kBF16), checking(DType::kF32);
  const std::vector<float> other(kRows * kWidth);
  CHECK(fold_norms(program_of(layer, true)).size() == 2, "into both products");
  CHECK(fold_norms(program_of(layer, false)).size() == 3, "others read it");
  CHECK(fold_norms(program_of(checking, true)).size() == 3, "f32");
  CHECK(fold_norms(program_of(layer, true, other.data())).size() == 4, "its input changes");
  Program read = program_of(layer, true);
  RmsNormArgs reader = layer.norm();
  reader.x = layer.normed.data();
  reader.out = layer.first.data();
  read.add(reader);
  CHECK(fold_norms(read).front().op.kind == OpKind::kRmsNorm, "another norm reads it");
}

// Where inputs are rounded to bf16 the norm's factor multiplies the sums: inputs are rounded before
// it and not behind it.
void their_values_are_those_of_the_norm() {
  for (const DType dtype : {DType::kBF16, DType::kF16, DType::kInt8}) {
    Layer apart(dtype), folded(dtype);
    run_cuda(program_of(apart, false), nullptr);
    with_schedule(5, [&] { run_cuda(program_of(folded, true), nullptr); });
    CHECK(same_bits(folded.first, folded.second), dtype_name(dtype));
    for (size_t i = 0; i < apart.first.size(); ++i) {
      const auto got = static_cast<double>(folded.first[i]);
      const auto expected = static_cast<double>(apart.first[i]);
      CHECK_NEAR(got, expected, leaves_rows(dtype) ? kRoundedNorm : 0.0, dtype_name(dtype));
    }
    CHECK(folded.normed == std::vector<float>(folded.normed.size(), -7.0f), "nothing is left");
  }
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(
      argc, argv,
      {CASE(norms_go_where_products_can_make_them), CASE(their_values_are_those_of_the_norm)});
}
