// Loading: what a checkpoint holds is what the model computes with, whatever the files, types and
// names; anything missing, misshapen or contradictory is the named error; impossible shapes and
// options are refused before memory is taken.
#include <algorithm>

#include "base/cpu_features.h"
#include "model/teacher_forced.h"
#include "test/check.h"
#include "test/support/checkpoint_files.h"
#include "test/support/test_random.h"
#include "test/support/tiny_models.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

ModelOptions options_of(const std::string& dtype) {
  ModelOptions options;
  options.device = "cpu";
  options.dtype = dtype;
  options.threads = 1;
  return options;
}

std::vector<float> logits_of(const Model& model) {
  return teacher_forced_logits(model, {{1, 2, 3, 4}, {5}}, {{0, 6, 7}, {0, 1}});
}

void files_give_the_same_model_as_their_tensors() {
  for (const NamedConfig& named : tiny_configs()) {
    const TempFolder folder;
    const std::vector<Tensor> tensors = model_tensors(named.config, 5);
    const std::vector<float> expected = logits_of(*random_model(named.config, 5));
    for (const int files : {1, 3}) {
      const ModelSource source = write_checkpoint(folder, tensors, DType::kF32, files);
      const auto model = load_model(named.config, source, options_of("f32"), {});
      CHECK(same_bits(logits_of(*model), expected), named.name, " in ", files, " files");
      CHECK(model->report.unused.empty() && model->report.duplicates.empty(), named.name);
      size_t parameters = 0;
      for (const Tensor& tensor : tensors) parameters += tensor.values.size();
      CHECK(model->weights.parameters == static_cast<int64_t>(parameters), named.name);
    }
  }
}

// A 16-bit file run in f32 computes with exactly the file's values; run in bf16 a bf16 file
// loses nothing and an f32 file is rounded.
void narrow_files_and_narrow_models() {
  for (const NamedConfig& named : tiny_configs()) {
    const TempFolder folder;
    std::vector<Tensor> tensors = model_tensors(named.config, 6);
    for (const DType dtype : {DType::kBF16, DType::kF16}) {
      std::vector<Tensor> rounded = tensors;
      for (Tensor& tensor : rounded) {
        const std::vector<uint8_t> bytes = encode(tensor.values, dtype);
        for (size_t i = 0; i < tensor.values.size(); ++i) {
          const uint16_t bits = static_cast<uint16_t>(bytes[2 * i] | bytes[2 * i + 1] << 8);
          tensor.values[i] = dtype == DType::kBF16 ? bf16_to_float(bits) : f16_to_float(bits);
        }
      }
      const ModelSource narrow = write_checkpoint(folder, tensors, dtype);
      const auto from_narrow = load_model(named.config, narrow, options_of("f32"), {});
      const ModelSource wide = write_checkpoint(folder, rounded, DType::kF32);
      const auto from_wide = load_model(named.config, wide, options_of("f32"), {});
      CHECK(same_bits(logits_of(*from_narrow), logits_of(*from_wide)), named.name, " ",
            dtype_name(dtype));
    }
    const ModelSource file = write_checkpoint(folder, tensors, DType::kF32);
    const auto model = load_model(named.config, file, options_of("bf16"), {});
    CHECK(model->dtype == DType::kBF16);
    CHECK(same_bits(logits_of(*model), logits_of(*random_model(named.config, 6, "bf16"))),
          named.name);
  }
}

void every_tensor_is_needed() {
  for (const NamedConfig& named : tiny_configs()) {
    const TempFolder folder;
    const std::vector<Tensor> tensors = model_tensors(named.config, 7);
    const ModelSource whole = write_checkpoint(folder, tensors, DType::kF32);
    for (size_t i = 0; i < tensors.size(); ++i) {
      if (tensors[i].name == "lm_head.weight") continue;  // without it the embeddings serve
      ModelSource source = whole;
      source.tensors.erase(source.tensors.begin() + static_cast<ptrdiff_t>(i));
      CHECK_ERROR(ErrorCode::kCheckpoint, "tensor " + tensors[i].name + " is missing",
                  load_model(named.config, source, options_of("f32"), {}));
    }
  }
}

