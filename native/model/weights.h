// The weights of one model in the form the kernels read: packed matrices in the
// run-time dtype, norms and biases in f32, all in one arena.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/device_memory.h"
#include "model/config.h"
#include "model/weight_source.h"
#include "ops/backend.h"
#include "ops/packed_matrix.h"

namespace speccascade {

struct FeedForwardWeights {
  const float* norm = nullptr;
  Matrix in;   // wi, or wi_0 and wi_1 interleaved (gated)
  Matrix out;  // wo
};

struct EncoderLayerWeights {
  const float* norm = nullptr;
  Matrix qkv;                   // [3 * inner, d_model]
  Matrix out;                   // [d_model, inner]
  const float* bias = nullptr;  // [heads, bias_columns(max_distance)]
  FeedForwardWeights feed_forward;
};

struct DecoderLayerWeights {
  const float* self_norm = nullptr;
  Matrix self_query;      // [inner, d_model]
  Matrix self_key_value;  // [2 * inner, d_model]
  Matrix self_out;
  const float* bias = nullptr;
  const float* cross_norm = nullptr;
  Matrix cross_query;
  Matrix cross_key_value;  // applied to encoder states, once per request
  Matrix cross_out;
  FeedForwardWeights feed_forward;
};

struct T5Weights {
  Matrix shared;  // token embeddings
  Matrix head;    // the same matrix where the checkpoint has no lm_head
  std::vector<EncoderLayerWeights> encoder;
  std::vector<DecoderLayerWeights> decoder;
  const float* encoder_final_norm = nullptr;
  const float* decoder_final_norm = nullptr;
  int64_t parameters = 0;
  Buffer arena;               // on the CPU
  DeviceBuffer device_arena;  // on a device
  size_t bytes() const { return arena.bytes() + device_arena.bytes(); }
};

// Reading is also packing; on a device each part is uploaded once it is read.
enum class LoadPhase { kRead, kUpload };

// Called with bytes of weights done and in all, from the loading thread.
using LoadProgress = std::function<void(LoadPhase phase, uint64_t done, uint64_t total)>;

// Reads and packs every weight as `backend` takes them, into the memory of `device` or, if null,
// the host's. `dtype` is the matrices' type: f32, bf16, f16 (on devices) or int8. The source is
// checked in full before memory is taken. `threads` bounds the pool threads used.
T5Weights load_weights(const T5Config& config, WeightSource& source, const Backend& backend,
                       const std::shared_ptr<Device>& device, DType dtype, int threads,
                       const LoadProgress& progress);

// Copies of `shared`, known leftovers, and tensors nothing needs, of a checkpoint
// whose weights were required already. Throws ERR_CHECKPOINT if a copy differs.
struct LoadReport {
  std::vector<std::string> duplicates;
  std::vector<std::string> leftovers;
  std::vector<std::string> unused;
};
LoadReport report_rest(CheckpointSource& source);

}  // namespace speccascade
