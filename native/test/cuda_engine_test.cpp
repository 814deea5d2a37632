// Sessions over the CUDA kernels under the emulation: the engine's own drafting and verification,
// the models' passes by the executor of the device. Output is that of the plain loop over the same
// model, whatever is drafted.
#include "test/check.h"
#include "test/support/emulated_models.h"
#include "test/support/engine_rig.h"
#include "test/support/plain_decoding.h"
#include "test/support/test_random.h"
#include "test/support/tiny_models.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

constexpr int kTokens = kSanitized ? 3 : 5;

void compare(const char* dtype, const Widths& widths, float temperature, uint64_t seed) {
  const T5Config config = tiny_configs()[seed % 2].config;
  const auto target = emulated_model(config, seed, dtype);
  const auto drafter =
      widths.empty() ? nullptr : emulated_model(config, seed % 3 ? seed : 99, dtype);
  EngineRig rig(target, drafter, limits_of(1, widths, kTokens));
  TestRandom random(seed);
  std::vector<int32_t> input;
  for (int i = 0; i < 9; ++i) input.push_back(random.below(config.vocab_size));
  Request request = plain_request(input, kTokens);
  request.logprobs = true;
  request.temperature = temperature;
  check_sample(rig.run(request)[0], decode_plainly(target, request),
               std::string(dtype) + " levels " + std::to_string(widths.size()));
}

void greedy_equals_the_plain_loop() {
  compare("f32", {1, 1, 1}, 0.0f, 21);
  compare("bf16", {3, 2}, 0.0f, 25);
  compare("int8", {2, 2}, 0.0f, 24);
  compare("f16", {2, 2}, 0.0f, 27);
}

// Without a drafter a sampled token is a function of its row and its uniform.
void sampling_equals_the_plain_loop() {
  compare("bf16", {}, 1.0f, 41);
  compare("f16", {}, 1.0f, 42);
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(argc, argv,
                   {CASE(greedy_equals_the_plain_loop), CASE(sampling_equals_the_plain_loop)});
}
