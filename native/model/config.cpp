#include "model/config.h"

#include <cmath>

#include "base/error.h"

namespace speccascade {

namespace {

void check_range(const char* name, int value, int low, int high) {
  check_range(ErrorCode::kConfig, name, value, low, high);
}

}  // namespace

void validate(const T5Config& config) {
  check_range("vocab_size", config.vocab_size, 1, 1 << 22);
  check_range("d_model", config.d_model, 1, 1 << 16);
  check_range("d_kv", config.d_kv, 1, 1 << 12);
  check_range("d_ff", config.d_ff, 1, 1 << 18);
  check_range("num_heads", config.num_heads, 1, 1 << 10);
  check_range("num_layers", config.num_layers, 1, 1 << 10);
  check_range("num_decoder_layers", config.num_decoder_layers, 1, 1 << 10);
  check_range("relative_attention_num_buckets", config.num_buckets, 4, 1 << 12);
  check_range("relative_attention_max_distance", config.max_distance, 2, 1 << 16);
  check_range("num_heads x d_kv", config.inner(), 1, 1 << 17);
  // Below this the logarithm that spreads the buckets is not positive.
  if (config.max_distance <= config.num_buckets / 2) {
    fail(ErrorCode::kConfig, "relative_attention_max_distance: expected more than half of ",
         "relative_attention_num_buckets (", config.num_buckets, "), got ", config.max_distance);
  }
  if (!(config.layer_norm_epsilon >= 0.0f) || !std::isfinite(config.layer_norm_epsilon)) {
    fail(ErrorCode::kConfig, "layer_norm_epsilon: expected a finite number >= 0, got ",
         config.layer_norm_epsilon);
  }
}

}  // namespace speccascade
