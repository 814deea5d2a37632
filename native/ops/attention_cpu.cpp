#include "ops/attention.h"

#include <algorithm>
#include <vector>

#include "base/thread_pool.h"
#include "ops/cpu_kernels.h"
#include "ops/relative_bias.h"

namespace speccascade {

namespace {

// Scratch of one thread; grows to the longest row it has seen and stays.
struct Scratch {
  std::vector<float> scores;
  std::vector<float> bias;
  std::vector<int32_t> key_rows;

  void reserve(int keys) {
    const size_t size = static_cast<size_t>(keys) + kPanel;
    if (scores.size() >= size) return;
    scores.resize(size);
    bias.resize(size);
    key_rows.resize(size);
  }
};

Scratch& thread_scratch(int keys) {
  static thread_local Scratch scratch;
  scratch.reserve(keys);
  return scratch;
}

// bias[j] = table[clamp(j - position) + max_distance], j < keys
void fill_bias(const float* table, int max_distance, int position, int keys, float* bias) {
  const int near_begin = std::clamp(position - max_distance, 0, keys);
  const int near_end = std::clamp(position + max_distance + 1, 0, keys);
  std::fill(bias, bias + near_begin, table[0]);
  for (int j = near_begin; j < near_end; ++j) bias[j] = table[j - position + max_distance];
  std::fill(bias + near_end, bias + keys, table[2 * max_distance]);
}

// The cache rows of a row's keys by position: committed ones, then ancestors.
void list_keys(const DecoderRows& rows, const CacheTable& table, int row, int32_t* key_rows) {
  const int slot = rows.slot[row];
  const int length = table.length[slot];
  const int32_t base = slot * table.rows_per_slot;
  const int32_t* order = table.order + base;
  const int32_t* parents = rows.node_parent + static_cast<int64_t>(slot) * rows.max_nodes;
  for (int j = 0; j < length; ++j) key_rows[j] = base + order[j];
  int position = rows.position[row];
  for (int node = rows.node[row]; node >= 0; node = parents[node], --position) {
    key_rows[position] = base + order[length + node];
  }
}

// Rows times heads, split into tasks of whole rows where there are enough.
template <typename Body>
void for_heads(int rows, int heads, int threads, const Body& body) {
  const int64_t items = static_cast<int64_t>(rows) * heads;
  const int64_t per_task = std::max<int64_t>(1, items / (static_cast<int64_t>(threads) * 4));
  parallel_for((items + per_task - 1) / per_task, threads, [&](int64_t task) {
    const int64_t end = std::min(items, (task + 1) * per_task);
    for (int64_t i = task * per_task; i < end;) {
      const int row = static_cast<int>(i / heads);
      const int head_begin = static_cast<int>(i % heads);
      const int head_end = static_cast<int>(std::min<int64_t>(heads, head_begin + end - i));
      body(row, head_begin, head_end);
      i += head_end - head_begin;
    }
  });
}

// Key-value products below which one thread does it all.
constexpr int64_t kWorkPerThread = 1 << 15;

int useful_threads(int64_t work, int threads) {
  return static_cast<int>(std::clamp<int64_t>(work / kWorkPerThread, 1, std::max(threads, 1)));
}

}  // namespace

void encoder_attention_cpu(const EncoderAttentionArgs& args, int threads) {
  const int inner = args.heads * args.head_dim;
  const int rows = *args.num_rows;
  const CpuKernels& kernels = cpu_kernels();
  const int64_t work = static_cast<int64_t>(rows) * rows * inner;
  for_heads(rows, args.heads, useful_threads(work, threads), [&](int row, int begin, int end) {
    const int sequence = args.row_sequence[row];
    const int first = args.offsets[sequence];
    const int keys = args.offsets[sequence + 1] - first;
    Scratch& scratch = thread_scratch(keys);
    for (int h = begin; h < end; ++h) {
      fill_bias(args.bias + static_cast<int64_t>(h) * bias_columns(args.max_distance),
                args.max_distance, row - first, keys, scratch.bias.data());
      const float* head = args.qkv + static_cast<int64_t>(h) * args.head_dim;
      const int64_t stride = 3 * static_cast<int64_t>(inner);
      kernels.attend_head({head + row * stride, head + first * stride + inner,
                           head + first * stride + 2 * static_cast<int64_t>(inner), nullptr, stride,
                           keys, args.head_dim, scratch.bias.data(), scratch.scores.data(),
                           args.out + static_cast<int64_t>(row) * inner + h * args.head_dim});
    }
  });
}

void self_attention_cpu(const SelfAttentionArgs& args, int threads) {
  const int inner = args.heads * args.head_dim;
  const int rows = *args.rows.num_rows;
  const CpuKernels& kernels = cpu_kernels();
  int64_t work = 0;
  for (int r = 0; r < rows; ++r) work += static_cast<int64_t>(args.rows.position[r] + 1) * inner;
  for_heads(rows, args.heads, useful_threads(work, threads), [&](int row, int begin, int end) {
    const int position = args.rows.position[row];
    Scratch& scratch = thread_scratch(position + 1);
    list_keys(args.rows, args.table, row, scratch.key_rows.data());
    for (int h = begin; h < end; ++h) {
      fill_bias(args.bias + static_cast<int64_t>(h) * bias_columns(args.max_distance),
                args.max_distance, position, position + 1, scratch.bias.data());
      const int64_t at = static_cast<int64_t>(h) * args.head_dim;
      const int64_t own = static_cast<int64_t>(row) * inner + at;
      kernels.attend_head({args.query + own, args.cache + at, args.cache + inner + at,
                           scratch.key_rows.data(), 2 * static_cast<int64_t>(inner), position + 1,
                           args.head_dim, scratch.bias.data(), scratch.scores.data(),
                           args.out + own});
    }
  });
}

void cross_attention_cpu(const CrossAttentionArgs& args, int threads) {
  const int inner = args.heads * args.head_dim;
  const int rows = *args.rows.num_rows;
  const CpuKernels& kernels = cpu_kernels();
  int64_t work = 0;
  for (int r = 0; r < rows; ++r) {
    work += static_cast<int64_t>(args.source_length[args.slot_source[args.rows.slot[r]]]) * inner;
  }
  for_heads(rows, args.heads, useful_threads(work, threads), [&](int row, int begin, int end) {
    const int64_t source = args.slot_source[args.rows.slot[row]];
    const int keys = args.source_length[source];
    Scratch& scratch = thread_scratch(keys);
    const float* cache = args.cache + source * args.max_source * 2 * inner;
    for (int h = begin; h < end; ++h) {
      const int64_t at = static_cast<int64_t>(h) * args.head_dim;
      const int64_t own = static_cast<int64_t>(row) * inner + at;
      kernels.attend_head({args.query + own, cache + at, cache + inner + at, nullptr,
                           2 * static_cast<int64_t>(inner), keys, args.head_dim, nullptr,
                           scratch.scores.data(), args.out + own});
    }
  });
}

}  // namespace speccascade
