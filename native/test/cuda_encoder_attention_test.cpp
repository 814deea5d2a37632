// Encoder attention on matrix instructions, in one part of bf16 and in two: against the plain
// formula, within what such parts are off by; and that a row's bits depend on its sequence alone.
#include <cmath>
#include <limits>

#include "ops/ops_cuda.h"
#include "ops/relative_bias.h"
#include "test/support/attention_cases.h"
#include "test/support/emulated_runs.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

// Each call in another order.
uint64_t calls = 0;

void encoder(const EncoderAttentionArgs& args, int) {
  with_schedule(++calls, [&] { encoder_attention_cuda(args, {}, nullptr); });
}

void rows_see_their_own_sequence() {
  uint64_t seed = 1;
  for (const int dim : kHeadDims) {
    for (const int parts : {1, 2}) {
      ++seed;
      const int heads = 1 + static_cast<int>(seed % 3),
                distance = 1 + static_cast<int>(seed % 7) * 3;
      try_encoder(encoder, {heads, dim, distance, {1, 5, 17, 2, 40}, seed, 1, parts});
    }
  }
  try_encoder(encoder, {2, 17, 20, {257}, ++seed, 1, 1});
  try_encoder(encoder, {3, 5, 4, {}, ++seed, 1, 2});
}

// Tiles of keys and of rows that are full, and not.
void any_number_of_keys() {
  for (int keys = 1; keys <= 200; keys += keys < 35 ? 1 : 11) {
    if (kSanitized && keys % 4 != 0) continue;
    for (const int parts : {1, 2}) {
      try_encoder(encoder, {1, keys % 2 == 0 ? 6 : 64, 16, {keys}, 900 + uint64_t(keys), 1, parts});
    }
  }
  for (const int keys : {63, 64, 65, 127, 128, 129}) {
    try_encoder(encoder, {1, 72, 200, {keys, 3}, 500 + uint64_t(keys), 1, 1});
  }
}

// Scores of hundreds, as T5's are without a scale.
void large_scores() {
  for (const int dim : {16, 64, 128}) {
    for (const int parts : {1, 2}) {
      try_encoder(encoder, {2, dim, 9, {70, 33}, 40 + uint64_t(dim), 1, parts, 8.0});
    }
  }
}

// Sequences of random rows, one after the other.
struct Batch {
  int heads, head_dim, max_distance = 9;
  std::vector<std::vector<float>> sequences = {};  // rows of queries, keys, values
  int spare_rows = 0, spare_sequences = 0;         // in the bounds
  size_t shift = 0;                                // of the rows in memory, in entries

  size_t row() const { return 3 * static_cast<size_t>(heads * head_dim); }

  std::vector<std::vector<float>> run(int parts) const {
    std::vector<float> qkv(shift);
    std::vector<int32_t> offsets = {0}, row_sequence;
    for (const std::vector<float>& rows : sequences) {
      qkv.insert(qkv.end(), rows.begin(), rows.end());
      row_sequence.resize((qkv.size() - shift) / row(), static_cast<int32_t>(offsets.size()) - 1);
      offsets.push_back(static_cast<int32_t>(row_sequence.size()));
    }
    const int32_t count = offsets.back();
    const int most = static_cast<int>(sequences.size()) + spare_sequences;
    // Of an earlier pass.
    for (int i = 0; i < spare_sequences; ++i) offsets.push_back(i % 2 == 0 ? 1 : 1 << 20);
    TestRandom random(7);
    const auto bias = random.values(static_cast<size_t>(heads * bias_columns(max_distance)));
    std::vector<float> out(static_cast<size_t>(count * heads * head_dim));
    encoder({qkv.data() + shift, out.data(), bias.data(), max_distance, heads, head_dim, &count,
             row_sequence.data(), offsets.data(), count + spare_rows, nullptr, most, parts},
            1);
    std::vector<std::vector<float>> split;
    for (size_t s = 0, at = 0; s < sequences.size(); ++s) {
      const size_t size = sequences[s].size() / 3;
      split.emplace_back(out.begin() + static_cast<ptrdiff_t>(at),
                         out.begin() + static_cast<ptrdiff_t>(at + size));
      at += size;
    }
    return split;
  }
};

