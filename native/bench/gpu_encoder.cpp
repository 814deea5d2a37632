// The products of an encoder layer on a GPU, in bfloat16, beside cuBLASLt's on the same numbers:
// ours of inputs that operations before left in bfloat16, with gates and the residual, to float32;
// cuBLASLt's alone, from bfloat16 to bfloat16, by the fastest of the algorithms that its heuristic
// puts first. In turns, by the device's clock.
//
//   gpu_encoder [SHAPE...] [--rows N] [--repeats N] [--cublaslt PATH] [--block N] [--portable 1]
//
// --block: rows of a block on warpgroups, 32, 64, 128 or 256, where it is not to follow from the
// size; --portable 1: in the tiles of other GPUs.
// Prints a line of JSON per shape, with medians in milliseconds; "attentionMs": of the attention
// between the products, by itself. Exit code 77: there is no GPU,
// with the reason on standard error. Without cuBLASLt its columns are null and "note" says why.
#include <cmath>
#include <cstdio>
#include <functional>
#include <optional>
#include <vector>

#include "base/dtype.h"
#include "base/random_weight.h"
#include "bench/cublaslt.h"
#include "bench/options.h"
#include "bench/shapes.h"
#include "bench/uploads.h"
#include "ops/fragment_matrix.h"
#include "ops/ops_cuda.h"
#include "ops/relative_bias.h"

namespace {

using namespace speccascade;
using namespace speccascade::bench;

struct Options {
  std::string cublaslt;
  int rows = 2048, repeats = 31;
  int block = 0, portable = 0;
};

struct Product {
  const char* name;
  int n, k;
  bool gated;
  Epilogue epilogue;
};

std::vector<Product> products_of(const Shape& shape) {
  const int inner = shape.heads * shape.d_kv;
  return {{"qkv", 3 * inner, shape.d_model, false, Epilogue::kStore},
          {"output", shape.d_model, inner, false, Epilogue::kAdd},
          {"wi", shape.d_ff, shape.d_model, true, Epilogue::kGate},
          {"wo", shape.d_model, shape.d_ff, false, Epilogue::kAdd}};
}

std::vector<float> random_values(size_t count, uint64_t stream, float deviation) {
  const RandomTensor tensor = {1, stream, deviation};
  std::vector<float> values(count);
  PhiloxBlock block = {};
  for (size_t i = 0; i < count; ++i) {
    if (i % 4 == 0) block = random_quad(tensor, i / 4);
    const float value = random_of_quad(tensor, block, static_cast<int>(i % 4));
    values[i] = bf16_to_float(float_to_bf16(value));
  }
  return values;
}

std::vector<uint16_t> to_bf16(const std::vector<float>& values) {
  std::vector<uint16_t> bits(values.size());
  for (size_t i = 0; i < values.size(); ++i) bits[i] = float_to_bf16(values[i]);
  return bits;
}

// One product in both forms.
class Pair {
 public:
  Pair(const std::shared_ptr<Device>& device, const Product& product, int rows, CublasLt* library)
      : product_(product), rows_(rows), memory_(device), library_(library) {
    const size_t n = static_cast<size_t>(product.n), k = static_cast<size_t>(product.k);
    const int matrices = product.gated ? 2 : 1;
    const auto x = random_values(static_cast<size_t>(rows) * k, 0, 1.0f);
    const float deviation = 1.0f / std::sqrt(static_cast<float>(product.k));
    std::vector<char> packed(
        device_matrix_bytes(product.n, product.k, DType::kBF16, product.gated));
    std::vector<uint16_t> plain;
    for (int m = 0; m < matrices; ++m) {
      const auto w = random_values(n * k, 1 + static_cast<uint64_t>(m), deviation);
      pack_device_rows(w.data(), 0, product.n, product.n, product.k, DType::kBF16, m, product.gated,
                       packed.data());
      const auto bits = to_bf16(w);
      plain.insert(plain.end(), bits.begin(), bits.end());
    }
    args_.x = memory_.place(x);
    args_.ldx = product.k;
    args_.weight = {memory_.place(packed), DType::kBF16, product.n, product.k, product.gated, 1};
    args_.out = memory_.reserve<float>(static_cast<size_t>(rows) * n);
    args_.ldo = product.n;
    args_.epilogue = product.epilogue;
    args_.activation = Activation::kGeluTanh;
    args_.num_rows = memory_.place(std::vector<int32_t>{rows});
    args_.max_rows = rows;
    args_.one_chain = true;
    args_.scratch =
        memory_.reserve<char>(gemm_scratch_bytes_cuda(rows, product.k, 1, DType::kBF16));
    gemm_cuda(args_, memory_.stream().handle());
    if (library_ == nullptr) return;
    theirs_ = {
        rows,
        matrices * product.n,
        product.k,
        memory_.place(to_bf16(x)),
        memory_.place(plain),
        memory_.reserve<uint16_t>(static_cast<size_t>(rows) * n * static_cast<size_t>(matrices)),
        memory_.reserve<char>(CublasLt::kWorkspaceBytes)};
    choose();
  }

