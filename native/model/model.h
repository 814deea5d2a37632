// A loaded model: its shape, its weights, and how it computes. Shared by the
// sessions that use it; immutable once loaded.
#pragma once

#include <memory>
#include <string>

#include "model/config.h"
#include "model/weights.h"
#include "ops/backend.h"

namespace speccascade {

// What runs the decoder's passes on a device: kernels one by one or, where it is wanted and there
// is code for it, one that stays (ops/persistent.h; docs/cuda.md says which is faster).
enum class Executor { kKernels, kPersistent };

struct Model {
  T5Config config;
  T5Weights weights;
  DType dtype = DType::kF32;
  const Backend* backend = &cpu_backend();  // what the weights are packed for
  std::shared_ptr<Device> device;           // where they lie; null: in the host's memory
  int threads = 1;                          // upper bound of pool threads one operation uses
  Executor executor = Executor::kKernels;
  LoadReport report;

  size_t memory_bytes() const { return weights.bytes(); }
  std::string device_name() const { return device ? device->name() : "cpu"; }
};

// Where a model's weights come from.
struct ModelSource {
  std::vector<std::string> files;  // empty: random weights
  std::vector<TensorEntry> tensors;
  uint64_t seed = 0;
};

struct ModelOptions {
  std::string device = "auto";       // "auto", "cpu", "cuda", "cuda:N"
  std::string dtype = "auto";        // "auto", "f32", "bf16", "int8"; on CUDA "f16" too
  int threads = 0;                   // 0: all cores
  const Backend* backend = nullptr;  // null: that of the device
  Executor executor = Executor::kKernels;
};

// Loads and converts once. Throws ERR_CONFIG, ERR_CHECKPOINT, ERR_DEVICE,
// ERR_IO or ERR_OUT_OF_MEMORY.
std::shared_ptr<const Model> load_model(const T5Config& config, const ModelSource& source,
                                        const ModelOptions& options, const LoadProgress& progress);

}  // namespace speccascade