void every_shape_is_checked() {
  const T5Config config = tiny_configs()[2].config;
  const TempFolder folder;
  std::vector<Tensor> tensors = model_tensors(config, 7);
  for (size_t i = 0; i < tensors.size(); ++i) {
    const Tensor right = tensors[i];
    tensors[i].shape.back() += 1;
    tensors[i].values.resize(right.values.size() +
                             (right.shape.size() > 1 ? static_cast<size_t>(right.shape[0]) : 1));
    const ModelSource source = write_checkpoint(folder, tensors, DType::kF32);
    CHECK_ERROR(ErrorCode::kCheckpoint, "tensor " + right.name + ": expected shape",
                load_model(config, source, options_of("f32"), {}));
    tensors[i] = right;
  }
}

void copies_leftovers_and_strangers() {
  const T5Config config = tiny_configs()[0].config;
  const TempFolder folder;
  std::vector<Tensor> tensors = model_tensors(config, 8);
  const std::vector<float> expected = logits_of(*random_model(config, 8));
  const Tensor shared = tensors[0];
  const std::string leftover =
      "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight";
  tensors.push_back({"encoder.embed_tokens.weight", shared.shape, shared.values});
  tensors.push_back({leftover, {32, 2}, std::vector<float>(64)});
  tensors.push_back({"stranger", {3}, {1, 2, 3}});
  tensors.push_back({"decoder.embed_tokens.weight", shared.shape, shared.values});
  tensors.push_back({"another", {2}, {1, 2}});
  const auto model =
      load_model(config, write_checkpoint(folder, tensors, DType::kF32), options_of("f32"), {});
  const std::vector<std::string> copies = {"encoder.embed_tokens.weight",
                                           "decoder.embed_tokens.weight"};
  CHECK(model->report.duplicates == copies);
  CHECK(model->report.leftovers == std::vector<std::string>{leftover});
  CHECK(model->report.unused == (std::vector<std::string>{"stranger", "another"}));
  CHECK(same_bits(logits_of(*model), expected));
  tensor_named(tensors, "decoder.embed_tokens.weight").values[5] += 1.0f;
  CHECK_ERROR(
      ErrorCode::kCheckpoint, "decoder.embed_tokens.weight differs from shared.weight",
      load_model(config, write_checkpoint(folder, tensors, DType::kF32), options_of("f32"), {}));
}

