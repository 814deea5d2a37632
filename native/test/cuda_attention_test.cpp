// Attention by the CUDA kernels under the emulation (support/attention_cases.h), in any order of
// threads; and heads that the kernels do not take.
#include "ops/ops_cuda.h"
#include "ops/relative_bias.h"
#include "test/support/attention_cases.h"
#include "test/support/emulated_runs.h"
#include "test/support/row_layout.h"
#include "test/support/test_random.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

// Each call in another order.
uint64_t calls = 0;

void encoder(const EncoderAttentionArgs& args, int) {
  with_schedule(++calls, [&] { encoder_attention_cuda(args, {}, nullptr); });
}
void self(const SelfAttentionArgs& args, int) {
  with_schedule(++calls, [&] { self_attention_cuda(args, {}, nullptr); });
}
void cross(const CrossAttentionArgs& args, int) {
  with_schedule(++calls, [&] { cross_attention_cuda(args, {}, nullptr); });
}
void resolve(const ResolveCacheRowsArgs& args) {
  with_schedule(++calls, [&] { resolve_cache_rows_cuda(args, nullptr); });
}

void schedules_do_not_matter() {
  constexpr int kHeads = 2, kDim = 40, kRows = 70, kDistance = 9;
  constexpr size_t kInner = kHeads * kDim;
  TestRandom random(1);
  const std::vector<float> qkv = random.values(kRows * 3 * kInner);
  const std::vector<float> bias = random.values(kHeads * bias_columns(kDistance));
  const std::vector<int32_t> offsets = {0, kRows}, sequence(kRows, 0);
  const int32_t rows = kRows;
  same_in_every_schedule("encoder", [&] {
    std::vector<float> out(kRows * kInner);
    encoder_attention_cuda({qkv.data(), out.data(), bias.data(), kDistance, kHeads, kDim, &rows,
                            sequence.data(), offsets.data(), kRows, nullptr, 1, 0},
                           {}, nullptr);
    return out;
  });
}

// One row of a pass, as if there were no other.
DecoderRows alone(DecoderRows rows, int row, const int32_t* one) {
  rows.num_rows = const_cast<int32_t*>(one);
  rows.slot += row;
  rows.node += row;
  rows.max_rows = 1;
  return rows;
}

template <typename Entry>
void rows_that_share_keys_have_their_own_bits(int dim, uint64_t seed) {
  constexpr int kHeads = 16, kSource = 70;
  const size_t inner = kHeads * static_cast<size_t>(dim);
  TestRandom random(seed);
  RowLayout layout({{0, 3, 1}, {1, 0, 5}, {2, 2, 14}, {3, 7, 13}}, 30, random);
  const size_t rows = static_cast<size_t>(layout.num_rows());
  const std::vector<int32_t> source = {0, 1, 0, 1}, length = {kSource, 0};
  const std::vector<float> query = random.values(rows * inner, 0.7);
  std::vector<Entry> cache(2 * kSource * 2 * inner);
  for (Entry& entry : cache) {
    const float value = random.values(1)[0];
    entry =
        sizeof(Entry) == 2 ? static_cast<Entry>(float_to_bf16(value)) : static_cast<Entry>(value);
  }
  std::vector<float> together(rows * inner), own(rows * inner);
  const DType type = sizeof(Entry) == 2 ? DType::kBF16 : DType::kF32;
  CrossAttentionArgs args = {query.data(),  cache.data(),  type,    together.data(),
                             kHeads,        dim,           kSource, layout.rows(),
                             source.data(), length.data(), nullptr};
  CHECK(rows * kHeads > 512, "rows that share nothing prove nothing");
  cross(args, 1);
  const int32_t one = 1;
  for (size_t r = 0; r < rows; ++r) {
    args.query = query.data() + r * inner;
    args.out = own.data() + r * inner;
    args.rows = alone(layout.rows(), static_cast<int>(r), &one);
    cross(args, 1);
  }
  for (size_t i = 0; i < own.size(); ++i) {
    CHECK(together[i] == own[i], "row ", i / inner, " entry ", i % inner, ": ", together[i],
          " beside others, ", own[i], " alone");
  }
}

void rows_that_share_keys_have_their_own_bits() {
  uint64_t seed = 40;
  for (const int dim : {7, 64, 72}) {
    if (kSanitized && dim == 7) continue;
    rows_that_share_keys_have_their_own_bits<float>(dim, ++seed);
    rows_that_share_keys_have_their_own_bits<uint16_t>(dim, ++seed);
  }
}

void heads_that_are_too_wide_are_an_error() {
  CrossAttentionArgs args = {};
  args.heads = 1;
  args.head_dim = 129;
  args.rows.max_rows = 1;
  CHECK_ERROR(ErrorCode::kDevice, "heads of 129 entries", cross_attention_cuda(args, {}, nullptr));
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<Case> cases = attention_cases({encoder, self, cross, resolve});
  cases.push_back(CASE(schedules_do_not_matter));
  cases.push_back(CASE(rows_that_share_keys_have_their_own_bits));
  cases.push_back(CASE(heads_that_are_too_wide_are_an_error));
  return run_cases(argc, argv, cases);
}
