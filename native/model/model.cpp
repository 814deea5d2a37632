#include "model/model.h"

#include <algorithm>

#include "base/cpu_features.h"
#include "base/error.h"
#include "base/thread_pool.h"

namespace speccascade {

namespace {

DType choose_dtype(const std::string& wish) {
  if (wish == "auto") return has_native_bf16() ? DType::kBF16 : DType::kF32;
  if (wish == "f32") return DType::kF32;
  if (wish == "bf16") return DType::kBF16;
  if (wish == "f16") {
    fail(ErrorCode::kDevice, "dtype f16 is not available on the CPU; use bf16 or f32");
  }
  if (wish == "int8") return DType::kInt8;
  fail(ErrorCode::kInput, "dtype: expected auto, f32, bf16, f16 or int8, got ", wish);
}

void check_device(const std::string& wish) {
  if (wish == "auto" || wish == "cpu") return;
  if (wish.rfind("cuda", 0) == 0) {
    fail(ErrorCode::kDevice, "device ", wish,
         ": this version decodes on the CPU; CUDA devices are listed by devices()");
  }
  fail(ErrorCode::kInput, "device: expected auto, cpu, cuda or cuda:N, got ", wish);
}

}  // namespace

std::shared_ptr<const Model> load_model(const T5Config& config, const ModelSource& source,
                                        const ModelOptions& options, const LoadProgress& progress) {
  check_device(options.device);
  active_isa();  // an instruction set that cannot be had fails here, not in the first pass
  auto model = std::make_shared<Model>();
  model->dtype = choose_dtype(options.dtype);
  model->threads =
      options.threads > 0 ? std::min(options.threads, available_cores()) : available_cores();
  if (options.backend != nullptr) model->backend = options.backend;
  validate(config);
  model->config = config;
  if (source.files.empty()) {
    RandomSource random(source.seed, config.d_model, config.d_kv, config.d_ff, config.inner(),
                        config.tie_word_embeddings);
    model->weights =
        load_weights(config, random, *model->backend, model->dtype, model->threads, progress);
  } else {
    CheckpointSource checkpoint(source.files, source.tensors);
    model->weights =
        load_weights(config, checkpoint, *model->backend, model->dtype, model->threads, progress);
    model->report = report_rest(checkpoint);
  }
  return model;
}

}  // namespace speccascade
