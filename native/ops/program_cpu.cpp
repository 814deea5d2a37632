#include <type_traits>

#include "base/error.h"
#include "ops/backend.h"
#include "ops/program.h"

namespace speccascade {

static_assert(std::is_trivially_copyable_v<Op>, "descriptors are copied to devices as bytes");

namespace {

void pack_cpu_rows(const float* source, int row_begin, int rows, int, int k, DType dtype, int which,
                   bool gated, void* packed) {
  pack_rows(source, row_begin, rows, k, dtype, which, gated, packed);
}

Op make(OpKind kind) {
  Op op = {};
  op.kind = kind;
  return op;
}

}  // namespace

void Program::add(const EmbedArgs& args) {
  ops_.push_back(make(OpKind::kEmbed));
  ops_.back().embed = args;
}
void Program::add(const RmsNormArgs& args) {
  ops_.push_back(make(OpKind::kRmsNorm));
  ops_.back().rms_norm = args;
}
void Program::add(const GemmArgs& args) {
  const bool plain = args.epilogue == Epilogue::kStore && args.peaks == nullptr;
  if (args.out_dtype != DType::kF32 && !(plain && args.out_dtype == DType::kBF16)) {
    fail(ErrorCode::kConfig, "a product's outputs in ", dtype_name(args.out_dtype),
         ": expected f32, or bf16 of one that is stored as it is");
  }
  ops_.push_back(make(OpKind::kGemm));
  ops_.back().gemm = args;
}
void Program::add(const EncoderAttentionArgs& args) {
  ops_.push_back(make(OpKind::kEncoderAttention));
  ops_.back().encoder_attention = args;
}
void Program::add(const ResolveCacheRowsArgs& args) {
  ops_.push_back(make(OpKind::kResolveCacheRows));
  ops_.back().resolve_cache_rows = args;
}
void Program::add(const SelfAttentionArgs& args) {
  ops_.push_back(make(OpKind::kSelfAttention));
  ops_.back().self_attention = args;
}
void Program::add(const CrossAttentionArgs& args) {
  ops_.push_back(make(OpKind::kCrossAttention));
  ops_.back().cross_attention = args;
}

namespace {

// Op by op, on at most `threads` pool threads.
void run_cpu(const Program& program, int threads, DeviceStream*) {
  for (const Op& op : program.ops()) {
    switch (op.kind) {
      case OpKind::kEmbed:
        embed_cpu(op.embed);
        break;
      case OpKind::kRmsNorm:
        rms_norm_cpu(op.rms_norm, threads);
        break;
      case OpKind::kGemm:
        gemm_cpu(op.gemm, threads);
        break;
      case OpKind::kEncoderAttention:
        encoder_attention_cpu(op.encoder_attention, threads);
        break;
      case OpKind::kResolveCacheRows:
        resolve_cache_rows_cpu(op.resolve_cache_rows);
        break;
      case OpKind::kSelfAttention:
        self_attention_cpu(op.self_attention, threads);
        break;
      case OpKind::kCrossAttention:
        cross_attention_cpu(op.cross_attention, threads);
        break;
    }
  }
}

}  // namespace

const Backend& cpu_backend() {
  static const Backend backend = {packed_bytes, pack_cpu_rows, nullptr, gemm_scratch_bytes,
                                  nullptr,      run_cpu,       nullptr, nullptr};
  return backend;
}

}  // namespace speccascade
