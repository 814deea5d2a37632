// The shape of a T5-family model, as far as the forward pass needs it.
#pragma once

#include <cstdint>

#include "ops/activation.h"

namespace speccascade {

struct T5Config {
  int vocab_size = 0;
  int d_model = 0;
  int d_kv = 0;
  int d_ff = 0;
  int num_heads = 0;
  int num_layers = 0;
  int num_decoder_layers = 0;
  int num_buckets = 0;
  int max_distance = 0;
  bool relative_bias_every_layer = false;  // UMT5
  float layer_norm_epsilon = 0.0f;
  Activation activation = Activation::kRelu;
  bool gated = false;
  bool scale_decoder_outputs = false;
  bool tie_word_embeddings = false;  // read for random weights alone

  int inner() const { return num_heads * d_kv; }
};

// Throws ERR_CONFIG naming the field and its value unless every size is in a
// range that can be computed with and whose products fit.
void validate(const T5Config& config);

}  // namespace speccascade
