// libFuzzer over what the core is told about a checkpoint: configuration and tensor table. An
// input is a list of edits to a sound tiny checkpoint, so that damage gets behind the first check.
// Whatever they are, loading ends in a model that computes, or in a named error; the sanitizers
// watch. Built by `npm run fuzz` (SPECCASCADE_FUZZ, clang).
#include <fuzzer/FuzzedDataProvider.h>

#include <cstdint>
#include <cstdlib>
#include <limits>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/teacher_forced.h"
#include "test/support/checkpoint_files.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

struct Sound {
  T5Config config;
  ModelSource source;
};

T5Config tiny(bool gated, bool tied, bool bias_every_layer) {
  T5Config config;
  config.vocab_size = 5;
  config.d_model = 3;
  config.d_kv = 2;
  config.d_ff = 4;
  config.num_heads = 2;
  config.num_layers = 1;
  config.num_decoder_layers = 2;
  config.num_buckets = 4;
  config.max_distance = 3;
  config.layer_norm_epsilon = 1e-6f;
  config.activation = gated ? Activation::kGeluTanh : Activation::kRelu;
  config.gated = gated;
  config.tie_word_embeddings = tied;
  config.relative_bias_every_layer = bias_every_layer;
  return config;
}

const std::vector<Sound>& sound_checkpoints() {
  static const TempFolder* folders[3] = {new TempFolder, new TempFolder, new TempFolder};
  static const std::vector<Sound> all = [] {
    const T5Config plain = tiny(false, true, false), gated = tiny(true, false, false),
                   umt5 = tiny(true, false, true);
    return std::vector<Sound>{
        {plain, write_checkpoint(*folders[0], model_tensors(plain, 1), DType::kF32)},
        {gated, write_checkpoint(*folders[1], model_tensors(gated, 2), DType::kBF16, 2)},
        {umt5, write_checkpoint(*folders[2], model_tensors(umt5, 3), DType::kF16, 3)}};
  }();
  return all;
}

// A size or offset: near the old one, at the edge of a type, or anything.
uint64_t changed(FuzzedDataProvider& data, uint64_t old) {
  switch (data.ConsumeIntegralInRange(0, 4)) {
    case 0:
      return old + static_cast<uint64_t>(data.ConsumeIntegralInRange(-8, 8));
    case 1:
      return old * data.ConsumeIntegralInRange<uint64_t>(0, 4);
    case 2:
      return uint64_t{1} << data.ConsumeIntegralInRange(0, 63);
    case 3:
      return (uint64_t{1} << data.ConsumeIntegralInRange(0, 63)) - 1;
    default:
      return data.ConsumeIntegral<uint64_t>();
  }
}

void edit_config(FuzzedDataProvider& data, T5Config& config) {
  int* const sizes[] = {&config.vocab_size,  &config.d_model,      &config.d_kv,
                        &config.d_ff,        &config.num_heads,    &config.num_layers,
                        &config.num_buckets, &config.max_distance, &config.num_decoder_layers};
  switch (data.ConsumeIntegralInRange(0, 4)) {
    case 0:
      config.layer_norm_epsilon = data.ConsumeFloatingPoint<float>();
      break;
    case 1:
      config.gated = !config.gated;
      break;
    case 2:
      config.relative_bias_every_layer = !config.relative_bias_every_layer;
      break;
    default:
      int* size = sizes[data.ConsumeIntegralInRange(0, 8)];
      *size = static_cast<int>(changed(data, static_cast<uint64_t>(*size)));
  }
}

void edit_shape(FuzzedDataProvider& data, std::vector<int64_t>& shape) {
  if (shape.empty() || data.ConsumeIntegralInRange(0, 5) == 0) {
    shape.push_back(static_cast<int64_t>(changed(data, 1)));
  } else if (data.ConsumeIntegralInRange(0, 5) == 0) {
    shape.pop_back();
  } else {
    int64_t& size = shape[data.ConsumeIntegralInRange<size_t>(0, shape.size() - 1)];
    size = static_cast<int64_t>(changed(data, static_cast<uint64_t>(size)));
  }
}

void edit_tensors(FuzzedDataProvider& data, std::vector<TensorEntry>& tensors) {
  if (tensors.empty()) return;
  const auto any = [&] { return data.ConsumeIntegralInRange<size_t>(0, tensors.size() - 1); };
  TensorEntry& entry = tensors[any()];
  constexpr DType kTypes[] = {DType::kF32, DType::kBF16, DType::kF16};
  switch (data.ConsumeIntegralInRange(0, 9)) {
    case 0:
      entry.begin = changed(data, entry.begin);
      break;
    case 1:
      entry.end = changed(data, entry.end);
      break;
    case 2:
      entry.file = static_cast<int>(changed(data, static_cast<uint64_t>(entry.file)));
      break;
    case 3:
      entry.dtype = kTypes[data.ConsumeIntegralInRange(0, 2)];
      break;
    case 4:
      entry.name = tensors[any()].name;
      break;
    case 5: {
      const char* const names[] = {
          "lm_head.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight",
          "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"};
      entry.name =
          data.ConsumeBool() ? data.PickValueInArray(names) : data.ConsumeRandomLengthString(40);
      break;
    }
    case 6:
      tensors.erase(tensors.begin() + static_cast<ptrdiff_t>(any()));
      break;
    case 7:
      tensors.push_back(TensorEntry(entry));
      break;
    default:
      edit_shape(data, entry.shape);
  }
}

// Tables that pass load a model; it must be one that computes.
void compute(const Model& model) {
  if (model.config.vocab_size < 3) return;
  teacher_forced_logits(model, {{0, 1, 2}}, {{0, 2}});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  FuzzedDataProvider data(bytes, size);
  const auto& all = sound_checkpoints();
  Sound checkpoint = all[data.ConsumeIntegralInRange<size_t>(0, all.size() - 1)];
  ModelOptions options;
  options.device = "cpu";
  options.dtype = data.PickValueInArray({"f32", "bf16", "int8"});
  options.threads = 1;
  while (data.remaining_bytes() > 0) {
    if (data.ConsumeIntegralInRange(0, 5) == 0) {
      edit_config(data, checkpoint.config);
    } else {
      edit_tensors(data, checkpoint.source.tensors);
    }
  }
  try {
    compute(*load_model(checkpoint.config, checkpoint.source, options, {}));
  } catch (const Error& error) {
    const bool expected = error.code() == ErrorCode::kCheckpoint ||
                          error.code() == ErrorCode::kConfig ||
                          error.code() == ErrorCode::kOutOfMemory;
    if (!expected || std::string(error.what()).size() > 4096) std::abort();
  }
  return 0;
}
