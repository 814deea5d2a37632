#include "model/weights.h"

#include <algorithm>
#include <cstring>
#include <functional>

#include "base/error.h"
#include "base/thread_pool.h"
#include "ops/relative_bias.h"

namespace speccascade {

namespace {

constexpr size_t kAlign = 64;

// Products of fewer terms average rounding errors out less. Below this depth int8
// gives way to bf16, and a head in bf16 takes its inputs in two parts. (Both keep
// the bundled models' near ties from tipping: test/bundled.test.ts.)
constexpr int kNarrow = 128;

// Rows that a thread packs at a time.
constexpr int kBlock = 64;

// The type of a matrix of depth k in a model of type `wish`.
DType matrix_dtype(DType wish, int k) {
  return wish == DType::kInt8 && k < kNarrow ? DType::kBF16 : wish;
}

// Embedding and head stay in bf16 in int8 models: of all matrices, their errors
// reach the logits undiluted.
DType table_dtype(DType wish) { return wish == DType::kInt8 ? DType::kBF16 : wish; }

// The tensor that holds the token embeddings: files that keep one copy of tied
// tensors do not agree on its name.
std::string embedding_name(const WeightSource& source) {
  for (const char* name :
       {"shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight"}) {
    if (source.has(name)) return name;
  }
  return "shared.weight";  // require() will name it as missing
}

// Lays the weights out from `base` on, as a list of jobs, each one tensor. Run
// once without memory it checks every tensor and tells the size; run again over
// an arena of that size it gives the weights, and fill() does the jobs.
class Loader {
 public:
  Loader(const T5Config& config, WeightSource& source, const Backend& backend, DType dtype,
         void* base)
      : config_(config), source_(source), backend_(backend), dtype_(dtype), base_(base) {}

  T5Weights plan();
  size_t bytes() const { return bytes_; }
  // Null: the arena is the host's.
  void fill(Device* device, int threads, const LoadProgress& progress) const;

 private:
  struct Job {
    std::string name;
    int rows, columns;
    void* out;
    DType dtype;  // of a packed matrix
    enum { kMatrix, kVector, kEncoderBias, kDecoderBias } kind;
    int row_begin, which;  // of a packed matrix
    int total_rows;        // of it
    bool gated;
    size_t region_bytes;  // of all that `out` holds
  };

  struct Part {
    std::string name;
    int rows;
  };

  // The parts stacked into one packed matrix.
  Matrix matrix(const std::vector<Part>& parts, int columns) {
    return stack(parts, columns, matrix_dtype(dtype_, columns));
  }
  Matrix stack(const std::vector<Part>& parts, int columns, DType dtype);
  Matrix table(const std::string& name);
  Matrix gated_matrix(const std::string& first, const std::string& second, int rows, int columns);
  const float* vector(const std::string& name, int size);
  const float* bias(const std::string& stem, bool bidirectional);
  FeedForwardWeights feed_forward(const std::string& stem);
  EncoderLayerWeights encoder_layer(int i);
  DecoderLayerWeights decoder_layer(int i);
  void* reserve(size_t bytes);
  void require(const std::string& name, int64_t rows, int64_t columns);
  void run(const Job& job, void* out, int threads, const std::function<void(int)>& packed) const;
  void pack(const Job& job, int begin, int end, void* out,
            std::vector<std::vector<float>>& read) const;
  bool is_made_there(const Job& job) const;
  void make_there(const Job& job, DeviceStream& stream) const;

