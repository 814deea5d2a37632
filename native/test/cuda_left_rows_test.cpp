// Rows that operations leave as products read them, under the emulation: where that is done, and
// the same bits as from rows that products prepare, in every executor and for any number of rows.
#include "ops/left_rows.h"

#include <algorithm>
#include <cmath>

#include "ops/ops_cuda.h"
#include "test/check.h"
#include "test/support/emulated_runs.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

constexpr int kOutputs = 21, kTokens = 9;

// hidden = embedding; hidden += W2 gate(W1 norm(hidden)); out = W3 norm(hidden)
struct Block {
  int width, inner_width;  // of int8 whole steps: others are prepared
  int32_t rows;
  int max_rows;
  DeviceMatrix table, in, back, last;
  std::vector<float> weight, hidden, normed, inner, out;
  std::vector<int32_t> tokens;
  std::vector<uint8_t> scratch;
  bool one_chain = false;

  Block(int count, int bound, DType dtype, DType inner_dtype, int given_width = 0)
      : width(given_width > 0         ? given_width
              : dtype == DType::kInt8 ? 160
                                      : 136),
        inner_width(dtype == DType::kInt8 ? 96 : 152),
        rows(count),
        max_rows(bound),
        table(kTokens, width, dtype, false, 1),
        in(inner_width, width, dtype, true, 1),
        back(width, inner_width, inner_dtype, false, 1),
        last(kOutputs, width, dtype, false, 1) {
    TestRandom random(11);
    const auto values = [&](int rows_of, int columns, double size) {
      return random.values(static_cast<size_t>(rows_of * columns), size);
    };
    table.pack(values(kTokens, width, 3.0), 0);
    for (const int which : {0, 1}) in.pack(values(inner_width, width, 0.2), which);
    back.pack(values(width, inner_width, 0.2), 0);
    last.pack(values(kOutputs, width, 1.0), 0);
    weight = values(1, width, 1.0);
    for (int r = 0; r < bound; ++r) tokens.push_back(random.below(kTokens));
    const auto area = [&](int columns) { return static_cast<size_t>(bound * columns); };
    hidden.assign(area(width), -7.0f);
    normed = hidden;
    inner.assign(area(inner_width), -7.0f);
    out.assign(area(kOutputs), -7.0f);
    scratch.assign(gemm_scratch_bytes_cuda(bound, std::max(width, inner_width), 2, dtype) + 256,
                   0xff);
  }

  GemmArgs product(const std::vector<float>& x, int k, const DeviceMatrix& matrix,
                   std::vector<float>& to, Epilogue epilogue) {
    const Matrix view = matrix.view();
    const auto begin = reinterpret_cast<uintptr_t>(scratch.data());
    return {x.data(),          k,        view,
            to.data(),         view.n,   epilogue,
            Activation::kGelu, &rows,    max_rows,
            nullptr,           nullptr,  scratch.data() + (64 - begin % 64) % 64,
            nullptr,           one_chain};
  }
  RmsNormArgs norm() {
    return {hidden.data(), weight.data(), normed.data(), width,   1e-6f,
            1.0f,          &rows,         max_rows,      nullptr, true};
  }
  Program program() {
    Program program;
    program.add(EmbedArgs{table.view(), tokens.data(), hidden.data(), &rows, max_rows});
    program.add(norm());
    program.add(product(normed, width, in, inner, Epilogue::kGate));
    program.add(product(inner, inner_width, back, hidden, Epilogue::kAdd));
    program.add(norm());
    program.add(product(normed, width, last, out, Epilogue::kStore));
    return program;
  }
};

Block block_of(int rows, int bound, DType dtype) { return {rows, bound, dtype, dtype}; }

void rows_are_left_where_products_read_them() {
  Block block = block_of(3, 3, DType::kBF16);
  const std::vector<FoldedOp> steps = fold_norms(block.program());
  CHECK(steps.size() == 4, steps.size(), " steps");
  for (const size_t from : {0, 1, 2}) {
    const LeftRows &left = steps[from].leaves, &read = steps[from + 1].reads;
    CHECK(left.rows != nullptr && left.rows == read.rows && left.stride == read.stride, from);
    CHECK((left.squares != nullptr) == (from != 1), "a norm follows ", from);
    CHECK(left.alone == (from == 0 ? 0 : 1), "others read the embedding alone ", from);
  }
  CHECK(steps[3].leaves.rows == nullptr && steps[0].reads.rows == nullptr);
  CHECK(uses_of(steps[1]).waits_for(uses_of(steps[0])), "what is left is waited for");
  CHECK(!uses_of(steps[1]).wrote(block.inner.data()), "not written in f32");
}

