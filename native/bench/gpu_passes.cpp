// What a decoder step costs on a GPU at batch 1: passes over 1 and 8 positions of random models of
// published shapes, by the device's clock, each one launch of a graph, in turns.
//
//   gpu_passes [SHAPE...] [--dtype bf16|f16|int8] [--cached N] [--source N] [--repeats N]
//
// Prints a line of JSON per shape: medians and minima in milliseconds, the bytes of weights and
// caches that a pass has to read. XXL takes 22 GB in bf16. Exit code 77: there is no GPU, with the
// reason on standard error.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "base/cuda_device.h"
#include "base/error.h"
#include "model/pass_times.h"

namespace {

using namespace speccascade;

struct Shape {
  const char* name;
  int d_model, d_kv, d_ff, heads, layers, vocabulary;
};

// T5 v1.1 and FLAN-T5, as their configurations are published; the last is for dry runs.
constexpr Shape kShapes[] = {
    {"small", 512, 64, 1024, 6, 8, 32128},    {"base", 768, 64, 2048, 12, 12, 32128},
    {"large", 1024, 64, 2816, 16, 24, 32128}, {"xl", 2048, 64, 5120, 32, 24, 32128},
    {"xxl", 4096, 64, 10240, 64, 24, 32128},  {"tiny", 64, 16, 96, 4, 2, 200},
};

struct Options {
  std::vector<const Shape*> shapes;
  std::string dtype = "bf16";
  int cached = 32, source = 64, repeats = 51;
};

const Shape& shape_named(const std::string& name) {
  for (const Shape& shape : kShapes) {
    if (name == shape.name) return shape;
  }
  fail(ErrorCode::kInput, "shape: expected small, base, large, xl, xxl or tiny, got \"", name,
       "\"");
}

int positive(const char* option, const char* text) {
  char* end = nullptr;
  const long value = std::strtol(text, &end, 10);
  if (*text == '\0' || *end != '\0' || value < 1 || value > 4096) {
    fail(ErrorCode::kInput, option, ": expected an integer from 1 to 4096, got \"", text, "\"");
  }
  return static_cast<int>(value);
}

Options read_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word.rfind("--", 0) != 0) {
      options.shapes.push_back(&shape_named(word));
      continue;
    }
    if (i + 1 == argc) fail(ErrorCode::kInput, word, ": a value is missing");
    const char* value = argv[++i];
    if (word == "--dtype") {
      options.dtype = value;
    } else if (word == "--cached") {
      options.cached = positive("--cached", value);
    } else if (word == "--source") {
      options.source = positive("--source", value);
    } else if (word == "--repeats") {
      options.repeats = positive("--repeats", value);
    } else {
      fail(ErrorCode::kInput, "unknown option ", word);
    }
  }
  if (options.shapes.empty()) {
    for (const char* name : {"small", "base", "large", "xl", "xxl"}) {
      options.shapes.push_back(&shape_named(name));
    }
  }
  return options;
}

std::shared_ptr<const Model> random_model(const Shape& shape, const std::string& dtype) {
  T5Config config;
  config.vocab_size = shape.vocabulary;
  config.d_model = shape.d_model;
  config.d_kv = shape.d_kv;
  config.d_ff = shape.d_ff;
  config.num_heads = shape.heads;
  config.num_layers = config.num_decoder_layers = shape.layers;
  config.num_buckets = 32;
  config.max_distance = 128;
  config.layer_norm_epsilon = 1e-6f;
  config.activation = Activation::kGeluTanh;
  config.gated = true;
  ModelSource source;
  source.seed = 1;
  ModelOptions options;
  options.device = "cuda";
  options.dtype = dtype;
  return load_model(config, source, options, {});
}

void measure(const Shape& shape, const Options& options) {
  const auto model = random_model(shape, options.dtype);
  const std::vector<int> rows = {1, 8};
  const PassTimes times =
      time_decoder(*model, rows, options.cached, options.source, options.repeats);
  std::printf(
      "{\"shape\": \"%s\", \"dtype\": \"%s\", \"layers\": %d, \"cached\": %d, \"source\": %d, "
      "\"modelBytes\": %zu, \"passes\": [",
      shape.name, options.dtype.c_str(), shape.layers, options.cached, options.source,
      model->weights.bytes());
  for (size_t i = 0; i < rows.size(); ++i) {
    std::printf("%s{\"rows\": %d, \"medianMs\": %.6f, \"minMs\": %.6f, \"bytes\": %.0f}",
                i == 0 ? "" : ", ", rows[i], times.median_ms[i], times.min_ms[i], times.bytes[i]);
  }
  std::printf("]}\n");
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  std::string note;
  if (cuda_devices(&note).empty()) {
    std::fprintf(stderr, "skipped: %s\n", note.c_str());
    return 77;
  }
  try {
    const Options options = read_options(argc, argv);
    for (const Shape* shape : options.shapes) measure(*shape, options);
  } catch (const Error& error) {
    std::fprintf(stderr, "gpu_passes: %s: %s\n", error_name(error.code()), error.what());
    return 1;
  }
  return 0;
}
