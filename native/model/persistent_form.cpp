#include "model/persistent_form.h"

#include <algorithm>

namespace speccascade {

namespace {

bool may_stay(const Model& model) {
  return model.device && model.backend->run_persistent != nullptr && model.dtype != DType::kF32 &&
         model.executor == Executor::kPersistent;
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
