// The third executor, a pass walked by one kernel that stays on the device, under the emulation:
// the bits of the kernels one by one, and where it is taken.
#include "model/persistent_form.h"
#include "test/check.h"
#include "test/support/decoder_rig.h"
#include "test/support/emulated_models.h"
#include "test/support/emulated_runs.h"
#include "test/support/tiny_models.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

std::vector<Node> random_tree(TestRandom& random, int vocabulary, int count) {
  std::vector<Node> nodes;
  for (int i = 0; i < count; ++i) {
    const int parent = random.below(3) ? i - 1 : random.below(i + 1) - 1;
    nodes.push_back({random.below(vocabulary), parent});
  }
  return nodes;
}

// Two slots in different places, over 1 to 19 rows.
std::vector<Logits> some_passes(const std::shared_ptr<const Model>& model, uint64_t seed,
                                bool persistent) {
  TestRandom random(seed);
  const int vocabulary = model->config.vocab_size;
  DecoderRig rig(model, 2, 40, 14, {{3, 1, 4, 1, 5}, {9, 2}});
  std::vector<Logits> all = rig.run({{0, chain_of({7})}})[0];
  rig.keep(0, {0});
  const auto pass =
      rig.run({{1, chain_of({5, 6, 8, 2, 1})}, {0, random_tree(random, vocabulary, 14)}});
  for (const auto& slot : pass) all.insert(all.end(), slot.begin(), slot.end());
  CHECK((rig.phases() > 0) == persistent, rig.phases(), " phases");
  return all;
}

void compare(const NamedConfig& named, const char* dtype, uint64_t seed) {
  const auto kernels = emulated_model(named.config, seed, dtype, Executor::kKernels),
             stays = emulated_model(named.config, seed, dtype, Executor::kPersistent);
  const std::vector<Logits> expected = some_passes(kernels, seed, false);
  with_schedule(seed, [&] {
    const std::vector<Logits> got = some_passes(stays, seed, true);
    for (size_t row = 0; row < expected.size(); ++row) {
      CHECK(same_bits(got[row], expected[row]), named.name, " ", dtype, " row ", row);
    }
  });
}

void a_pass_has_the_bits_of_its_kernels() {
  uint64_t seed = 40;
  const std::vector<NamedConfig> configs = tiny_configs();
  for (size_t c = 0; c < configs.size(); ++c) {
    if (!kSanitized || c == 3) compare(configs[c], "bf16", ++seed);
    if (c != 1 && c != 3) continue;
    if (!kSanitized || c == 1) compare(configs[c], "f16", ++seed);
    if (!kSanitized || c == 3) compare(configs[c], "int8", ++seed);
  }
}

int phases_of_a_pass(const T5Config& config, const char* dtype, Executor executor, int nodes = 1) {
  DecoderRig rig(emulated_model(config, 3, dtype, executor), 1, nodes, nodes, {{3, 1}});
  rig.run({{0, chain_of({7})}});
  return rig.phases();
}

// Matrices of less than 128 columns are in bf16 there; those of 144, no whole steps of int8,
// prepare their inputs, in as many phases as there can be.
void narrow_models_in_int8() {
  T5Config config = tiny_configs()[0].config;
  config.d_model = 64;
  config.d_kv = 48;
  config.num_heads = 3;
  config.d_ff = 96;
  config.num_decoder_layers = 4;
  compare({"narrow", config}, "int8", 60);
  const int phases = phases_of_a_pass(config, "int8", Executor::kPersistent);
  CHECK(phases > 3 + 8 * config.num_decoder_layers, phases, " phases");
}

// Queries with keys and values; attention; output; the same of the encoder's, whose keys are there;
// feed-forward in and out. Around the layers: embedding with the places of rows; logits, their
// inputs.
void phases_are_counted() {
  for (const NamedConfig& named : tiny_configs()) {
    const int layers = named.config.num_decoder_layers;
    CHECK(phases_of_a_pass(named.config, "bf16", Executor::kPersistent) == 3 + 8 * layers,
          named.name);
  }
}

void it_is_taken_where_there_is_code_for_it() {
  T5Config config = tiny_configs()[0].config;
  CHECK(phases_of_a_pass(config, "bf16", Executor::kPersistent) > 0, "bf16");
  CHECK(phases_of_a_pass(config, "bf16", Executor::kKernels) == 0, "not wanted");
  CHECK(phases_of_a_pass(config, "f32", Executor::kPersistent) == 0, "f32");
  CHECK(phases_of_a_pass(config, "bf16", Executor::kPersistent, 32) > 0, "32 rows");
  CHECK(phases_of_a_pass(config, "bf16", Executor::kPersistent, 33) == 0, "33 rows");
  config.d_kv = 72;
  CHECK(phases_of_a_pass(config, "bf16", Executor::kPersistent) == 0, "wide heads");
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(argc, argv,
                   {CASE(a_pass_has_the_bits_of_its_kernels), CASE(narrow_models_in_int8),
                    CASE(phases_are_counted), CASE(it_is_taken_where_there_is_code_for_it)});
}
