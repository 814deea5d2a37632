// A decoder's pass for one kernel that stays on the GPU and walks the program itself: the third
// executor of program.h, for small models, where the starts of kernels cost more than their work.
//
// The list is made once: a norm goes into the products that read it, and operations that do not
// wait for each other form a phase. The kernel's blocks meet between phases.
#pragma once

#include <cstddef>
#include <vector>

#include "base/grid_barrier.h"
#include "ops/folded_norms.h"

namespace speccascade {

// In the device's memory: of a pass without encoder attention; products in bf16, f16 or int8.
struct PhaseOp : FoldedOp {
  int32_t last;  // of its phase
};

struct PersistentPass {
  const PhaseOp* ops;
  int count;
  GridBarrier* barrier;  // of this pass alone
  int blocks;            // that walk it: all of them run at the same time
};

// The program as phases; empty where the kernel has no code for it: products in f32 or planned for
// more than kMostPersistentRows rows, heads of more than 64 entries, norms that stay.
std::vector<PhaseOp> phases_of(const Program& program);

constexpr int kMostPersistentRows = 32;

int count_phases(const std::vector<PhaseOp>& ops);

}  // namespace speccascade
