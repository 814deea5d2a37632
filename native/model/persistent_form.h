// A decoder's pass in the form that one kernel walks (ops/persistent.h), in the device's memory.
#pragma once

#include "model/pass_memory.h"

namespace speccascade {

class PersistentForm {
 public:
  // Takes memory where the model's executor may need it; `most_ops`: of the program.
  PersistentForm(const Model& model, PassMemory& memory, int most_ops);

  // The program is complete.
  void take(const Program& program);
  // Whether this is what runs it.
  bool on() const { return pass_.count > 0; }
  int phases() const { return phases_; }
  // Copied to the device when first asked for.
  const PersistentPass& pass(DeviceStream& stream);

 private:
  const Model& model_;
  const PassMemory& memory_;
  SharedArray<PhaseOp> ops_;
  PassArray<GridBarrier> barrier_;
  PersistentPass pass_ = {};
  int phases_ = 0;
  bool sent_ = false;
};

}  // namespace speccascade
