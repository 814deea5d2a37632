#include "test/support/tiny_models.h"

namespace speccascade::test {

namespace {

T5Config base_config() {
  T5Config config;
  config.vocab_size = 96;
  config.d_model = 32;
  config.d_kv = 16;
  config.d_ff = 64;
  config.num_heads = 2;
  config.num_layers = 2;
  config.num_decoder_layers = 2;
  config.num_buckets = 32;
  config.max_distance = 128;
  config.layer_norm_epsilon = 1e-6f;
  config.activation = Activation::kRelu;
  config.scale_decoder_outputs = true;
  config.tie_word_embeddings = true;
  return config;
}

T5Config gated_config() {
  T5Config config = base_config();
  config.d_kv = 24;  // heads x d_kv != d_model
  config.num_heads = 3;
  config.d_ff = 80;
  config.num_layers = 3;
  config.num_decoder_layers = 1;
  config.activation = Activation::kGeluTanh;
  config.gated = true;
  config.scale_decoder_outputs = false;
  config.tie_word_embeddings = false;
  return config;
}

T5Config umt5_config() {
  T5Config config = gated_config();
  config.num_layers = 1;
  config.num_decoder_layers = 3;
  config.relative_bias_every_layer = true;
  config.d_ff = 48;
  return config;
}

T5Config odd_config() {
  T5Config config;
  config.vocab_size = 37;
  config.d_model = 19;
  config.d_kv = 5;
  config.d_ff = 23;
  config.num_heads = 3;
  config.num_layers = 1;
  config.num_decoder_layers = 2;
  config.num_buckets = 7;
  config.max_distance = 9;  // sequences of the tests go beyond it
  config.layer_norm_epsilon = 1e-5f;
  config.activation = Activation::kSilu;
  config.scale_decoder_outputs = true;
  return config;
}

}  // namespace

std::vector<NamedConfig> tiny_configs() {
  T5Config exact_gelu = odd_config();
  exact_gelu.activation = Activation::kGelu;
  exact_gelu.gated = true;
  exact_gelu.d_ff = 31;
  // Beyond the depth below which int8 models keep bf16, and still no multiple of anything.
  T5Config wide = gated_config();
  wide.d_model = 130;
  wide.d_kv = 33;
  wide.num_heads = 4;
  wide.d_ff = 141;
  wide.num_layers = 1;
  return {{"relu-tied", base_config()}, {"gated-untied", gated_config()}, {"umt5", umt5_config()},
          {"odd-sizes", odd_config()},  {"odd-gated", exact_gelu},        {"wide", wide}};
}

T5Config tiny_config(int vocabulary) {
  T5Config config = base_config();
  config.vocab_size = vocabulary;
  return config;
}

std::shared_ptr<const Model> random_model(const T5Config& config, uint64_t seed,
                                          const std::string& dtype, int threads) {
  ModelSource source;
  source.seed = seed;
  ModelOptions options;
  options.device = "cpu";
  options.dtype = dtype;
  options.threads = threads;
  return load_model(config, source, options, {});
}

}  // namespace speccascade::test
