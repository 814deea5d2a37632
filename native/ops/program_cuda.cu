#include "base/cuda_device.h"
#include "ops/fragment_matrix.h"
#include "ops/ops_cuda.h"

namespace speccascade {

namespace {

void queue(const Program& program, int, DeviceStream* stream) {
  stream->activate();
  run_cuda(program, stream->handle());
}

void queue_persistent(const PersistentPass& pass, DeviceStream* stream) {
  stream->activate();
  run_persistent_cuda(pass, stream->handle());
}

}  // namespace

void run_cuda(const Program& program, void* stream) {
  for (const Op& op : program.ops()) {
    switch (op.kind) {
      case OpKind::kEmbed:
        embed_cuda(op.embed, stream);
        break;
      case OpKind::kRmsNorm:
        rms_norm_cuda(op.rms_norm, stream);
        break;
      case OpKind::kGemm:
        gemm_cuda(op.gemm, stream);
        break;
      case OpKind::kEncoderAttention:
        encoder_attention_cuda(op.encoder_attention, stream);
        break;
      case OpKind::kResolveCacheRows:
        resolve_cache_rows_cuda(op.resolve_cache_rows, stream);
        break;
      case OpKind::kSelfAttention:
        self_attention_cuda(op.self_attention, stream);
        break;
      case OpKind::kCrossAttention:
        cross_attention_cuda(op.cross_attention, stream);
        break;
    }
  }
}

const Backend& cuda_backend() {
  static const Backend backend = {device_matrix_bytes,     pack_device_rows, fill_random_cuda,
                                  gemm_scratch_bytes_cuda, open_cuda_device, queue,
                                  queue_persistent};
  return backend;
}

}  // namespace speccascade
