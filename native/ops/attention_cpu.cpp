#include "ops/attention.h"

#include <algorithm>

#include "base/thread_pool.h"
#include "ops/attention_bias.h"
#include "ops/cpu_kernels.h"
#include "ops/relative_bias.h"

namespace speccascade {

namespace {

// Items per thread: more even out cores of unequal speed, fewer read longer pieces of memory.
constexpr int kItemsPerThread = 2;

// Key-value products below which one thread does it all.
constexpr int64_t kWorkPerThread = 1 << 15;

// Kernels write scores in whole vectors.
int64_t padded_keys(int max_keys) { return (static_cast<int64_t>(max_keys) + 15) / 16 * 16; }

// What a thread needs for some heads of a few rows.
struct Scratch {
  int64_t stride;  // of a row of scores
  float* scores;   // [kMaxHeads, kMaxQueries, stride]
  float* bias;     // [kMaxHeads, stride]
  int32_t* key_rows;

  static int64_t floats(int64_t stride) { return (kMaxHeads * (kMaxQueries + 1) + 1) * stride; }

  Scratch(void* memory, int max_keys, int64_t worker) : stride(padded_keys(max_keys)) {
    scores = static_cast<float*>(memory) + worker * floats(stride);
    bias = scores + kMaxHeads * kMaxQueries * stride;
    key_rows = reinterpret_cast<int32_t*>(bias + kMaxHeads * stride);
  }
};

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

// Entry `at` of a cache.
const void* entry_of(const void* cache, DType dtype, int64_t at) {
  return static_cast<const char*>(cache) + at * static_cast<int64_t>(dtype_bytes(dtype));
}

// What there is to do: rows that are attended together count as one group; multiply-adds.
struct Work {
  int rows = 0, groups = 0;
  int64_t terms = 0;
};

// Calls body(scratch, row, begin, end) for heads [begin, end) of every row, on as many threads as
// the work is worth.
template <typename Body>
void for_heads(const Work& work, int heads, int threads, void* scratch, int max_keys,
               const Body& body) {
  const int workers =
      static_cast<int>(std::clamp<int64_t>(work.terms / kWorkPerThread, 1, std::max(threads, 1)));
  const int wanted = workers == 1 ? 1 : workers * kItemsPerThread;
  const int fewest = (heads + kMaxHeads - 1) / kMaxHeads;
  const int groups = std::max(work.groups, 1);
  const int parts = std::clamp((wanted + groups - 1) / groups, fewest, heads);
  for_items(static_cast<int64_t>(work.rows) * parts, workers, [&](int64_t worker, int64_t item) {
    const int part = static_cast<int>(item % parts);
    body(Scratch(scratch, max_keys, worker), static_cast<int>(item / parts), heads * part / parts,
         heads * (part + 1) / parts);
  });
}

}  // namespace

size_t attention_scratch_bytes(int max_keys, int threads) {
  return static_cast<size_t>(std::max(threads, 1)) *
         static_cast<size_t>(Scratch::floats(padded_keys(max_keys))) * sizeof(float);
}

void self_attention_cpu(const SelfAttentionArgs& args, int threads) {
  const int64_t inner = static_cast<int64_t>(args.heads) * args.head_dim;
  const int rows = *args.rows.num_rows;
  Work work = {rows, rows, 0};
  for (int r = 0; r < rows; ++r) work.terms += (args.rows.position[r] + 1) * inner;
  const auto attend = [&](const Scratch& scratch, int row, int begin, int end) {
    const int position = args.rows.position[row];
    list_keys(args.rows, args.table, row, scratch.key_rows);
    for (int h = begin; h < end; ++h) {
      fill_bias(args.bias + static_cast<int64_t>(h) * bias_columns(args.max_distance),
                args.max_distance, position, position + 1,
                scratch.bias + (h - begin) * scratch.stride);
    }
    const int64_t at = static_cast<int64_t>(begin) * args.head_dim;
    const int64_t own = row * inner + at;
    cpu_kernels().attend_heads({end - begin,
                                args.head_dim,
                                1,
                                {args.query + own},
                                args.cache_dtype,
                                entry_of(args.cache, args.cache_dtype, at),
                                entry_of(args.cache, args.cache_dtype, inner + at),
                                scratch.key_rows,
                                2 * inner,
                                position + 1,
                                scratch.bias,
                                scratch.scores,
                                scratch.stride,
                                {args.out + own}});
  };
  for_heads(work, args.heads, threads, args.scratch, args.table.rows_per_slot, attend);
}

void cross_attention_cpu(const CrossAttentionArgs& args, int threads) {
  const int64_t inner = static_cast<int64_t>(args.heads) * args.head_dim;
  const int rows = *args.rows.num_rows;
  const auto source_of = [&](int row) -> int64_t { return args.slot_source[args.rows.slot[row]]; };
  // Neighbouring rows of one source are attended together.
  const auto begins_group = [&](int row) {
    return row % kMaxQueries == 0 || source_of(row - 1) != source_of(row);
  };
  Work work = {rows, 0, 0};
  for (int r = 0; r < rows; ++r) {
    work.groups += begins_group(r) ? 1 : 0;
    work.terms += args.source_length[source_of(r)] * inner;
  }
  const auto attend = [&](const Scratch& scratch, int row, int begin, int end) {
    if (!begins_group(row)) return;
    const int64_t source = source_of(row);
    const int64_t at = static_cast<int64_t>(begin) * args.head_dim;
    const int64_t place = source * args.max_source * 2 * inner + at;
    AttendHeads job = {};
    job.heads = end - begin;
    job.head_dim = args.head_dim;
    job.dtype = args.cache_dtype;
    job.keys = entry_of(args.cache, args.cache_dtype, place);
    job.values = entry_of(args.cache, args.cache_dtype, place + inner);
    job.row_stride = 2 * inner;
    job.num_keys = args.source_length[source];
    job.scores = scratch.scores;
    job.score_stride = scratch.stride;
    for (int r = row; r < rows && (r == row || !begins_group(r)); ++r) {
      job.query[job.num_queries] = args.query + r * inner + at;
      job.out[job.num_queries++] = args.out + r * inner + at;
    }
    cpu_kernels().attend_heads(job);
  };
  for_heads(work, args.heads, threads, args.scratch, args.max_source, attend);
}

}  // namespace speccascade
