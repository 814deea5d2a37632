// A decoder's pass for one kernel that stays on the GPU and walks the program itself: the third
// executor of program.h, for small models, where the starts of kernels cost more than their work.
//
// The list is made once: a norm goes into the products that read it, and operations that do not
// wait for each other form a phase. The kernel's blocks meet between phases. Inputs that no
// operation left are rounded by every block that reads them or, where a block reads them for many
// tiles or their type is bf16, prepared in a phase of their own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/grid_barrier.h"
#include "ops/folded_norms.h"

namespace speccascade {

// In the device's memory: of a pass without encoder attention; products in bf16, f16 or int8.
struct PhaseOp : FoldedOp {
  int32_t last;      // of its phase
  int32_t prepares;  // the inputs of the product behind it, rather than making a product
  int32_t prepared;  // a product whose inputs are
};

// The types that weights of a pass may have. Code for bf16 alone is a third of that for all.
enum class PassTypes : uint8_t { kAll, kBf16 };

struct PersistentPass {
  const PhaseOp* ops;
  int count;
  GridBarrier* barrier;  // of this pass alone
  int blocks;            // that walk it: all of them run at the same time
  PassTypes types = PassTypes::kAll;
};

// The program as phases; empty where the kernel has no code for it: products in f32 or planned for
// more than kMostPersistentRows rows, heads of more than 64 entries, norms that stay.
std::vector<PhaseOp> phases_of(const Program& program);

constexpr int kMostPersistentRows = 32;

int count_phases(const std::vector<PhaseOp>& ops);
PassTypes types_of(const std::vector<PhaseOp>& ops);

}  // namespace speccascade