Batch random_batch(int heads, int head_dim, const std::vector<int>& lengths, uint64_t seed) {
  Batch batch = {heads, head_dim};
  TestRandom random(seed);
  for (const int length : lengths) {
    batch.sequences.push_back(random.values(static_cast<size_t>(length) * batch.row()));
  }
  return batch;
}

void bits_depend_on_the_sequence_alone() {
  uint64_t seed = 60;
  for (const int dim : {5, 64, 100}) {
    for (const int parts : {1, 2}) {
      Batch batch = random_batch(2, dim, {3, 130, 1, 70, 0, 33}, ++seed);
      const auto together = batch.run(parts);
      batch.spare_rows = 300;
      batch.spare_sequences = 40;
      batch.shift = 1;
      const auto bounds = batch.run(parts);
      for (size_t s = 0; s < together.size(); ++s) {
        CHECK(same_bits(together[s], bounds[s]), "bounds, dim ", dim, " sequence ", s);
        Batch one = batch;
        one.shift = 0;
        one.sequences = {batch.sequences[s]};
        CHECK(same_bits(together[s], one.run(parts)[0]), "alone, dim ", dim, " sequence ", s);
      }
    }
  }
  // More sequences than a warp has lanes.
  Batch many = random_batch(1, 4, std::vector<int>(70, 2), ++seed);
  const auto all = many.run(1);
  for (const size_t s : {0, 31, 32, 63, 69}) {
    Batch one = many;
    one.sequences = {many.sequences[s]};
    CHECK(same_bits(all[s], one.run(1)[0]), "sequence ", s, " of many");
  }
}

bool finite(const std::vector<float>& values) {
  for (const float value : values) {
    if (!std::isfinite(value)) return false;
  }
  return true;
}

void what_is_not_finite_stays_in_its_sequence() {
  const Batch batch = random_batch(1, 20, {40, 50, 37}, 8);
  const auto expected = batch.run(1);
  for (const float bad : {std::numeric_limits<float>::infinity(), -INFINITY, NAN}) {
    for (const size_t part : {0, 1, 2}) {  // query, key, value
      for (const int parts : {1, 2}) {
        Batch spoilt = batch;
        spoilt.sequences[1][49 * batch.row() + part * 20 + 11] = bad;
        const auto got = spoilt.run(parts);
        for (size_t r = 0; r < 50; ++r) {
          const std::vector<float> row(got[1].begin() + static_cast<ptrdiff_t>(r * 20),
                                       got[1].begin() + static_cast<ptrdiff_t>(r * 20 + 20));
          CHECK(finite(row) == (part == 0 && r != 49), bad, " part ", part, " row ", r);
        }
        if (parts != 1) continue;
        CHECK(same_bits(got[0], expected[0]) && same_bits(got[2], expected[2]), "others");
      }
    }
  }
}

void wide_values_do_not_overflow() {
  Batch batch = random_batch(1, 64, {45}, 9);
  for (size_t i = 0; i < batch.sequences[0].size(); ++i) {
    if (i % batch.row() >= 128) batch.sequences[0][i] *= 1e37f;
  }
  for (const int parts : {1, 2}) CHECK(finite(batch.run(parts)[0]), "parts ", parts);
}

void schedules_do_not_matter() {
  for (const int dim : {40, 72}) {
    const Batch batch = random_batch(1, dim, {70, 9}, 3);
    for (const int parts : {1, 2}) {
      same_in_every_schedule("encoder", [&] { return batch.run(parts)[0]; });
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(
      argc, argv,
      {CASE(rows_see_their_own_sequence), CASE(any_number_of_keys), CASE(large_scores),
       CASE(bits_depend_on_the_sequence_alone), CASE(what_is_not_finite_stays_in_its_sequence),
       CASE(wide_values_do_not_overflow), CASE(schedules_do_not_matter)});
}