  double flops() const {
    return 2.0 * rows_ * product_.n * product_.k * (product_.gated ? 2.0 : 1.0);
  }

  // Their inputs were prepared by a first one.
  void run_ours() const {
    FoldedOp step = {};
    step.op.kind = OpKind::kGemm;
    step.op.gemm = args_;
    gemm_cuda(step, true, memory_.stream().handle());
  }
  void run_theirs() const { library_->multiply(theirs_, *algorithm_, memory_.stream().handle()); }

  // Of the second of two, queued while the first runs; residuals added twice take as long.
  double milliseconds(const std::function<void()>& work) const {
    DeviceStream& stream = memory_.stream();
    work();
    stream.mark(0);
    work();
    stream.mark(1);
    stream.synchronize();
    return stream.milliseconds(0, 1);
  }

  // The largest difference between the two, over the largest value. Products alone are compared.
  double difference() {
    const size_t count = static_cast<size_t>(rows_) * static_cast<size_t>(product_.n);
    if (product_.gated) return 0;
    std::vector<float> ours(count);
    std::vector<uint16_t> theirs(count);
    DeviceStream& stream = memory_.stream();
    GemmArgs stored = args_;
    stored.epilogue = Epilogue::kStore;
    gemm_cuda(stored, stream.handle());
    run_theirs();
    stream.copy_to_host(ours.data(), args_.out, count * sizeof(float));
    stream.copy_to_host(theirs.data(), theirs_.y, count * sizeof(uint16_t));
    stream.synchronize();
    double largest = 0, apart = 0;
    for (size_t i = 0; i < count; ++i) {
      const double other = bf16_to_float(theirs[i]);
      largest = std::max(largest, std::abs(other));
      apart = std::max(apart, std::abs(ours[i] - other));
    }
    return apart / largest;
  }

 private:
  // The fastest algorithm, by the median of five runs each.
  void choose() {
    double least = INFINITY;
    for (const CublasLt::Algorithm& one : library_->algorithms(theirs_)) {
      std::vector<double> times;
      for (int i = 0; i < 6; ++i) {
        const double ms =
            milliseconds([&] { library_->multiply(theirs_, one, memory_.stream().handle()); });
        if (i > 0) times.push_back(ms);
      }
      const double median = times_of(times).median;
      if (median < least) algorithm_ = one;
      least = std::min(least, median);
    }
  }

  Product product_;
  int rows_;
  Uploads memory_;
  CublasLt* library_;
  GemmArgs args_ = {};
  CublasLt::Product theirs_ = {};
  std::optional<CublasLt::Algorithm> algorithm_;
};

// The attention between the products, of sequences of at most kSequenceRows rows, to rows in
// bfloat16 that the next product reads.
class Attention {
 public:
  Attention(const std::shared_ptr<Device>& device, const Shape& shape, int rows) : memory_(device) {
    constexpr int kSequenceRows = 512, kMaxDistance = 128;
    const int inner = shape.heads * shape.d_kv,
              sequences = (rows + kSequenceRows - 1) / kSequenceRows;
    std::vector<int32_t> row_sequence, offsets;
    for (int s = 0; s <= sequences; ++s) offsets.push_back(std::min(s * kSequenceRows, rows));
    for (int r = 0; r < rows; ++r) row_sequence.push_back(r / kSequenceRows);
    const size_t area = static_cast<size_t>(rows) * static_cast<size_t>(inner);
    const size_t biases = static_cast<size_t>(shape.heads) * bias_columns(kMaxDistance);
    args_.qkv = memory_.place(random_values(3 * area, 3, 0.3f));
    args_.bias = memory_.place(random_values(biases, 4, 1.0f));
    args_.out = memory_.reserve<float>(area);
    args_.max_distance = kMaxDistance;
    args_.heads = shape.heads;
    args_.head_dim = shape.d_kv;
    args_.num_rows = memory_.place(std::vector<int32_t>{rows});
    args_.row_sequence = memory_.place(row_sequence);
    args_.offsets = memory_.place(offsets);
    args_.max_rows = rows;
    args_.max_sequences = sequences;
    args_.parts = 1;
    leaves_.stride = static_cast<int64_t>(steps_of(inner, DType::kBF16)) * kStepBytes;
    leaves_.rows = memory_.reserve<char>(static_cast<size_t>(rows * leaves_.stride));
    leaves_.width = inner;
    leaves_.alone = 1;
  }

