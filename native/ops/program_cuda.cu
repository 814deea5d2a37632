#include "base/cuda_device.h"
#include "ops/folded_norms.h"
#include "ops/fragment_matrix.h"
#include "ops/ops_cuda.h"

namespace speccascade {

namespace {

void queue(const Program& program, int, DeviceStream* stream) {
  stream->activate();
  run_cuda(program, stream->handle());
}

// Whether a product may take the inputs that the product before it prepared.
bool same_inputs(const FoldedOp& before, const FoldedOp& step) {
  if (before.op.kind != OpKind::kGemm || step.op.kind != OpKind::kGemm) return false;
  const GemmArgs &a = before.op.gemm, &b = step.op.gemm;
  const bool layout = a.weight.k == b.weight.k && a.weight.dtype == b.weight.dtype &&
                      a.weight.parts == b.weight.parts && a.max_rows == b.max_rows &&
                      a.num_rows == b.num_rows && a.scratch == b.scratch;
  const bool rows = a.x == b.x && a.ldx == b.ldx && a.in_rows == b.in_rows &&
                    before.norm.x == step.norm.x && before.norm.weight == step.norm.weight;
  const bool prepared = before.reads.rows == nullptr;
  return prepared && layout && rows && a.out != b.x &&
         (step.norm.x == nullptr || a.out != step.norm.x);
}

void queue_persistent(const PersistentPass& pass, DeviceStream* stream) {
  stream->activate();
  run_persistent_cuda(pass, stream->handle());
}

}  // namespace

void run_cuda(const Program& program, void* stream) { run_cuda(fold_norms(program), stream); }

void run_cuda(const std::vector<FoldedOp>& steps, void* stream) {
  for (size_t i = 0; i < steps.size(); ++i) {
    const FoldedOp& step = steps[i];
    const Op& op = step.op;
    switch (op.kind) {
      case OpKind::kEmbed:
        embed_cuda(op.embed, step.leaves, stream);
        break;
      case OpKind::kRmsNorm:
        rms_norm_cuda(op.rms_norm, stream);
        break;
      case OpKind::kGemm:
        if (i + 1 < steps.size() && are_one_launch(step, steps[i + 1])) {
          gemm_pair_cuda(step, steps[++i], stream);
        } else {
          gemm_cuda(step, i > 0 && same_inputs(steps[i - 1], step), stream);
        }
        break;
      case OpKind::kEncoderAttention:
        encoder_attention_cuda(op.encoder_attention, step.leaves, stream);
        break;
      case OpKind::kResolveCacheRows:
        resolve_cache_rows_cuda(op.resolve_cache_rows, stream);
        break;
      case OpKind::kSelfAttention:
        self_attention_cuda(op.self_attention, step.leaves, stream);
        break;
      case OpKind::kCrossAttention:
        cross_attention_cuda(op.cross_attention, step.leaves, stream);
        break;
    }
  }
}

const Backend& cuda_backend() {
  static const Backend backend = {device_matrix_bytes,     pack_device_rows,    fill_random_cuda,
                                  gemm_scratch_bytes_cuda, open_cuda_device,    queue,
                                  queue_persistent,        persistent_fits_cuda};
  return backend;
}

}  // namespace speccascade
