// A program as CUDA's executors run it: norms go into the products that read them, and operations
// leave rows as the products behind them read them.
#pragma once

#include <vector>

#include "ops/left_rows.h"
#include "ops/program.h"

namespace speccascade {

// Plain data.
struct FoldedOp {
  Op op;
  RmsNormArgs norm;  // of a product's inputs; x is null: they are as they stand
  LeftRows reads;    // a product's inputs where an operation before left them
  LeftRows leaves;   // for products behind
};

// Norms stay where products in f32 read them, where others than products do, or where what they
// read changes before they are read.
std::vector<FoldedOp> fold_norms(const Program& program);

// Fills `reads` and `leaves` where products that round inputs to bf16 read, in one part and row by
// row, what one operation makes. Such rows lie in the scratch of the program's products, which has
// room for two parts of the deepest.
void leave_rows(std::vector<FoldedOp>& steps);

// What an operation reads and writes, by where it begins. Caches and tables of rows are read where
// they were written by the same operation's row, or before the pass.
struct OpUses {
  std::vector<const void*> reads, writes;

  bool read(const void* what) const;
  bool wrote(const void* what) const;
  // Whether this must not run beside an operation before it.
  bool waits_for(const OpUses& earlier) const;
};
OpUses uses_of(const FoldedOp& step);

}  // namespace speccascade