int passages_of(const Program& program) {
  int count = 0;
  for (const FoldedOp& step : fold_norms(program)) count += step.leaves.rows != nullptr ? 1 : 0;
  return count;
}

void other_rows_are_prepared() {
  Block f16(3, 3, DType::kF16, DType::kF16), f32(3, 3, DType::kF32, DType::kF32);
  CHECK(passages_of(f16.program()) == 0, "f16");
  CHECK(passages_of(f32.program()) == 0, "f32");
  Block ragged(3, 3, DType::kInt8, DType::kInt8, 136);
  CHECK(passages_of(ragged.program()) == 0, "half a step of int8");
  // The second product prepares its inputs where the rows for others would lie.
  Block mixed(3, 3, DType::kBF16, DType::kF16);
  CHECK(passages_of(mixed.program()) == 1, "behind one that prepares");

  Block block = block_of(3, 3, DType::kBF16);
  const int32_t map[] = {2, 0, 1};
  Program mapped;
  GemmArgs in = block.product(block.hidden, block.width, block.last, block.out, Epilogue::kStore);
  in.in_rows = map;
  mapped.add(EmbedArgs{block.table.view(), block.tokens.data(), block.hidden.data(), &block.rows,
                       block.max_rows});
  mapped.add(in);
  CHECK(passages_of(mapped) == 0, "in another order");
}

// What is left where a run is planned so, by the same steps without, and by one kernel.
void check_bits(DType dtype, int rows, int bound, uint64_t seed) {
  Block left = block_of(rows, bound, dtype), prepared = block_of(rows, bound, dtype);
  with_schedule(seed, [&] { run_cuda(left.program(), nullptr); });
  std::vector<FoldedOp> steps = fold_norms(prepared.program());
  for (FoldedOp& step : steps) step.reads = step.leaves = {};
  run_cuda(steps, nullptr);
  CHECK(same_bits(left.out, prepared.out), rows, " rows of ", bound);
  for (const float value : left.inner) CHECK(value == -7.0f, "not written in f32");
  CHECK(std::isfinite(left.out[0]) && left.out[0] != -7.0f, left.out[0]);
  if (bound > kMostPersistentRows) return;

  Block stays = block_of(rows, bound, dtype);
  const std::vector<PhaseOp> ops = phases_of(stays.program());
  GridBarrier barrier = {};
  with_schedule(seed, [&] {
    run_persistent_cuda({ops.data(), static_cast<int>(ops.size()), &barrier, 2}, nullptr);
  });
  CHECK(same_bits(stays.out, prepared.out), rows, " rows of ", bound, " in one kernel");
}

// The same of products that are one chain, in whatever makes them.
void check_chain_bits(DType dtype, int rows, int bound) {
  Block left = block_of(rows, bound, dtype), prepared = block_of(rows, bound, dtype);
  left.one_chain = prepared.one_chain = true;
  run_cuda(left.program(), nullptr);
  std::vector<FoldedOp> steps = fold_norms(prepared.program());
  for (FoldedOp& step : steps) step.reads = step.leaves = {};
  run_cuda(steps, nullptr);
  CHECK(same_bits(left.out, prepared.out), rows, " rows of ", bound);
  for (const float value : left.inner) CHECK(value == -7.0f, "not written in f32");
}

void chains_leave_and_read_them() {
  for (const ChainForm form : {ChainForm::kPortable, ChainForm::kWarpgroups}) {
    if (form == ChainForm::kWarpgroups && !has_warpgroup_chains()) continue;
    for (const int rows_of_block : {0, 32, 64, 128, 256}) {
      choose_chains(form, rows_of_block);
      check_chain_bits(DType::kBF16, 1, 1);
      check_chain_bits(DType::kInt8, 9, 40);
      check_chain_bits(DType::kBF16, 70, 70);
      check_chain_bits(DType::kInt8, 150, 300);  // factors by a kernel of their own
      if (form == ChainForm::kPortable) break;
    }
  }
  choose_chains(ChainForm::kByDevice);
}

void they_have_the_bits_of_prepared_rows() {
  uint64_t seed = 0;
  for (const DType dtype : {DType::kBF16, DType::kInt8}) {
    for (const int rows : {1, 8, 9, 30}) check_bits(dtype, rows, rows, ++seed);
    check_bits(dtype, 5, 32, ++seed);
    check_bits(dtype, 70, 300, ++seed);  // tiles
  }
  if (!kSanitized) check_bits(DType::kBF16, 150, 128 * 128, ++seed);  // wide tiles
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(argc, argv,
                   {CASE(rows_are_left_where_products_read_them), CASE(other_rows_are_prepared),
                    CASE(they_have_the_bits_of_prepared_rows), CASE(chains_leave_and_read_them)});
}
