// What a decoder step costs on a GPU: passes over 1 and 8 positions (--positions) of a sequence, or
// of each of several, of random models of published shapes, by the device's clock, each one launch
// of a graph, in turns.
//
//   gpu_passes [SHAPE...] [--dtype bf16|f16|int8] [--executor kernels|persistent]
//              [--overlap yes|no] [--sequences N] [--positions N] [--cached N] [--source N]
//              [--repeats N]
//
// `--overlap`: whether a kernel may start while the one before ends. Prints a line of JSON per
// shape: medians and minima in milliseconds, the bytes of weights and caches that a pass has to
// read. XXL takes 22 GB in bf16. Exit code 77: there is no GPU, with the reason on standard error.
#include <cstdio>
#include <string>
#include <vector>

#include "bench/options.h"
#include "bench/shapes.h"
#include "model/pass_times.h"

namespace {

using namespace speccascade;
using namespace speccascade::bench;

struct Options {
  std::string dtype = "bf16", executor = "kernels", overlap = "yes";
  int sequences = 1, positions = 8, cached = 32, source = 64, repeats = 51;
};

void measure(const Shape& shape, const Options& options) {
  const auto model = random_model(shape, options.dtype, executor_named(options.executor));
  const std::vector<int> rows = {1, options.positions};
  const PassTimes times = time_decoder(*model, rows, options.cached, options.source,
                                       options.repeats, options.sequences);
  std::printf(
      "{\"shape\": \"%s\", \"dtype\": \"%s\", \"executor\": \"%s\", \"overlap\": %s, \"phases\": "
      "%d, "
      "\"layers\": %d, \"sequences\": %d, \"cached\": %d, \"source\": %d, \"modelBytes\": %zu, "
      "\"passes\": [",
      shape.name, options.dtype.c_str(), options.executor.c_str(),
      options.overlap == "yes" ? "true" : "false", times.phases, shape.layers, options.sequences,
      options.cached, options.source, model->weights.bytes());
  for (size_t i = 0; i < rows.size(); ++i) {
    std::printf("%s{\"rows\": %d, \"medianMs\": %.6f, \"minMs\": %.6f, \"bytes\": %.0f}",
                i == 0 ? "" : ", ", rows[i], times.median_ms[i], times.min_ms[i], times.bytes[i]);
  }
  std::printf("]}\n");
  std::fflush(stdout);
}

int run(const std::vector<std::string>& words) {
  Options options;
  std::vector<std::string> shapes = read_options(words, {{"--dtype", &options.dtype},
                                                         {"--executor", &options.executor},
                                                         {"--overlap", &options.overlap},
                                                         {"--sequences", &options.sequences, 1024},
                                                         {"--positions", &options.positions, 256},
                                                         {"--cached", &options.cached, 4096},
                                                         {"--source", &options.source, 4096},
                                                         {"--repeats", &options.repeats, 4096}});
  if (options.overlap != "yes" && options.overlap != "no") {
    fail(ErrorCode::kInput, "--overlap: expected yes or no, got \"", options.overlap, "\"");
  }
  overlap_launches(options.overlap == "yes");
  if (shapes.empty()) shapes = {"small", "base", "large", "xl", "xxl"};
  for (const std::string& shape : shapes) measure(shape_named(shape), options);
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return run_on_gpu("gpu_passes", argc, argv, run); }
