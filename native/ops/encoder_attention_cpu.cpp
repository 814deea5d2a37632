#include <algorithm>

#include "base/thread_pool.h"
#include "ops/attention.h"
#include "ops/attention_bias.h"
#include "ops/cpu_kernels.h"
#include "ops/relative_bias.h"

namespace speccascade {

namespace {

// Multiply-adds below which one thread does it all.
constexpr int64_t kWorkPerThread = 1 << 16;

// Items per thread: a few even out cores of unequal speed.
constexpr int kItemsPerThread = 4;

int64_t padded(int count) { return (static_cast<int64_t>(count) + kPanel - 1) / kPanel * kPanel; }

// What a thread needs for one head of a sequence, in floats.
struct Plan {
  int64_t keys, values, scores, bias;

  Plan(int max_keys, int head_dim)
      : keys(padded(max_keys) * head_dim),
        values(padded(head_dim) * max_keys),
        scores(padded(max_keys) * kPackedQueries),
        bias(padded(2 * max_keys)) {}

  int64_t total() const { return keys + values + scores + bias; }
};

// Rows [begin, end) of one sequence, for head `h`.
void attend_sequence(const EncoderAttentionArgs& args, const Plan& plan, int h, int begin, int end,
                     float* scratch) {
  const int64_t inner = static_cast<int64_t>(args.heads) * args.head_dim;
  const int64_t stride = 3 * inner;
  const int sequence = args.row_sequence[begin];
  const int first = args.offsets[sequence];
  const int keys = args.offsets[sequence + 1] - first;
  const float* head = args.qkv + static_cast<int64_t>(h) * args.head_dim;
  float* packed_keys = scratch;
  float* packed_values = packed_keys + plan.keys;
  float* scores = packed_values + plan.values;
  float* bias = scores + plan.scores;
  cpu_kernels().pack_head({head + first * stride + inner, head + first * stride + 2 * inner, stride,
                           keys, args.head_dim, packed_keys, packed_values});
  // Entry keys - 1 + j - position is the bias of key j: each query's are a window.
  fill_bias(args.bias + static_cast<int64_t>(h) * bias_columns(args.max_distance),
            args.max_distance, keys - 1, 2 * keys - 1, bias);
  cpu_kernels().attend_packed({end - begin, head + begin * stride, stride, packed_keys,
                               packed_values, keys, args.head_dim,
                               bias + keys - 1 - (begin - first), scores,
                               args.out + begin * inner + h * args.head_dim, inner});
}

}  // namespace

size_t encoder_attention_scratch_bytes(int max_keys, int head_dim, int threads) {
  return static_cast<size_t>(std::max(threads, 1)) *
         static_cast<size_t>(Plan(max_keys, head_dim).total()) * sizeof(float);
}

void encoder_attention_cpu(const EncoderAttentionArgs& args, int threads) {
  const int rows = *args.num_rows;
  if (rows == 0) return;
  const Plan plan(args.max_rows, args.head_dim);
  const int64_t work = static_cast<int64_t>(rows) * rows * args.heads * args.head_dim;
  const int workers =
      static_cast<int>(std::clamp<int64_t>(work / kWorkPerThread, 1, std::max(threads, 1)));
  // Items are heads, cut into runs of rows where heads alone are too few.
  const int wanted = workers == 1 ? 1 : workers * kItemsPerThread;
  const int parts = std::clamp((wanted + args.heads - 1) / args.heads, 1, rows);
  const int items = args.heads * parts;
  for_items(items, workers, [&](int64_t worker, int64_t item) {
    float* scratch = static_cast<float*>(args.scratch) + worker * plan.total();
    const int64_t part = item % parts;
    const int end = static_cast<int>(rows * (part + 1) / parts);
    for (int row = static_cast<int>(rows * part / parts); row < end;) {
      const int stop = std::min(end, args.offsets[args.row_sequence[row] + 1]);
      attend_sequence(args, plan, static_cast<int>(item / parts), row, stop, scratch);
      row = stop;
    }
  });
}

}  // namespace speccascade
