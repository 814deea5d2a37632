#include "test/support/attention_cases.h"

#include <algorithm>

#include "base/buffer.h"
#include "ops/relative_bias.h"
#include "test/support/reference_ops.h"
#include "test/support/row_layout.h"
#include "test/support/test_random.h"
#include "test/support/tolerances.h"

namespace speccascade::test {

const std::vector<int> kHeadDims = {1, 2, 3, 4, 5, 8, 15, 16, 17, 31, 33, 40, 64, 65, 100, 128};

namespace {

// More than the CPU takes together (cpu_kernels.h), and as many.
constexpr int kManyHeads[] = {8, 9, 12, 17};
constexpr DType kCacheTypes[] = {DType::kF32, DType::kBF16};

AttentionOps ops;

struct Shape {
  int heads, head_dim, max_distance;
  size_t inner() const { return static_cast<size_t>(heads) * static_cast<size_t>(head_dim); }
};

float bias_at(const std::vector<float>& bias, const Shape& shape, int head, int distance) {
  const int clamped = std::max(-shape.max_distance, std::min(shape.max_distance, distance));
  return bias[static_cast<size_t>(head * bias_columns(shape.max_distance) + clamped +
                                  shape.max_distance)];
}

std::vector<float> random_bias(TestRandom& random, const Shape& shape) {
  return random.values(static_cast<size_t>(shape.heads * bias_columns(shape.max_distance)));
}

// Compares row r of `out`, head by head, with the twin over `key_rows` of `cache` (key and value
// side by side from `keys` and `values` on, `stride` apart).
struct Attended {
  const Shape& shape;
  const float* query;
  const float* keys;
  const float* values;
  size_t stride;
  const float* out;
  int parts = 0;  // EncoderAttentionArgs
};

void check_row(const Attended& a, const std::vector<int32_t>& key_rows,
               const std::vector<float>* bias, int position, const char* what) {
  const int dim = a.shape.head_dim;
  for (int h = 0; h < a.shape.heads; ++h) {
    const size_t at = static_cast<size_t>(h) * static_cast<size_t>(dim);
    AttentionInput input = {a.query + at, {}, {}, {}};
    if (a.parts > 0) {
      input.score_rounding = kMatrixScore;
      input.term_rounding = kMatrixTerm[a.parts];
    }
    for (size_t j = 0; j < key_rows.size(); ++j) {
      const size_t row = static_cast<size_t>(key_rows[j]) * a.stride + at;
      input.keys.push_back(a.keys + row);
      input.values.push_back(a.values + row);
      if (bias) {
        input.bias.push_back(bias_at(*bias, a.shape, h, static_cast<int>(j) - position));
      }
    }
    const std::vector<Twin> twin = attention_twin(input, dim);
    for (int d = 0; d < dim; ++d) {
      const Twin& expected = twin[static_cast<size_t>(d)];
      const float got = a.out[at + static_cast<size_t>(d)];
      CHECK(agrees(got, expected), what, " heads ", a.shape.heads, " dim ", dim, " keys ",
            key_rows.size(), " head ", h, " entry ", d, ": got ", got, ", expected ",
            expected.value, " +- ", expected.bound);
    }
  }
}

}  // namespace

void try_encoder(void (*encoder)(const EncoderAttentionArgs& args, int threads),
                 const EncoderTrial& trial) {
  const Shape shape = {trial.heads, trial.head_dim, trial.max_distance};
  TestRandom random(trial.seed);
  std::vector<int32_t> offsets = {0}, row_sequence;
  for (size_t s = 0; s < trial.lengths.size(); ++s) {
    offsets.push_back(offsets.back() + trial.lengths[s]);
    row_sequence.insert(row_sequence.end(), static_cast<size_t>(trial.lengths[s]),
                        static_cast<int32_t>(s));
  }
  const int32_t rows = offsets.back();
  const size_t inner = shape.inner();
  std::vector<float> qkv = random.values(static_cast<size_t>(rows) * 3 * inner, 0.7);
  for (size_t i = 0; i < qkv.size(); ++i) {
    if (i / inner % 3 != 2) qkv[i] *= static_cast<float>(trial.scale / 0.7);
  }
  const std::vector<float> bias = random_bias(random, shape);
  std::vector<float> out(static_cast<size_t>(rows) * inner);
  const Buffer scratch(encoder_attention_scratch_bytes(rows, shape.head_dim, trial.threads));
  encoder({qkv.data(), out.data(), bias.data(), shape.max_distance, shape.heads, shape.head_dim,
           &rows, row_sequence.data(), offsets.data(), rows, scratch.data(),
           static_cast<int>(trial.lengths.size()), trial.parts},
          trial.threads);
  for (int r = 0; r < rows; ++r) {
    const int s = row_sequence[static_cast<size_t>(r)];
    const int first = offsets[static_cast<size_t>(s)];
    std::vector<int32_t> keys;
    for (int j = first; j < offsets[static_cast<size_t>(s) + 1]; ++j) keys.push_back(j);
    const size_t at = static_cast<size_t>(r);
    check_row({shape, qkv.data() + at * 3 * inner, qkv.data() + inner, qkv.data() + 2 * inner,
               3 * inner, out.data() + at * inner, trial.parts},
              keys, &bias, r - first, "encoder");
  }
}

namespace {

void encoder_rows_see_their_own_sequence() {
  uint64_t seed = 1;
  for (const int dim : kHeadDims) {
    try_encoder(ops.encoder, {1 + static_cast<int>(seed % 4),
                              dim,
                              1 + static_cast<int>(seed % 7) * 3,
                              {1, 5, 17, 2, 40},
                              seed,
                              static_cast<int>(seed % 3) + 1});
    ++seed;
  }
  try_encoder(ops.encoder, {2, 17, 20, {257}, ++seed, 2});
  try_encoder(ops.encoder, {3, 5, 4, {}, ++seed, 2});
}

// Keys and values as a cache keeps them, and what they are.
struct Cache {
  DType dtype;
  std::vector<float> values;
  std::vector<uint16_t> halves;  // in bf16