  // Of the second of two.
  double milliseconds() const {
    DeviceStream& stream = memory_.stream();
    encoder_attention_cuda(args_, leaves_, stream.handle());
    stream.mark(0);
    encoder_attention_cuda(args_, leaves_, stream.handle());
    stream.mark(1);
    stream.synchronize();
    return stream.milliseconds(0, 1);
  }

 private:
  Uploads memory_;
  EncoderAttentionArgs args_ = {};
  LeftRows leaves_;
};

double attention_milliseconds(const std::shared_ptr<Device>& device, const Shape& shape,
                              const Options& options) {
  const Attention attention(device, shape, options.rows);
  std::vector<double> times;
  for (int i = 0; i < options.repeats + 2; ++i) {
    const double ms = attention.milliseconds();
    if (i >= 2) times.push_back(ms);
  }
  return times_of(times).median;
}

void measure(const Shape& shape, const Options& options, CublasLt* library,
             const std::string& note) {
  const auto device = open_cuda_device(0);
  double flops = 0, ours_ms = 0, least_ms = 0, theirs_ms = 0;
  std::string list;
  for (const Product& product : products_of(shape)) {
    Pair pair(device, product, options.rows, library);
    std::vector<double> ours, theirs;
    for (int i = 0; i < options.repeats + 2; ++i) {
      const double own = pair.milliseconds([&] { pair.run_ours(); });
      const double other = library == nullptr ? 0.0 : pair.milliseconds([&] { pair.run_theirs(); });
      if (i < 2) continue;  // loads code, warms caches
      ours.push_back(own);
      theirs.push_back(other);
    }
    const double apart = library == nullptr ? 0.0 : pair.difference();
    if (apart > 0.01) {
      fail(ErrorCode::kDevice, shape.name, " ", product.name, ": cuBLASLt's product differs by ",
           apart, " of the largest value");
    }
    const double own = times_of(ours).median, other = times_of(theirs).median;
    flops += pair.flops();
    ours_ms += own;
    least_ms += times_of(ours).least;
    theirs_ms += other;
    char text[160];
    std::snprintf(text, sizeof(text),
                  "%s{\"name\": \"%s\", \"ms\": %.6f, \"cublasLtMs\": ", list.empty() ? "" : ", ",
                  product.name, own);
    list += text + (library == nullptr ? std::string("null") : std::to_string(other)) + "}";
  }
  std::printf(
      "{\"shape\": \"%s\", \"rows\": %d, \"flops\": %.0f, \"ms\": %.6f, \"leastMs\": %.6f, "
      "\"cublasLtMs\": %s, \"attentionMs\": %.6f, "
      "\"note\": \"%s\", \"products\": [%s]}\n",
      shape.name, options.rows, flops, ours_ms, least_ms,
      library == nullptr ? "null" : std::to_string(theirs_ms).c_str(),
      attention_milliseconds(device, shape, options), note.c_str(), list.c_str());
  std::fflush(stdout);
}

int run(const std::vector<std::string>& words) {
  Options options;
  std::vector<std::string> shapes = read_options(words, {{"--rows", &options.rows, 1 << 16},
                                                         {"--repeats", &options.repeats, 4096},
                                                         {"--block", &options.block, 256},
                                                         {"--portable", &options.portable, 1},
                                                         {"--cublaslt", &options.cublaslt}});
  if (shapes.empty()) shapes = {"large", "xl", "xxl"};
  choose_chains(options.portable != 0 ? ChainForm::kPortable : ChainForm::kByDevice, options.block);
  std::optional<CublasLt> library;
  std::string note;
  try {
    library.emplace(options.cublaslt);
    note = "cuBLASLt " + std::to_string(library->version());
  } catch (const Error& error) {
    note = error.what();
  }
  for (const std::string& shape : shapes) {
    measure(shape_named(shape), options, library ? &*library : nullptr, note);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return run_on_gpu("gpu_encoder", argc, argv, run); }
