#include "ops/left_rows.h"

#include <algorithm>

#include "ops/folded_norms.h"
#include "ops/fragment_matrix.h"

namespace speccascade {

namespace {

// The rows that an operation may leave.
struct Made {
  const void* out = nullptr;  // null: none
  int width = 0;
  const int32_t* num_rows = nullptr;
  int max_rows = 0;
};

Made made_by(const Op& op) {
  switch (op.kind) {
    case OpKind::kEmbed:
      return {op.embed.out, op.embed.table.k, op.embed.num_rows, op.embed.max_rows};
    case OpKind::kGemm:
      if (op.gemm.weight.dtype == DType::kF32 || op.gemm.out_rows != nullptr) return {};
      return {op.gemm.out, op.gemm.weight.n, op.gemm.num_rows, op.gemm.max_rows};
    case OpKind::kSelfAttention:
      return {op.self_attention.out, op.self_attention.heads * op.self_attention.head_dim,
              op.self_attention.rows.num_rows, op.self_attention.rows.max_rows};
    case OpKind::kCrossAttention:
      return {op.cross_attention.out, op.cross_attention.heads * op.cross_attention.head_dim,
              op.cross_attention.rows.num_rows, op.cross_attention.rows.max_rows};
    case OpKind::kEncoderAttention:
      return {op.encoder_attention.out, op.encoder_attention.heads * op.encoder_attention.head_dim,
              op.encoder_attention.num_rows, op.encoder_attention.max_rows};
    case OpKind::kRmsNorm:
    case OpKind::kResolveCacheRows:
      break;
  }
  return {};
}

// Rows on their way from the operation that leaves them to the products that read them.
struct Passage {
  size_t from;
  std::vector<size_t> to;

  bool normed(const std::vector<FoldedOp>& steps) const { return steps[to[0]].norm.x != nullptr; }
};

bool is_product(const FoldedOp& step) {
  return step.op.kind == OpKind::kGemm && step.op.gemm.weight.dtype != DType::kF32;
}

const void* source_of(const FoldedOp& product) {
  return product.norm.x != nullptr ? product.norm.x : product.op.gemm.x;
}

int64_t stride_of(const GemmArgs& product) {
  return input_bytes(product.weight.k, product.weight.dtype);
}

// What operations leave of a row: whole tiles. A step of int8 has the inputs of two.
int64_t left_bytes(const GemmArgs& product) {
  return static_cast<int64_t>(tiles_of(product.weight.k)) * kTileOutputs *
         static_cast<int64_t>(sizeof(uint16_t));
}

bool takes_left_rows(const FoldedOp& step) {
  if (!is_product(step) || !leaves_rows(step.op.gemm.weight.dtype)) return false;
  return step.op.gemm.weight.parts == 1 && step.op.gemm.in_rows == nullptr &&
         step.norm.in_rows == nullptr && stride_of(step.op.gemm) == left_bytes(step.op.gemm);
}

// Whether what `from` makes is what `to` reads, row by row. Attention leaves no squares for a norm.
bool fits(const FoldedOp& from, const FoldedOp& to) {
  const bool sums_squares = from.op.kind == OpKind::kEmbed || from.op.kind == OpKind::kGemm;
  if (to.norm.x != nullptr && !sums_squares) return false;
  const Made made = made_by(from.op);
  const GemmArgs& product = to.op.gemm;
  return made.out != nullptr && made.width == product.weight.k &&
         made.num_rows == product.num_rows && made.max_rows == product.max_rows;
}

std::vector<Passage> possible_passages(const std::vector<FoldedOp>& steps) {
  std::vector<Passage> passages;
  for (size_t i = 0; i < steps.size(); ++i) {
    if (!takes_left_rows(steps[i])) continue;
    size_t from = i;
    while (from > 0 && !uses_of(steps[from - 1]).wrote(source_of(steps[i]))) --from;
    if (from == 0 || !fits(steps[--from], steps[i])) continue;
    const bool again = !passages.empty() && passages.back().from == from;
    if (!again) {
      passages.push_back({from, {i}});
    } else if (steps[passages.back().to[0]].norm.weight == steps[i].norm.weight) {
      passages.back().to.push_back(i);
    }
  }
  return passages;
}

// Whether the scratch holds something else meanwhile: inputs that a product prepares, or rows of
// the same kind, which have one place; or the operation leaves its rows in another form already.
bool disturbed(const std::vector<FoldedOp>& steps, const std::vector<Passage>& passages,
               size_t own) {
  const Passage& passage = passages[own];
  const size_t last = passage.to.back();
  std::vector<char> reads_left(steps.size(), 0);
  for (const Passage& other : passages) {
    for (const size_t to : other.to) reads_left[to] = 1;
  }
  for (size_t i = passage.from; i <= last; ++i) {
    if (is_product(steps[i]) && reads_left[i] == 0) return true;
  }
  for (size_t p = 0; p < own; ++p) {
    const bool same_place = passages[p].normed(steps) == passage.normed(steps);
    if (same_place && passages[p].to.back() >= passage.from) return true;
    if (passages[p].from == passage.from) return true;
  }
  return false;
}

// Whether others than the products of the passage read what its rows are made of.
bool read_by_others(const std::vector<FoldedOp>& steps, const Passage& passage) {
  const void* out = made_by(steps[passage.from].op).out;
  for (size_t i = passage.from + 1; i < steps.size(); ++i) {
    const OpUses uses = uses_of(steps[i]);
    const bool own = std::find(passage.to.begin(), passage.to.end(), i) != passage.to.end();
    if (!own && uses.read(out)) return true;
    if (uses.wrote(out)) return false;
  }
  return false;
}

}  // namespace

void leave_rows(std::vector<FoldedOp>& steps) {
  std::vector<Passage> passages = possible_passages(steps);
  for (size_t p = 0; p < passages.size();) {
    if (disturbed(steps, passages, p)) {
      passages.erase(passages.begin() + static_cast<ptrdiff_t>(p));
      p = 0;  // its products prepare their inputs, which may disturb others
    } else {
      ++p;
    }
  }
  int64_t normed_bytes = 0, plain_bytes = 0;
  for (const Passage& passage : passages) {
    const GemmArgs& product = steps[passage.to[0]].op.gemm;
    int64_t& bytes = passage.normed(steps) ? normed_bytes : plain_bytes;
    bytes = std::max(bytes, stride_of(product) * product.max_rows);
  }
  for (const Passage& passage : passages) {
    const FoldedOp& product = steps[passage.to[0]];
    char* scratch = static_cast<char*>(product.op.gemm.scratch);
    const bool normed = passage.normed(steps);
    LeftRows left;
    left.rows = scratch + (normed ? 0 : normed_bytes);
    left.stride = stride_of(product.op.gemm);
    if (normed) {
      left.squares = static_cast<float*>(static_cast<void*>(scratch + normed_bytes + plain_bytes));
      left.weight = product.norm.weight;
    }
    left.width = product.op.gemm.weight.k;
    left.alone = read_by_others(steps, passage) ? 0 : 1;
    steps[passage.from].leaves = left;
    for (const size_t to : passage.to) steps[to].reads = left;
  }
}

}  // namespace speccascade
