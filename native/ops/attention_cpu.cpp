#include "ops/attention.h"

#include <algorithm>
#include <utility>

#include "base/thread_pool.h"
#include "ops/attention_bias.h"
#include "ops/cpu_kernels.h"
#include "ops/relative_bias.h"

namespace speccascade {

namespace {

// Tasks per thread: a few even out cores of unequal speed.
constexpr int kTasksPerThread = 4;

// What a task needs for the keys of one head of a few rows.
struct Scratch {
  float* scores[kMaxQueries];
  float* bias[kMaxQueries];
  int32_t* key_rows;
};

constexpr size_t kArrays = 2 * kMaxQueries + 1;

// Kernels write scores in whole vectors.
size_t padded_keys(int max_keys) { return (static_cast<size_t>(max_keys) + 15) / 16 * 16; }

Scratch task_scratch(void* memory, int max_keys, int64_t task) {
  const size_t keys = padded_keys(max_keys);
  float* next = static_cast<float*>(memory) + static_cast<size_t>(task) * kArrays * keys;
  Scratch scratch;
  for (float*& scores : scratch.scores) scores = std::exchange(next, next + keys);
  for (float*& bias : scratch.bias) bias = std::exchange(next, next + keys);
  scratch.key_rows = reinterpret_cast<int32_t*>(next);
  return scratch;
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

// Calls body(scratch, outer, first, last) for runs of inner indices, `outer` times
// `inner` items in all, in tasks of about equal size.
template <typename Body>
void for_items(int outer, int inner, int threads, void* scratch, int max_keys, const Body& body) {
  const int64_t items = static_cast<int64_t>(outer) * inner;
  const int64_t tasks = threads == 1 ? 1 : static_cast<int64_t>(threads) * kTasksPerThread;
  const int64_t per_task = (items + tasks - 1) / tasks;
  if (items == 0) return;
  parallel_for((items + per_task - 1) / per_task, threads, [&](int64_t task) {
    const Scratch own = task_scratch(scratch, max_keys, task);
    const int64_t end = std::min(items, (task + 1) * per_task);
    for (int64_t i = task * per_task; i < end;) {
      const int first = static_cast<int>(i % inner);
      const int last = static_cast<int>(std::min<int64_t>(inner, first + end - i));
      body(own, static_cast<int>(i / inner), first, last);
      i += last - first;
    }
  });
}

// Key-value products below which one thread does it all.
constexpr int64_t kWorkPerThread = 1 << 15;

int useful_threads(int64_t work, int threads) {
  return static_cast<int>(std::clamp<int64_t>(work / kWorkPerThread, 1, std::max(threads, 1)));
}

}  // namespace

size_t attention_scratch_bytes(int max_keys, int threads) {
  return static_cast<size_t>(std::max(threads, 1)) * kTasksPerThread * kArrays *
         padded_keys(max_keys) * sizeof(float);
}

void self_attention_cpu(const SelfAttentionArgs& args, int threads) {
  const int inner = args.heads * args.head_dim;
  const int rows = *args.rows.num_rows;
  const CpuKernels& kernels = cpu_kernels();
  int64_t work = 0;
  for (int r = 0; r < rows; ++r) work += static_cast<int64_t>(args.rows.position[r] + 1) * inner;
  const auto attend = [&](const Scratch& scratch, int row, int begin, int end) {
    const int position = args.rows.position[row];
    list_keys(args.rows, args.table, row, scratch.key_rows);
    for (int h = begin; h < end; ++h) {
      fill_bias(args.bias + static_cast<int64_t>(h) * bias_columns(args.max_distance),
                args.max_distance, position, position + 1, scratch.bias[0]);
      const int64_t at = static_cast<int64_t>(h) * args.head_dim;
      const int64_t own = static_cast<int64_t>(row) * inner + at;
      kernels.attend_head({1,
                           {args.query + own},
                           args.cache + at,
                           args.cache + inner + at,
                           scratch.key_rows,
                           2 * static_cast<int64_t>(inner),
                           position + 1,
                           args.head_dim,
                           {scratch.bias[0]},
                           {scratch.scores[0]},
                           {args.out + own}});
    }
  };
  for_items(rows, args.heads, useful_threads(work, threads), args.scratch, args.table.rows_per_slot,
            attend);
}

void cross_attention_cpu(const CrossAttentionArgs& args, int threads) {
  const int inner = args.heads * args.head_dim;
  const int rows = *args.rows.num_rows;
  const CpuKernels& kernels = cpu_kernels();
  int64_t work = 0;
  for (int r = 0; r < rows; ++r) {
    work += static_cast<int64_t>(args.source_length[args.slot_source[args.rows.slot[r]]]) * inner;
  }
  // Heads outermost: neighbouring rows read the same source.
  const auto attend = [&](const Scratch& scratch, int h, int begin, int end) {
    const int64_t at = static_cast<int64_t>(h) * args.head_dim;
    for (int row = begin; row < end;) {
      const int64_t source = args.slot_source[args.rows.slot[row]];
      AttendHead job = {};
      job.keys = args.cache + source * args.max_source * 2 * inner + at;
      job.values = job.keys + inner;
      job.row_stride = 2 * static_cast<int64_t>(inner);
      job.num_keys = args.source_length[source];
      job.head_dim = args.head_dim;
      for (; row < end && args.slot_source[args.rows.slot[row]] == source &&
             job.num_queries < kMaxQueries;
           ++row) {
        const int q = job.num_queries++;
        job.query[q] = args.query + static_cast<int64_t>(row) * inner + at;
        job.scores[q] = scratch.scores[q];
        job.out[q] = args.out + static_cast<int64_t>(row) * inner + at;
      }
      kernels.attend_head(job);
    }
  };
  for_items(args.heads, rows, useful_threads(work, threads), args.scratch, args.max_source, attend);
}

}  // namespace speccascade
