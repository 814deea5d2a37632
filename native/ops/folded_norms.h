// A program whose norms go into the products that read them, as CUDA's executors run it.
#pragma once

#include <vector>

#include "ops/program.h"

namespace speccascade {

// Plain data.
struct FoldedOp {
  Op op;
  RmsNormArgs norm;  // of a product's inputs; x is null: they are as they stand
};

// Norms stay where products in f32 read them, where others than products do, or where what they
// read changes before they are read.
std::vector<FoldedOp> fold_norms(const Program& program);

// What an operation reads and writes, by where it begins. Caches and tables of rows are read where
// they were written by the same operation's row, or before the pass.
struct OpUses {
  std::vector<const void*> reads;
  const void* writes = nullptr;

  bool read(const void* what) const;
};
OpUses uses_of(const FoldedOp& step);

}  // namespace speccascade
