#include "ops/folded_norms.h"

#include <algorithm>

namespace speccascade {

namespace {

bool can_normalise(const Op& op, const RmsNormArgs& norm) {
  return op.kind == OpKind::kGemm && op.gemm.weight.dtype != DType::kF32 &&
         op.gemm.in_rows == nullptr && op.gemm.num_rows == norm.num_rows;
}

// Whether all that read the norm at `index` are products that can do it themselves.
bool folds(const std::vector<Op>& ops, size_t index) {
  const RmsNormArgs& norm = ops[index].rms_norm;
  if (!norm.for_products) return false;
  bool changed = false;  // what it reads
  for (size_t i = index + 1; i < ops.size(); ++i) {
    if (ops[i].kind == OpKind::kRmsNorm && ops[i].rms_norm.out == norm.out) break;
    const OpUses uses = uses_of({ops[i], {}, {}, {}});
    if (uses.read(norm.out) && (changed || !can_normalise(ops[i], norm))) return false;
    changed = changed || uses.wrote(norm.x);
  }
  return true;
}

bool holds(const std::vector<const void*>& places, const void* what) {
  return what != nullptr && std::find(places.begin(), places.end(), what) != places.end();
}

bool share(const std::vector<const void*>& places, const std::vector<const void*>& others) {
  return std::any_of(places.begin(), places.end(),
                     [&](const void* what) { return holds(others, what); });
}

// But for rows that are left.
OpUses plain_uses(const FoldedOp& step) {
  const Op& op = step.op;
  switch (op.kind) {
    case OpKind::kEmbed:
      return {{op.embed.tokens}, {op.embed.out}};
    case OpKind::kRmsNorm:
      return {{op.rms_norm.x}, {op.rms_norm.out}};
    case OpKind::kGemm: {
      const void* x = step.norm.x != nullptr ? step.norm.x : op.gemm.x;
      OpUses uses = {{step.reads.rows != nullptr ? step.reads.rows : x, op.gemm.out_rows},
                     {op.gemm.out}};
      if (op.gemm.epilogue == Epilogue::kAdd) uses.reads.push_back(op.gemm.out);
      return uses;
    }
    case OpKind::kEncoderAttention:
      return {{op.encoder_attention.qkv}, {op.encoder_attention.out}};
    case OpKind::kResolveCacheRows:
      return {{}, {op.resolve_cache_rows.rows.cache_row}};
    case OpKind::kSelfAttention:
      return {{op.self_attention.query, op.self_attention.cache}, {op.self_attention.out}};
    case OpKind::kCrossAttention:
      return {{op.cross_attention.query, op.cross_attention.cache}, {op.cross_attention.out}};
  }
  return {};
}

}  // namespace

bool OpUses::read(const void* what) const { return holds(reads, what); }
bool OpUses::wrote(const void* what) const { return holds(writes, what); }

bool OpUses::waits_for(const OpUses& earlier) const {
  return share(reads, earlier.writes) || share(writes, earlier.reads) ||
         share(writes, earlier.writes);
}

OpUses uses_of(const FoldedOp& step) {
  OpUses uses = plain_uses(step);
  if (step.leaves.alone != 0) uses.writes.clear();
  if (step.leaves.rows != nullptr) uses.writes.push_back(step.leaves.rows);
  return uses;
}

std::vector<FoldedOp> fold_norms(const Program& program) {
  std::vector<FoldedOp> steps;
  RmsNormArgs norm = {};  // that the products from here on do themselves
  for (size_t i = 0; i < program.ops().size(); ++i) {
    FoldedOp step = {program.ops()[i], {}, {}, {}};
    if (step.op.kind == OpKind::kRmsNorm) {
      const bool goes = folds(program.ops(), i);
      norm = goes ? step.op.rms_norm : RmsNormArgs{};
      if (goes) continue;
    }
    const bool product = step.op.kind == OpKind::kGemm && norm.out != nullptr;
    if (product && step.op.gemm.x == norm.out) step.norm = norm;
    steps.push_back(step);
  }
  leave_rows(steps);
  return steps;
}

}  // namespace speccascade
