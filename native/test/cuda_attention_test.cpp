// Attention by the CUDA kernels under the emulation (support/attention_cases.h), in any order of
// threads; and heads that the kernels do not take.
#include "ops/ops_cuda.h"
#include "ops/relative_bias.h"
#include "test/support/attention_cases.h"
#include "test/support/emulated_runs.h"

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
  cases.push_back(CASE(heads_that_are_too_wide_are_an_error));
  return run_cases(argc, argv, cases);
}
