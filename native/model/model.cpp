#include "model/model.h"

#include <algorithm>
#include <charconv>

#include "base/cpu_features.h"
#include "base/cuda_device.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "ops/ops_cuda.h"

namespace speccascade {

namespace {

DType choose_dtype(const std::string& wish, bool on_device) {
  if (wish == "auto") return on_device || has_native_bf16() ? DType::kBF16 : DType::kF32;
  if (wish == "f32") return DType::kF32;
  if (wish == "bf16") return DType::kBF16;
  if (wish == "f16") {
    if (on_device) return DType::kF16;
    fail(ErrorCode::kDevice, "dtype f16 is not available on the CPU; use bf16 or f32");
  }
  if (wish == "int8") return DType::kInt8;
  fail(ErrorCode::kInput, "dtype: expected auto, f32, bf16, f16 or int8, got ", wish);
}

bool is_cuda(const std::string& wish) { return wish == "cuda" || wish.rfind("cuda:", 0) == 0; }

// N of "cuda:N", 0 of others.
int device_index(const std::string& wish) {
  if (wish.rfind("cuda:", 0) != 0) return 0;
  const char* begin = wish.data() + 5;
  const char* end = wish.data() + wish.size();
  int index = 0;
  const auto read = std::from_chars(begin, end, index);
  if (read.ec != std::errc() || read.ptr != end || index < 0) {
    fail(ErrorCode::kInput, "device: expected auto, cpu, cuda or cuda:N, got ", wish);
  }
  return index;
}

// The first GPU that the kernels of this build run on; else the CPU, also where the driver cannot
// tell.
std::string best_device() {
  try {
    std::string why_none;
    const std::vector<DeviceInfo> devices = cuda_devices(&why_none);
    for (size_t i = 0; i < devices.size(); ++i) {
      const bool usable = devices[i].usable && runs_on_cuda(static_cast<int>(i));
      if (usable) return "cuda:" + std::to_string(i);
    }
  } catch (const Error&) {  // no driver to ask: no GPU
  }
  return "cpu";
}

const Backend& backend_of(const std::string& wish) {
  if (wish == "cpu") return cpu_backend();
  if (!is_cuda(wish)) {
    fail(ErrorCode::kInput, "device: expected auto, cpu, cuda or cuda:N, got ", wish);
  }
  return cuda_backend();
}

}  // namespace

std::shared_ptr<const Model> load_model(const T5Config& config, const ModelSource& source,
                                        const ModelOptions& options, const LoadProgress& progress) {
  const std::string device = options.device == "auto" ? best_device() : options.device;
  const Backend& backend = options.backend != nullptr ? *options.backend : backend_of(device);
  const int index = device_index(device);
  active_isa();  // an instruction set that cannot be had fails here, not in the first pass
  auto model = std::make_shared<Model>();
  model->backend = &backend;
  model->executor = options.executor;
  if (backend.open_device != nullptr) model->device = backend.open_device(index);
  model->dtype = choose_dtype(options.dtype, model->device != nullptr);
  model->threads =
      options.threads > 0 ? std::min(options.threads, available_cores()) : available_cores();
  validate(config);
  model->config = config;
  if (source.files.empty()) {
    RandomSource random(source.seed, config.d_model, config.d_kv, config.d_ff, config.inner(),
                        config.tie_word_embeddings);
    model->weights = load_weights(config, random, backend, model->device, model->dtype,
                                  model->threads, progress);
  } else {
    CheckpointSource checkpoint(source.files, source.tensors);
    model->weights = load_weights(config, checkpoint, backend, model->device, model->dtype,
                                  model->threads, progress);
    model->report = report_rest(checkpoint);
  }
  return model;
}

}  // namespace speccascade
