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

// Key-value products that are worth a thread: what it reads is seldom in its caches.
constexpr int64_t kWorkPerThread = 1 << 13;

int64_t score_stride(int max_keys) {
  return (static_cast<int64_t>(max_keys) + 15) / 16 * 16 + kScoreSlack;
}

// What a thread needs for some heads of a few rows.
struct Scratch {
  int64_t stride;     // of a row of scores
  float* scores;      // [kMaxHeads, kMaxQueries, stride]
  float* bias;        // [kMaxHeads, stride]
  int32_t* key_rows;  // [kMaxQueries, stride]

  static int64_t floats(int64_t stride) {
    return (kMaxHeads * (kMaxQueries + 1) + kMaxQueries) * stride;
  }

  Scratch(void* memory, int max_keys, int64_t worker) : stride(score_stride(max_keys)) {
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

// Some heads over a cache whose first entry of theirs is the one at `at`; queries and keys are the
// caller's to name.
template <typename Args>
AttendHeads job_of(const Args& args, const Scratch& scratch, int heads, int64_t at) {
  const int64_t inner = static_cast<int64_t>(args.heads) * args.head_dim;
  AttendHeads job = {};
  job.heads = heads;
  job.head_dim = args.head_dim;
  job.dtype = args.cache_dtype;
  job.keys = entry_of(args.cache, args.cache_dtype, at);
  job.values = entry_of(args.cache, args.cache_dtype, at + inner);
  job.row_stride = 2 * inner;
  job.scores = scratch.scores;
  job.score_stride = scratch.stride;
  return job;
}

// Rows that are attended together: neighbours that have keys in common.
template <typename SameKeys>
class Groups {
 public:
  // same_keys(row): whether a row has some of those of the row before it.
  Groups(int rows, const SameKeys& same_keys) : rows_(rows), same_keys_(same_keys) {}

  int rows() const { return rows_; }
  bool begins(int row) const { return row % kMaxQueries == 0 || !same_keys_(row); }
  int end(int row) const {
    do ++row;
    while (row < rows_ && !begins(row));
    return row;
  }

 private:
  int rows_;
  const SameKeys& same_keys_;
};

// Calls body(scratch, row, end, first_head, last_head) for some heads of the rows of every group,
// on as many threads as so many multiply-adds are worth.
template <typename SameKeys, typename Body>
void for_heads(const Groups<SameKeys>& groups, int64_t terms, int heads, int threads, void* scratch,
               int max_keys, const Body& body) {
  const int workers =
      static_cast<int>(std::clamp<int64_t>(terms / kWorkPerThread, 1, std::max(threads, 1)));
  const int wanted = workers == 1 ? 1 : workers * kItemsPerThread;
  const int fewest = (heads + kMaxHeads - 1) / kMaxHeads;
  int count = 0;
  for (int row = 0; row < groups.rows(); row = groups.end(row)) ++count;
  const int parts = std::clamp((wanted + count - 1) / std::max(count, 1), fewest, heads);
  for_items(static_cast<int64_t>(groups.rows()) * parts, workers,
            [&](int64_t worker, int64_t item) {
              const int row = static_cast<int>(item % groups.rows()),
                        part = static_cast<int>(item / groups.rows());
              if (!groups.begins(row)) return;
              body(Scratch(scratch, max_keys, worker), row, groups.end(row), heads * part / parts,
                   heads * (part + 1) / parts);
            });
}

}  // namespace

size_t attention_scratch_bytes(int max_keys, int threads) {
  return static_cast<size_t>(std::max(threads, 1)) *
         static_cast<size_t>(Scratch::floats(score_stride(max_keys))) * sizeof(float);
}

void self_attention_cpu(const SelfAttentionArgs& args, int threads) {
  const int64_t inner = static_cast<int64_t>(args.heads) * args.head_dim;
  const DecoderRows& rows = args.rows;
  int64_t terms = 0;
  for (int r = 0; r < *rows.num_rows; ++r) terms += (rows.position[r] + 1) * inner;
  const auto same_slot = [&](int row) { return rows.slot[row - 1] == rows.slot[row]; };
  const auto attend = [&](const Scratch& scratch, int row, int end, int first_head, int last_head) {
    const int64_t at = static_cast<int64_t>(first_head) * args.head_dim;
    AttendHeads job = job_of(args, scratch, last_head - first_head, at);
    int shared = rows.position[row] + 1, last_position = 0;
    for (int r = row; r < end; ++r) {
      int32_t* key_rows = scratch.key_rows + (r - row) * scratch.stride;
      list_keys(rows, args.table, r, key_rows);
      const int keys = rows.position[r] + 1;
      shared = static_cast<int>(
          std::mismatch(scratch.key_rows, scratch.key_rows + std::min(shared, keys), key_rows)
              .first -
          scratch.key_rows);
      last_position = std::max(last_position, keys - 1);
    }
    // The bias of the last position; a query before it finds its own further on.
    for (int h = first_head; h < last_head; ++h) {
      fill_bias(args.bias + static_cast<int64_t>(h) * bias_columns(args.max_distance),
                args.max_distance, last_position, last_position + 1,
                scratch.bias + (h - first_head) * scratch.stride);
    }
    job.shared = {scratch.key_rows, shared};
    for (int r = row; r < end; ++r) {
      const int q = job.num_queries++;
      job.query[q] = args.query + r * inner + at;
      job.out[q] = args.out + r * inner + at;
      job.own[q] = {scratch.key_rows + q * scratch.stride + shared, rows.position[r] + 1 - shared};
      job.bias[q] = scratch.bias + last_position - rows.position[r];
    }
    cpu_kernels().attend_heads(job);
  };
  for_heads(Groups(*rows.num_rows, same_slot), terms, args.heads, threads, args.scratch,
            args.table.rows_per_slot, attend);
}

void cross_attention_cpu(const CrossAttentionArgs& args, int threads) {
  const int64_t inner = static_cast<int64_t>(args.heads) * args.head_dim;
  const int rows = *args.rows.num_rows;
  const auto source_of = [&](int row) -> int64_t { return args.slot_source[args.rows.slot[row]]; };
  int64_t terms = 0;
  for (int r = 0; r < rows; ++r) terms += args.source_length[source_of(r)] * inner;
  const auto same_source = [&](int row) { return source_of(row - 1) == source_of(row); };
  const auto attend = [&](const Scratch& scratch, int row, int end, int first_head, int last_head) {
    const int64_t source = source_of(row);
    const int64_t at = static_cast<int64_t>(first_head) * args.head_dim;
    const int64_t place = source * args.max_source * 2 * inner + at;
    AttendHeads job = job_of(args, scratch, last_head - first_head, place);
    job.shared = {nullptr, args.source_length[source]};
    for (int r = row; r < end; ++r) {
      job.query[job.num_queries] = args.query + r * inner + at;
      job.out[job.num_queries++] = args.out + r * inner + at;
    }
    cpu_kernels().attend_heads(job);
  };
  for_heads(Groups(rows, same_source), terms, args.heads, threads, args.scratch, args.max_source,
            attend);
}

}  // namespace speccascade
