// Whole passes by the CUDA kernels and their executor under the emulation: against the forward pass
// in double precision, and the same bits for a row alone, in a chain and in a tree.
#include "ops/ops_cuda.h"
#include "test/check.h"
#include "test/support/decoder_rig.h"
#include "test/support/emulated_models.h"
#include "test/support/emulated_runs.h"
#include "test/support/forward_cases.h"
#include "test/support/tiny_models.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

// Passes planned for 40 rows take the tiled products, those for one row the skinny ones.
void a_tree_has_the_bits_of_its_paths() {
  uint64_t seed = 70;
  const std::vector<NamedConfig> configs = tiny_configs();
  for (const size_t c : {1, 3, 5}) {
    for (const char* dtype : {"f32", "bf16", "int8"}) {
      const T5Config& config = configs[c].config;
      const auto model = emulated_model(config, ++seed, dtype);
      TestRandom random(seed);
      const std::vector<int32_t> source = {3, 1, 4, 1, 5};
      std::vector<Node> nodes;
      for (int i = 0; i < 12; ++i) {
        const int parent = random.below(3) ? i - 1 : random.below(i + 1) - 1;
        nodes.push_back({random.below(config.vocab_size), parent});
      }
      DecoderRig rig(model, 2, 60, 20, {source});
      // Behind a committed prefix, beside another slot.
      rig.run({{0, chain_of({7, 8, 9})}});
      rig.keep(0, {0, 1, 2});
      const std::vector<Logits> got = rig.run({{1, chain_of({5, 6})}, {0, nodes}})[1];
      for (size_t n = 0; n < nodes.size(); n += kSanitized ? 11 : 5) {
        std::vector<int32_t> tokens = {7, 8, 9};
        for (const int32_t token : path_tokens(nodes, static_cast<int>(n))) tokens.push_back(token);
        CHECK(same_bits(got[n], one_by_one(model, source, tokens).back()), configs[c].name, " ",
              dtype, " node ", n);
      }
    }
  }
}

void passes_in_every_schedule() {
  const T5Config config = tiny_configs()[1].config;
  for (const char* dtype : {"bf16", "int8"}) {
    const auto model = emulated_model(config, 5, dtype);
    same_in_every_schedule(dtype, [&] { return one_by_one(model, {1, 2, 3}, {4, 5, 6})[2]; });
  }
}

// Products that leave rows, read factors and fill whole blocks, as in models of a usual size.
void an_encoder_by_all_that_makes_its_products() {
  NamedConfig wide = tiny_configs()[1];
  wide.config.d_model = 192;
  wide.config.d_kv = 32;
  wide.config.num_heads = 4;
  wide.config.d_ff = 160;
  wide.config.num_layers = 1;
  for (const ChainForm form : {ChainForm::kPortable, ChainForm::kWarpgroups}) {
    if (form == ChainForm::kWarpgroups && !has_warpgroup_chains()) continue;
    for (const int rows_of_block : {0, 128, 256}) {
      choose_chains(form, rows_of_block);
      wide.name = "in blocks of " + std::to_string(rows_of_block);
      check_encoder(wide, DType::kBF16, 150);
      check_encoder(wide, DType::kInt8, 150);
      if (form == ChainForm::kPortable) break;
    }
  }
  choose_chains(ChainForm::kByDevice);
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<Case> cases = forward_cases(&cuda_backend(), true);
  cases.push_back(CASE(an_encoder_by_all_that_makes_its_products));
  cases.push_back(CASE(a_tree_has_the_bits_of_its_paths));
  cases.push_back(CASE(passes_in_every_schedule));
  return run_cases(argc, argv, cases);
}