  const T5Config& config_;
  WeightSource& source_;
  const Backend& backend_;
  DType dtype_;
  void* base_;
  std::vector<Job> jobs_;
  size_t bytes_ = 0;
  int64_t parameters_ = 0;
  const float* encoder_bias_ = nullptr;  // of layer 0, shared by the others
  const float* decoder_bias_ = nullptr;
};

void* Loader::reserve(size_t bytes) {
  // Through an integer: without memory there is no array to point into.
  void* at = reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(base_) + bytes_);
  bytes_ += (bytes + kAlign - 1) / kAlign * kAlign;
  return at;
}

void Loader::require(const std::string& name, int64_t rows, int64_t columns) {
  source_.require(name, rows, columns);
  parameters_ += rows * std::max<int64_t>(columns, 1);
}

Matrix Loader::stack(const std::vector<Part>& parts, int columns, DType dtype) {
  int rows = 0;
  for (const Part& part : parts) rows += part.rows;
  const size_t bytes = backend_.matrix_bytes(rows, columns, dtype, false);
  void* out = reserve(bytes);
  int row_begin = 0;
  for (const Part& part : parts) {
    require(part.name, part.rows, columns);
    jobs_.push_back({part.name, part.rows, columns, out, dtype, Job::kMatrix, row_begin, 0, rows,
                     false, bytes});
    row_begin += part.rows;
  }
  return {out, dtype, rows, columns, false};
}

Matrix Loader::table(const std::string& name) {
  Matrix matrix = stack({{name, config_.vocab_size}}, config_.d_model, table_dtype(dtype_));
  if (matrix.dtype == DType::kBF16 && matrix.k < kNarrow) matrix.parts = 2;
  return matrix;
}

Matrix Loader::gated_matrix(const std::string& first, const std::string& second, int rows,
                            int columns) {
  const DType dtype = matrix_dtype(dtype_, columns);
  const size_t bytes = backend_.matrix_bytes(rows, columns, dtype, true);
  void* out = reserve(bytes);
  require(first, rows, columns);
  require(second, rows, columns);
  jobs_.push_back({first, rows, columns, out, dtype, Job::kMatrix, 0, 0, rows, true, bytes});
  jobs_.push_back({second, rows, columns, out, dtype, Job::kMatrix, 0, 1, rows, true, bytes});
  return {out, dtype, rows, columns, true};
}

const float* Loader::vector(const std::string& name, int size) {
  require(name, size, 0);
  const size_t bytes = static_cast<size_t>(size) * sizeof(float);
  void* out = reserve(bytes);
  jobs_.push_back({name, size, 0, out, DType::kF32, Job::kVector, 0, 0, 0, false, bytes});
  return static_cast<const float*>(out);
}

const float* Loader::bias(const std::string& stem, bool bidirectional) {
  const std::string name = stem + ".relative_attention_bias.weight";
  require(name, config_.num_buckets, config_.num_heads);
  const size_t columns = static_cast<size_t>(bias_columns(config_.max_distance));
  const size_t bytes = static_cast<size_t>(config_.num_heads) * columns * sizeof(float);
  void* out = reserve(bytes);
  jobs_.push_back({name, config_.num_buckets, config_.num_heads, out, DType::kF32,
                   bidirectional ? Job::kEncoderBias : Job::kDecoderBias, 0, 0, 0, false, bytes});
  return static_cast<const float*>(out);
}

FeedForwardWeights Loader::feed_forward(const std::string& stem) {
  const std::string dense = stem + ".DenseReluDense.";
  FeedForwardWeights weights;
  weights.norm = vector(stem + ".layer_norm.weight", config_.d_model);
  weights.in = config_.gated ? gated_matrix(dense + "wi_0.weight", dense + "wi_1.weight",
                                            config_.d_ff, config_.d_model)
                             : matrix({{dense + "wi.weight", config_.d_ff}}, config_.d_model);
  weights.out = matrix({{dense + "wo.weight", config_.d_model}}, config_.d_ff);
  return weights;
}

EncoderLayerWeights Loader::encoder_layer(int i) {
  const std::string block = "encoder.block." + std::to_string(i) + ".layer.";
  const std::string attention = block + "0.SelfAttention";
  const int inner = config_.inner();
  EncoderLayerWeights layer;
  layer.norm = vector(block + "0.layer_norm.weight", config_.d_model);
  layer.qkv = matrix({{attention + ".q.weight", inner},
                      {attention + ".k.weight", inner},
                      {attention + ".v.weight", inner}},
                     config_.d_model);
  layer.out = matrix({{attention + ".o.weight", config_.d_model}}, inner);
  if (i == 0 || config_.relative_bias_every_layer) encoder_bias_ = bias(attention, true);
  layer.bias = encoder_bias_;
  layer.feed_forward = feed_forward(block + "1");
  return layer;
}

DecoderLayerWeights Loader::decoder_layer(int i) {
  const std::string block = "decoder.block." + std::to_string(i) + ".layer.";
  const std::string self = block + "0.SelfAttention";
  const std::string cross = block + "1.EncDecAttention";
  const int inner = config_.inner();
  DecoderLayerWeights layer;
  layer.self_norm = vector(block + "0.layer_norm.weight", config_.d_model);
  layer.self_query = matrix({{self + ".q.weight", inner}}, config_.d_model);
  layer.self_key_value =
      matrix({{self + ".k.weight", inner}, {self + ".v.weight", inner}}, config_.d_model);
  layer.self_out = matrix({{self + ".o.weight", config_.d_model}}, inner);
  if (i == 0 || config_.relative_bias_every_layer) decoder_bias_ = bias(self, false);
  layer.bias = decoder_bias_;
  layer.cross_norm = vector(block + "1.layer_norm.weight", config_.d_model);
  layer.cross_query = matrix({{cross + ".q.weight", inner}}, config_.d_model);
  layer.cross_key_value =
      matrix({{cross + ".k.weight", inner}, {cross + ".v.weight", inner}}, config_.d_model);
  layer.cross_out = matrix({{cross + ".o.weight", config_.d_model}}, inner);
  layer.feed_forward = feed_forward(block + "2");
  return layer;
}

T5Weights Loader::plan() {
  T5Weights weights;
  weights.shared = table(embedding_name(source_));
  weights.head = source_.has("lm_head.weight") ? table("lm_head.weight") : weights.shared;
  for (int i = 0; i < config_.num_layers; ++i) weights.encoder.push_back(encoder_layer(i));
  for (int i = 0; i < config_.num_decoder_layers; ++i) weights.decoder.push_back(decoder_layer(i));
  weights.encoder_final_norm = vector("encoder.final_layer_norm.weight", config_.d_model);
  weights.decoder_final_norm = vector("decoder.final_layer_norm.weight", config_.d_model);
  weights.parameters = parameters_;
  return weights;
}

// Rows [begin, end) of a matrix, by as many threads as there is memory in `read`.
void Loader::pack(const Job& job, int begin, int end, void* out,
                  std::vector<std::vector<float>>& read) const {
  const bool as_stored = &backend_ == &cpu_backend();
  for_items((end - begin + kBlock - 1) / kBlock, static_cast<int>(read.size()),
            [&](int64_t worker, int64_t task) {
              const int first = begin + static_cast<int>(task) * kBlock;
              const int count = std::min(kBlock, end - first);
              const int row = job.row_begin + first;
              std::vector<float>& rows = read[static_cast<size_t>(worker)];
              rows.resize(static_cast<size_t>(kBlock) * static_cast<size_t>(job.columns));
              if (as_stored && source_.read_stored(job.name, first, count, job.columns, job.dtype,
                                                   rows.data())) {
                return pack_stored_rows(rows.data(), row, count, job.columns, job.dtype, job.which,
                                        job.gated, out);
              }
              source_.read(job.name, first, count, job.columns, rows.data());
              backend_.pack_rows(rows.data(), row, count, job.total_rows, job.columns, job.dtype,
                                 job.which, job.gated, out);
            });
}

// `packed`: told of every few rows, so that sessions have their turn of the threads in between and
// loading can end there.
void Loader::run(const Job& job, void* out, int threads,
                 const std::function<void(int)>& packed) const {
  if (job.kind == Job::kVector) {
    source_.read(job.name, 0, job.rows, 0, static_cast<float*>(out));
    packed(job.rows);
  } else if (job.kind == Job::kMatrix) {
    constexpr int64_t kElements = 1 << 20;
    const int workers = std::max(threads, 1);
    const int most = std::max(static_cast<int>(kElements / job.columns), kBlock * workers);
    std::vector<std::vector<float>> read(static_cast<size_t>(workers));
    for (int begin = 0; begin < job.rows; begin += most) {
      const int end = std::min(job.rows, begin + most);
      pack(job, begin, end, out, read);
      packed(end - begin);
    }
  } else {
    std::vector<float> learned(static_cast<size_t>(job.rows) * static_cast<size_t>(job.columns));
    source_.read(job.name, 0, job.rows, job.columns, learned.data());
    expand_relative_bias(learned.data(), job.columns, job.kind == Job::kEncoderBias, job.rows,
                         config_.max_distance, static_cast<float*>(out));
    packed(job.rows);
  }
}

void Loader::fill(Device* device, int threads, const LoadProgress& progress) const {
  uint64_t total = 0, done = 0;
  const auto size = [](const Job& job, int rows) {
    return static_cast<uint64_t>(rows) * static_cast<uint64_t>(std::max(job.columns, 1)) *
           dtype_bytes(job.dtype);
  };
  for (const Job& job : jobs_) total += size(job, job.rows);
  const auto tell = [&](LoadPhase phase) {
    if (progress) progress(phase, done, total);
  };
  const auto count = [&](const Job& job, int rows) {
    done += size(job, rows);
    tell(LoadPhase::kRead);
  };
  const auto run_one = [&](const Job& job, void* out) {
    run(job, out, threads, [&](int rows) { count(job, rows); });
  };
  if (device == nullptr) {
    for (const Job& job : jobs_) run_one(job, job.out);
    return;
  }
  // What is made where it lies needs no copy; the rest goes by way of the host, one region of the
  // arena after the other.
  size_t largest = 0;
  for (const Job& job : jobs_) {
    if (!is_made_there(job)) largest = std::max(largest, job.region_bytes);
  }
  const Buffer staging(largest);
  const std::unique_ptr<DeviceStream> stream = device->open_stream();
  stream->activate();
  for (size_t begin = 0, end = 0; begin < jobs_.size(); begin = end) {
    const Job& first = jobs_[begin];
    if (is_made_there(first)) {
      make_there(first, *stream);
      count(first, first.rows);
      tell(LoadPhase::kUpload);
      end = begin + 1;
      continue;
    }
    std::memset(staging.data(), 0, first.region_bytes);
    for (; end < jobs_.size() && jobs_[end].out == first.out; ++end) {
      run_one(jobs_[end], staging.data());
    }
    stream->copy_to_device(first.out, staging.data(), first.region_bytes);
    stream->synchronize();
    tell(LoadPhase::kUpload);
  }
  stream->synchronize();
}

// Whether the device makes a tensor itself, in its packed form.
bool Loader::is_made_there(const Job& job) const {
  return job.kind == Job::kMatrix && job.dtype != DType::kF32 && backend_.fill_random != nullptr &&
         source_.random(job.name).has_value();
}

void Loader::make_there(const Job& job, DeviceStream& stream) const {
  const RandomFill fill = {*source_.random(job.name),
                           job.row_begin,
                           job.rows,
                           job.total_rows,
                           job.columns,
                           job.dtype,
                           job.which,
                           job.gated,
                           job.out};
  backend_.fill_random(fill, stream.handle());
}

}  // namespace