// Files that keep one copy of tied tensors do not agree on its name.
void embeddings_under_any_of_their_names() {
  const T5Config config = tiny_configs()[0].config;
  const TempFolder folder;
  const std::vector<float> expected = logits_of(*random_model(config, 8));
  for (const char* name : {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight"}) {
    std::vector<Tensor> tensors = model_tensors(config, 8);
    tensor_named(tensors, "shared.weight").name = name;
    const auto model =
        load_model(config, write_checkpoint(folder, tensors, DType::kF32), options_of("f32"), {});
    CHECK(same_bits(logits_of(*model), expected), name);
  }
}

// A checkpoint with an output head uses it, whatever the config says about tying.
void an_output_head_is_used_where_there_is_one() {
  T5Config config = tiny_configs()[1].config;
  const TempFolder folder;
  std::vector<Tensor> tensors = model_tensors(config, 9);
  const std::vector<float> expected = logits_of(*random_model(config, 9));
  config.tie_word_embeddings = true;
  const auto load = [&] {
    return load_model(config, write_checkpoint(folder, tensors, DType::kF32), options_of("f32"),
                      {});
  };
  CHECK(same_bits(logits_of(*load()), expected));
  std::erase_if(tensors, [](const Tensor& tensor) { return tensor.name == "lm_head.weight"; });
  CHECK(!same_bits(logits_of(*load()), expected));
}

void impossible_configs() {
  struct Change {
    const char* field;
    void (*make)(T5Config&);
  };
  const Change changes[] = {
      {"vocab_size", [](T5Config& c) { c.vocab_size = 0; }},
      {"vocab_size", [](T5Config& c) { c.vocab_size = 2147483647; }},
      {"d_model", [](T5Config& c) { c.d_model = -1; }},
      {"d_kv", [](T5Config& c) { c.d_kv = 0; }},
      {"d_ff", [](T5Config& c) { c.d_ff = 1 << 30; }},
      {"num_heads", [](T5Config& c) { c.num_heads = 0; }},
      {"num_layers", [](T5Config& c) { c.num_layers = 0; }},
      {"num_decoder_layers", [](T5Config& c) { c.num_decoder_layers = 5000; }},
      {"relative_attention_num_buckets", [](T5Config& c) { c.num_buckets = 1; }},
      {"relative_attention_max_distance", [](T5Config& c) { c.max_distance = 0; }},
      {"relative_attention_max_distance", [](T5Config& c) { c.max_distance = 16; }},
      {"num_heads x d_kv", [](T5Config& c) { c.num_heads = 1024, c.d_kv = 4096; }},
      {"layer_norm_epsilon", [](T5Config& c) { c.layer_norm_epsilon = -1e-6f; }},
      {"layer_norm_epsilon", [](T5Config& c) { c.layer_norm_epsilon = NAN; }},
      {"layer_norm_epsilon", [](T5Config& c) { c.layer_norm_epsilon = INFINITY; }}};
  for (const Change& change : changes) {
    T5Config config = tiny_configs()[0].config;
    change.make(config);
    CHECK_ERROR(ErrorCode::kConfig, change.field, random_model(config, 1));
  }
}

void sizes_beyond_all_memory() {
  T5Config config = tiny_configs()[0].config;
  config.vocab_size = 1 << 22;
  config.d_model = 1 << 16;  // 2^38 embedding values: a terabyte
  CHECK_ERROR(ErrorCode::kOutOfMemory, "out of memory", random_model(config, 1));
  // A checkpoint that does not match is refused for that, without asking for memory.
  const TempFolder folder;
  const ModelSource source =
      write_checkpoint(folder, model_tensors(tiny_configs()[0].config, 1), DType::kF32);
  CHECK_ERROR(ErrorCode::kCheckpoint, "shared.weight",
              load_model(config, source, options_of("f32"), {}));
}

void devices_and_types() {
  const T5Config config = tiny_configs()[0].config;
  const auto load = [&](const char* device, const char* dtype) {
    ModelOptions options;
    options.device = device;
    options.dtype = dtype;
    return load_model(config, {}, options, {});
  };
  CHECK(load("auto", "f32")->dtype == DType::kF32);
  CHECK(load("cpu", "bf16")->dtype == DType::kBF16);
  CHECK_ERROR(ErrorCode::kDevice, "f16", load("cpu", "f16"));
  CHECK(load("cpu", "int8")->dtype == DType::kInt8);
  CHECK(load("cpu", "auto")->dtype == (has_native_bf16() ? DType::kBF16 : DType::kF32));
  CHECK_ERROR(ErrorCode::kInput, "f64", load("cpu", "f64"));
  CHECK_ERROR(ErrorCode::kInput, "tpu", load("tpu", "f32"));
}

// Random weights are a function of seed, name and index, however they are read.
void random_weights_do_not_depend_on_the_order_of_reading() {
  const RandomSource source(11, 32, 16, 64, 32, true);
  for (const char* name : {"shared.weight", "encoder.block.0.layer.0.SelfAttention.q.weight"}) {
    std::vector<float> whole(23 * 7), pieces(23 * 7);
    source.read(name, 0, 23, 7, whole.data());
    for (int64_t row = 22; row >= 0; --row) source.read(name, row, 1, 7, pieces.data() + row * 7);
    CHECK(same_bits(whole, pieces), name);
  }
  std::vector<float> a(100), b(100), c(100);
  source.read("shared.weight", 0, 10, 10, a.data());
  source.read("lm_head.weight", 0, 10, 10, b.data());
  RandomSource(12, 32, 16, 64, 32, true).read("shared.weight", 0, 10, 10, c.data());
  CHECK(!same_bits(a, b) && !same_bits(a, c));
}

void progress_reaches_the_end() {
  uint64_t last = 0, end = 0;
  int calls = 0;
  ModelSource source;
  load_model(tiny_configs()[1].config, source, options_of("f32"),
             [&](LoadPhase phase, uint64_t done, uint64_t total) {
               CHECK(phase == LoadPhase::kRead);
               CHECK(done >= last && done <= total && (end == 0 || total == end));
               last = done;
               end = total;
               ++calls;
             });
  CHECK(calls > 5 && last == end && end > 0, calls, " calls, ", last, " of ", end);
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(
      argc, argv,
      {CASE(files_give_the_same_model_as_their_tensors), CASE(narrow_files_and_narrow_models),
       CASE(every_tensor_is_needed), CASE(every_shape_is_checked),
       CASE(copies_leftovers_and_strangers), CASE(embeddings_under_any_of_their_names),
       CASE(an_output_head_is_used_where_there_is_one), CASE(impossible_configs),
       CASE(sizes_beyond_all_memory), CASE(devices_and_types),
       CASE(random_weights_do_not_depend_on_the_order_of_reading), CASE(progress_reaches_the_end)});
}
