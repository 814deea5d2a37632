#include "test/support/checkpoint_files.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "model/weight_source.h"

namespace speccascade::test {

TempFolder::TempFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "speccascade-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder");
  path_ = pattern;
}

TempFolder::~TempFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TempFolder::write(const std::string& name, const std::vector<uint8_t>& bytes) const {
  const std::string file = path(name);
  std::ofstream out(file, std::ios::binary);
  out.write(reinterpret_cast<const char*>(bytes.data()),
            static_cast<std::streamsize>(bytes.size()));
  if (!out.flush()) throw std::runtime_error("cannot write " + file);
  return file;
}

namespace {

// Nearest half-precision value, found by bisection over the positive ones.
uint16_t half_of(float value) {
  const float magnitude = std::fabs(value);
  uint16_t low = 0, high = 0x7bff;
  while (high - low > 1) {
    const uint16_t middle = static_cast<uint16_t>((low + high) / 2);
    (f16_to_float(middle) <= magnitude ? low : high) = middle;
  }
  const bool up = f16_to_float(high) - magnitude < magnitude - f16_to_float(low);
  return static_cast<uint16_t>((up ? high : low) | (value < 0.0f ? 0x8000u : 0u));
}

}  // namespace

std::vector<uint8_t> encode(const std::vector<float>& values, DType dtype) {
  std::vector<uint8_t> bytes(values.size() * dtype_bytes(dtype));
  for (size_t i = 0; i < values.size(); ++i) {
    if (dtype == DType::kF32) {
      std::memcpy(bytes.data() + 4 * i, &values[i], 4);
    } else {
      const uint16_t half = dtype == DType::kBF16 ? float_to_bf16(values[i]) : half_of(values[i]);
      std::memcpy(bytes.data() + 2 * i, &half, 2);
    }
  }
  return bytes;
}

namespace {

// Collects tensors; values come from the source that random models are loaded from.
class Collector {
 public:
  Collector(const T5Config& config, uint64_t seed)
      : config_(config),
        source_(seed, config.d_model, config.d_kv, config.d_ff, config.inner(),
                config.tie_word_embeddings) {}

  std::vector<Tensor> collect() {
    const int64_t width = config_.d_model;
    add("shared.weight", {config_.vocab_size, width});
    if (!config_.tie_word_embeddings) add("lm_head.weight", {config_.vocab_size, width});
    for (int i = 0; i < config_.num_layers; ++i) {
      const std::string block = "encoder.block." + std::to_string(i) + ".layer.";
      attention(block + "0", "SelfAttention", i == 0 || config_.relative_bias_every_layer);
      feed_forward(block + "1");
    }
    for (int i = 0; i < config_.num_decoder_layers; ++i) {
      const std::string block = "decoder.block." + std::to_string(i) + ".layer.";
      attention(block + "0", "SelfAttention", i == 0 || config_.relative_bias_every_layer);
      attention(block + "1", "EncDecAttention", false);
      feed_forward(block + "2");
    }
    add("encoder.final_layer_norm.weight", {width});
    add("decoder.final_layer_norm.weight", {width});
    return std::move(tensors_);
  }

 private:
  void add(const std::string& name, const std::vector<int64_t>& shape) {
    const int64_t columns = shape.size() > 1 ? shape[1] : 0;
    Tensor tensor = {name, shape, {}};
    tensor.values.resize(static_cast<size_t>(shape[0] * std::max<int64_t>(columns, 1)));
    source_.read(name, 0, shape[0], columns, tensor.values.data());
    tensors_.push_back(std::move(tensor));
  }

  void attention(const std::string& stem, const std::string& kind, bool bias) {
    const int64_t width = config_.d_model, inner = config_.inner();
    add(stem + ".layer_norm.weight", {width});
    for (const char* part : {".q", ".k", ".v"}) {
      add(stem + "." + kind + part + ".weight", {inner, width});
    }
    add(stem + "." + kind + ".o.weight", {width, inner});
    if (bias) {
      add(stem + "." + kind + ".relative_attention_bias.weight",
          {config_.num_buckets, config_.num_heads});
    }
  }

  void feed_forward(const std::string& stem) {
    const int64_t width = config_.d_model, hidden = config_.d_ff;
    add(stem + ".layer_norm.weight", {width});
    const std::string dense = stem + ".DenseReluDense.";
    if (config_.gated) {
      add(dense + "wi_0.weight", {hidden, width});
      add(dense + "wi_1.weight", {hidden, width});
    } else {
      add(dense + "wi.weight", {hidden, width});
    }
    add(dense + "wo.weight", {width, hidden});
  }

  const T5Config& config_;
  RandomSource source_;
  std::vector<Tensor> tensors_;
};

}  // namespace

std::vector<Tensor> model_tensors(const T5Config& config, uint64_t seed) {
  return Collector(config, seed).collect();
}

Tensor& tensor_named(std::vector<Tensor>& tensors, const std::string& name) {
  for (Tensor& tensor : tensors) {
    if (tensor.name == name) return tensor;
  }
  throw std::runtime_error("no tensor " + name);
}

ModelSource write_checkpoint(const TempFolder& folder, const std::vector<Tensor>& tensors,
                             DType dtype, int files) {
  ModelSource source;
  std::vector<std::vector<uint8_t>> contents(static_cast<size_t>(files), {1, 2, 3});
  for (size_t i = 0; i < tensors.size(); ++i) {
    const int file = static_cast<int>(i) % files;
    std::vector<uint8_t>& content = contents[static_cast<size_t>(file)];
    const std::vector<uint8_t> bytes = encode(tensors[i].values, dtype);
    TensorEntry entry;
    entry.name = tensors[i].name;
    entry.file = file;
    entry.dtype = dtype;
    entry.shape = tensors[i].shape;
    entry.begin = content.size();
    content.insert(content.end(), bytes.begin(), bytes.end());
    entry.end = content.size();
    source.tensors.push_back(entry);
    content.push_back(0);
  }
  for (int f = 0; f < files; ++f) {
    source.files.push_back(
        folder.write("part-" + std::to_string(f) + ".bin", contents[static_cast<size_t>(f)]));
  }
  return source;
}

}  // namespace speccascade::test