  Cache(TestRandom& random, size_t count, DType type)
      : dtype(type), values(random.values(count, 0.7)) {
    for (float& value : values) {
      if (type == DType::kF32) break;
      halves.push_back(float_to_bf16(value));
      value = bf16_to_float(halves.back());
    }
  }
  const void* data() const {
    return dtype == DType::kBF16 ? static_cast<const void*>(halves.data()) : values.data();
  }
};

void try_self(const Shape& shape, const std::vector<SlotPlan>& plans, int cache_rows, int threads,
              DType cache_dtype, uint64_t seed) {
  TestRandom random(seed);
  RowLayout layout(plans, cache_rows, random);
  const size_t inner = shape.inner();
  const int rows = layout.num_rows();
  ops.resolve_cache_rows({layout.rows(), layout.table()});
  for (int r = 0; r < rows; ++r) {
    CHECK(layout.rows().cache_row[r] == layout.expected_cache_row(r), "row ", r);
  }
  const std::vector<float> query = random.values(static_cast<size_t>(rows) * inner, 0.7);
  const Cache cache(random, static_cast<size_t>(layout.total_cache_rows()) * 2 * inner,
                    cache_dtype);
  const std::vector<float> bias = random_bias(random, shape);
  std::vector<float> out(static_cast<size_t>(rows) * inner);
  const Buffer scratch(attention_scratch_bytes(cache_rows, threads));
  ops.self({query.data(), cache.data(), cache.dtype, out.data(), bias.data(), shape.max_distance,
            shape.heads, shape.head_dim, layout.rows(), layout.table(), scratch.data()},
           threads);
  for (int r = 0; r < rows; ++r) {
    const size_t at = static_cast<size_t>(r) * inner;
    const float* keys = cache.values.data();
    check_row({shape, query.data() + at, keys, keys + inner, 2 * inner, out.data() + at},
              layout.key_rows(r), &bias, layout.rows().position[r], "self");
  }
}

void self_rows_see_prefix_and_ancestors() {
  uint64_t seed = 100;
  for (const int dim : kHeadDims) {
    const Shape shape = {1 + static_cast<int>(seed % 3), dim, 2 + static_cast<int>(seed % 5) * 4};
    // Slot, committed length, new rows; some slots are left out, one starts from nothing.
    for (const DType type : kCacheTypes) {
      try_self(shape, {{0, 7, 9}, {2, 0, 5}, {3, 33, 1}, {5, 16, 16}}, 60,
               static_cast<int>(seed % 3) + 1, type, seed);
    }
    ++seed;
  }
  for (int rows = 1; rows <= 40; ++rows) {
    try_self({2, 9, 6}, {{1, rows % 7, rows}}, 50, 2, kCacheTypes[rows % 2], ++seed);
  }
  for (const DType type : kCacheTypes) try_self({2, 16, 33}, {{0, 257, 31}}, 300, 3, type, ++seed);
  try_self({2, 16, 33}, {}, 20, 3, DType::kF32, ++seed);
  for (const int heads : kManyHeads) {
    for (const int threads : {1, 3}) {
      const DType type = kCacheTypes[++seed % 2];
      try_self({heads, seed % 3 == 0 ? 5 : 16, 9}, {{0, 7, 5}, {1, 30, 1}}, 40, threads, type,
               seed);
    }
  }
}

const std::vector<SlotPlan> kFewRows = {{0, 3, 4}, {1, 0, 1}, {3, 5, 6}};

void try_cross(const Shape& shape, int max_source, int threads, DType cache_dtype, uint64_t seed,
               const std::vector<SlotPlan>& plans = kFewRows) {
  TestRandom random(seed);
  RowLayout layout(plans, 40, random);
  const std::vector<int32_t> slot_source = {2, 0, -1, 2};  // two slots share a source
  const std::vector<int32_t> source_length = {1, 0, max_source};
  const size_t inner = shape.inner();
  const size_t rows = static_cast<size_t>(layout.num_rows());
  const std::vector<float> query = random.values(rows * inner, 0.7);
  const Cache cache(random, 3 * static_cast<size_t>(max_source) * 2 * inner, cache_dtype);
  std::vector<float> out(rows * inner);
  const Buffer scratch(attention_scratch_bytes(max_source, threads));
  ops.cross({query.data(), cache.data(), cache.dtype, out.data(), shape.heads, shape.head_dim,
             max_source, layout.rows(), slot_source.data(), source_length.data(), scratch.data()},
            threads);
  const float* all = cache.values.data();
  for (size_t r = 0; r < rows; ++r) {
    const int source = slot_source[static_cast<size_t>(layout.rows().slot[r])];
    std::vector<int32_t> keys;
    for (int j = 0; j < source_length[static_cast<size_t>(source)]; ++j) {
      keys.push_back(source * max_source + j);
    }
    check_row(
        {shape, query.data() + r * inner, all, all + inner, 2 * inner, out.data() + r * inner},
        keys, nullptr, 0, "cross");
  }
}

void cross_rows_see_their_source() {
  uint64_t seed = 300;
  for (const int heads : kManyHeads) {
    for (const int threads : {1, 3}) {
      const DType type = kCacheTypes[++seed % 2];
      try_cross({heads, seed % 3 == 0 ? 5 : 16, 1}, 70, threads, type, seed);
    }
  }
  for (const int dim : kHeadDims) {
    for (const int max_source : {1, 2, 15, 17, 257}) {
      ++seed;
      for (const DType type : kCacheTypes) {
        try_cross({1 + static_cast<int>(seed % 4), dim, 1}, max_source,
                  static_cast<int>(seed % 3) + 1, type, seed);
      }
    }
  }
  // More rows than a GPU has blocks at once (attention_cuda.cu): there those of a slot share keys.
  for (const DType type : kCacheTypes) {
    const int dim = type == DType::kBF16 ? 64 : 5;
    try_cross({17, dim, 1}, 66, 2, type, ++seed, {{0, 3, 9}, {1, 0, 1}, {2, 4, 0}, {3, 5, 21}});
  }
}

// Scores far apart: the softmax must neither overflow nor lose the winner.
void large_scores_stay_finite() {
  const Shape shape = {1, 16, 2};
  const int32_t rows = 3;
  std::vector<float> qkv(3 * 3 * 16, 0.0f);
  for (size_t r = 0; r < 3; ++r) {
    for (size_t d = 0; d < 16; ++d) {
      qkv[r * 48 + d] = 50.0f;                                    // queries
      qkv[r * 48 + 16 + d] = static_cast<float>(r) * 60.0f - 60;  // keys: -60, 0, 60
      qkv[r * 48 + 32 + d] = static_cast<float>(r + 1);           // values
    }
  }
  const std::vector<float> bias(static_cast<size_t>(bias_columns(2)), 0.0f);
  const std::vector<int32_t> row_sequence = {0, 0, 0}, offsets = {0, 3};
  std::vector<float> out(3 * 16);
  const Buffer scratch(encoder_attention_scratch_bytes(rows, 16, 1));
  ops.encoder({qkv.data(), out.data(), bias.data(), shape.max_distance, 1, 16, &rows,
               row_sequence.data(), offsets.data(), rows, scratch.data(), 1, 0},
              1);
  for (const float y : out) CHECK(y == 3.0f, "got ", y);
}

}  // namespace

std::vector<Case> attention_cases(const AttentionOps& tested) {
  ops = tested;
  return {CASE(encoder_rows_see_their_own_sequence), CASE(self_rows_see_prefix_and_ancestors),
          CASE(cross_rows_see_their_source), CASE(large_scores_stay_finite)};
}

}  // namespace speccascade::test