T5Weights load_weights(const T5Config& config, WeightSource& source, const Backend& backend,
                       const std::shared_ptr<Device>& device, DType dtype, int threads,
                       const LoadProgress& progress) {
  Loader dry_run(config, source, backend, dtype, nullptr);
  dry_run.plan();
  Buffer arena(device ? 0 : dry_run.bytes());
  DeviceBuffer device_arena(device, device ? dry_run.bytes() : 0);
  Loader loader(config, source, backend, dtype, device ? device_arena.data() : arena.data());
  T5Weights weights = loader.plan();
  weights.arena = std::move(arena);
  weights.device_arena = std::move(device_arena);
  loader.fill(device.get(), threads, progress);
  return weights;
}

LoadReport report_rest(CheckpointSource& source) {
  LoadReport report;
  const std::string original = embedding_name(source);
  for (const char* name :
       {"shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight"}) {
    if (name == original || !source.has(name)) continue;
    source.require_equal(name, original);
    report.duplicates.push_back(name);
  }
  // Written by early exports; the reference ignores it too.
  const std::string leftover =
      "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight";
  if (source.has(leftover)) {
    source.ignore(leftover);
    report.leftovers.push_back(leftover);
  }
  report.unused = source.unused();
  return report;
}

}  // namespace speccascade
