// How much a pass and a step's drafts ask of the device, counted by the emulation.
#include "emulation/cuda_emulation.h"
#include "test/check.h"
#include "test/support/decoder_rig.h"
#include "test/support/emulated_models.h"
#include "test/support/engine_rig.h"
#include "test/support/tiny_models.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

// 6 products, queries with keys and values being one, and 2 attentions; embedding, places of rows,
// logits with their inputs. In other types than bf16 inputs are prepared, for 6 of 7 products.
void kernels_of_a_pass() {
  const T5Config config = tiny_configs()[0].config;
  for (const bool left : {true, false}) {
    const char* dtype = left ? "bf16" : "f16";
    DecoderRig rig(emulated_model(config, 3, dtype, Executor::kKernels), 1, 4, 1, {{3, 1}});
    const int64_t before = emulation::device_counts().launches;
    rig.run({{0, chain_of({7})}});
    const int64_t launches = emulation::device_counts().launches - before;
    const int expected = (left ? 8 : 15) * config.num_decoder_layers + 4;
    CHECK(launches == expected, dtype, " ", launches, " kernels");
  }
}

// Launches of a session's first step, which is not a graph yet. The drafter has the target's
// weights, so that all is accepted.
int64_t launches_of_a_step(int drafts, Executor executor) {
  const T5Config config = tiny_configs()[0].config;
  const auto model = emulated_model(config, 31, "bf16", executor);
  EngineRig rig(model, model, limits_of(1, Widths(static_cast<size_t>(drafts), 1), 8));
  const int64_t before = emulation::device_counts().launches;
  const SampleLog sample = rig.run(plain_request({5, 4, 3}, drafts + 1))[0];
  CHECK(sample.stats.target_calls == 1, sample.stats.target_calls, " steps");
  return emulation::device_counts().launches - before;
}

void launches_do_not_grow_with_rounds() {
  const int64_t one = launches_of_a_step(1, Executor::kPersistent),
                three = launches_of_a_step(3, Executor::kPersistent),
                kernels = launches_of_a_step(3, Executor::kKernels);
  CHECK(one == three, one, " launches for a draft of one token, ", three, " for three");
  CHECK(three < kernels / 2, three, " launches, kernel by kernel ", kernels);
}

// The pass and the loop of drafts take 256 threads.
void what_does_not_fit_is_not_taken() {
  std::vector<int64_t> launches;
  for (const int most : {256, 255}) {
    emulation::largest_block = most;
    launches.push_back(launches_of_a_step(2, Executor::kPersistent));
  }
  CHECK(launches[0] < launches[1]);
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(argc, argv,
                   {CASE(kernels_of_a_pass), CASE(launches_do_not_grow_with_rounds),
                    CASE(what_does_not_fit_is_not_taken)});
}
