#include "model/persistent_form.h"

#include <algorithm>

namespace speccascade {

namespace {

// The mean of weights that a phase reads, up to which a kernel stays: about a microsecond of the
// memory of large GPUs, as long as it takes to start a kernel or to meet. A guess that a GPU has
// to settle.
constexpr size_t kMostPhaseBytes = size_t{4} << 20;

bool may_stay(const Model& model) {
  return model.device && model.backend->run_persistent != nullptr && model.dtype != DType::kF32 &&
         model.executor != Executor::kKernels;
}

size_t bytes_of_a_phase(const Model& model, const std::vector<PhaseOp>& ops) {
  size_t bytes = 0;
  for (const PhaseOp& step : ops) {
    if (step.op.kind != OpKind::kGemm) continue;
    const Matrix& weight = step.op.gemm.weight;
    bytes += model.backend->matrix_bytes(weight.n, weight.k, weight.dtype, weight.gated);
  }
  return bytes / static_cast<size_t>(count_phases(ops));
}

}  // namespace

PersistentForm::PersistentForm(const Model& model, PassMemory& memory, int most_ops)
    : model_(model),
      memory_(memory),
      ops_(memory, may_stay(model) ? static_cast<size_t>(most_ops) : 0),
      barrier_(memory, may_stay(model) ? 1 : 0) {}

void PersistentForm::take(const Program& program) {
  if (ops_.size() == 0) return;
  const std::vector<PhaseOp> ops = phases_of(program);
  if (ops.empty()) return;
  if (ops.size() > ops_.size()) {
    fail(ErrorCode::kDevice, "a pass of ", ops.size(), " operations, planned for ", ops_.size());
  }
  const bool small = bytes_of_a_phase(model_, ops) <= kMostPhaseBytes;
  if (model_.executor == Executor::kByShape && !small) return;
  memory_.stream()->activate();
  if (!model_.backend->persistent_fits()) return;
  std::copy(ops.begin(), ops.end(), ops_.host());
  pass_ = {ops_.device(), static_cast<int>(ops.size()), barrier_.data(),
           model_.device->multiprocessors(), types_of(ops)};
  phases_ = count_phases(ops);
}

const PersistentPass& PersistentForm::pass(DeviceStream& stream) {
  if (!sent_) ops_.to_device(stream);
  sent_ = true;
  return pass_;
}

}  // namespace speccascade
