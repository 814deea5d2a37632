// A row's result has the same bits alone and among 1..64 others, at any place, for any number of
// threads: operation by operation, for every epilogue, every weight type and the encoder's batches.
#include <algorithm>
#include <cmath>

#include "model/encoder_pass.h"
#include "model/teacher_forced.h"
#include "ops/attention.h"
#include "ops/gemm.h"
#include "ops/relative_bias.h"
#include "ops/rms_norm.h"
#include "test/check.h"
#include "test/support/isa_runs.h"
#include "test/support/pretend_cores.h"
#include "test/support/row_layout.h"
#include "test/support/test_random.h"
#include "test/support/tiny_models.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

constexpr int kMaxRows = 64;

struct Product {
  int n, k;
  DType dtype;
  Epilogue epilogue;
  int parts;
  std::vector<uint8_t> packed;
  std::vector<float> x, residual;
  Buffer scratch;

  Product(int columns, int depth, DType type, Epilogue kind, uint64_t seed, int input_parts = 1)
      : n(columns),
        k(depth),
        dtype(type),
        epilogue(kind),
        parts(type == DType::kBF16 ? input_parts : 1) {
    TestRandom random(seed);
    const bool gated = kind == Epilogue::kGate;
    packed.resize(packed_bytes(n, k, dtype, gated));
    scratch = Buffer(gemm_scratch_bytes(kMaxRows, k, parts, dtype));
    for (int which = 0; which < (gated ? 2 : 1); ++which) {
      const std::vector<float> w = random.values(static_cast<size_t>(n) * static_cast<size_t>(k));
      pack_rows(w.data(), 0, n, k, dtype, which, gated, packed.data());
    }
    x = random.values(kMaxRows * static_cast<size_t>(k));
    residual = random.values(kMaxRows * static_cast<size_t>(n));
  }

  // Rows [first, first + rows) of x.
  std::vector<float> run(int first, int rows, int threads) const {
    std::vector<float> out(residual.begin() + static_cast<ptrdiff_t>(first) * n,
                           residual.begin() + static_cast<ptrdiff_t>(first + rows) * n);
    const int32_t count = rows;
    gemm_cpu({x.data() + static_cast<ptrdiff_t>(first) * k,
              k,
              {packed.data(), dtype, n, k, epilogue == Epilogue::kGate, parts},
              out.data(),
              n,
              epilogue,
              Activation::kGeluTanh,
              &count,
              rows,
              nullptr,
              nullptr,
              scratch.data()},
             threads);
    return out;
  }
};

void compare_row_counts(const Product& product) {
  const size_t n = static_cast<size_t>(product.n);
  std::vector<std::vector<float>> alone;
  for (int r = 0; r < kMaxRows; ++r) alone.push_back(product.run(r, 1, 1));
  for (int rows = 2; rows <= kMaxRows; ++rows) {
    const int first = (kMaxRows - rows) / 2;
    const std::vector<float> together = product.run(first, rows, 1 + rows % kPretendedCores);
    for (int r = 0; r < rows; ++r) {
      CHECK(same_bits(together.data() + static_cast<size_t>(r) * n,
                      alone[static_cast<size_t>(first + r)].data(), n),
            "n ", product.n, " k ", product.k, " ", dtype_name(product.dtype), " epilogue ",
            static_cast<int>(product.epilogue), " row ", r, " of ", rows);
    }
  }
}

void products_of_any_row_count() {
  uint64_t seed = 1;
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kInt8}) {
    for (const Epilogue epilogue :
         {Epilogue::kStore, Epilogue::kAdd, Epilogue::kActivate, Epilogue::kGate}) {
      compare_row_counts({33, 19, dtype, epilogue, ++seed});
      compare_row_counts({128, 64, dtype, epilogue, ++seed});
      compare_row_counts({300, 37, dtype, epilogue, ++seed});
      compare_row_counts({100, 21, dtype, epilogue, ++seed, 2});
    }
  }
}

// Large enough to be split: the same bits with one thread and with many.
void products_of_any_thread_count() {
  uint64_t seed = 50;
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kInt8}) {
    for (const Epilogue epilogue : {Epilogue::kStore, Epilogue::kGate}) {
      const Product product(700, 257, dtype, epilogue, ++seed);
      for (const int rows : {1, 5, 12, 13, 40, 61}) {
        const std::vector<float> expected = product.run(3, rows, 1);
        for (int threads = 2; threads <= kPretendedCores; ++threads) {
          CHECK(same_bits(product.run(3, rows, threads), expected), dtype_name(dtype), " rows ",
                rows, " threads ", threads);
        }
      }
    }
  }
}

void norms_of_any_row_count() {
  TestRandom random(5);
  constexpr size_t kWidth = 37;
  const std::vector<float> x = random.values(kMaxRows * kWidth), weight = random.values(kWidth);
  const auto run = [&](size_t first, int32_t rows, int threads) {
    std::vector<float> out(static_cast<size_t>(rows) * kWidth);
    rms_norm_cpu({x.data() + first * kWidth, weight.data(), out.data(), kWidth, 1e-6f, 1.0f, &rows,
                  rows, nullptr},
                 threads);
    return out;
  };
  for (int rows = 1; rows <= kMaxRows; ++rows) {
    const std::vector<float> together = run(0, rows, 1 + rows % kPretendedCores);
    for (size_t r = 0; r < static_cast<size_t>(rows); ++r) {
      CHECK(same_bits(together.data() + r * kWidth, run(r, 1, 1).data(), kWidth));
    }
  }
}

// A row alone, by views that begin with it: its keys lie among those of its company.
DecoderRows only(DecoderRows rows, int row, int32_t* one) {
  rows.num_rows = one;
  for (int32_t** field : {&rows.tokens, &rows.slot, &rows.position, &rows.node, &rows.cache_row}) {
    *field += row;
  }
  return rows;
}

// Rows of a draft, a tree, share what they read; each sees keys that the others do not.
void attention_in_any_company() {
  int32_t one = 1;
  uint64_t seed = 90;
  for (const int dim : {5, 16, 64, 70}) {
    for (const DType type : {DType::kF32, DType::kBF16}) {
      TestRandom random(++seed);
      const int heads = 9, max_distance = 6, cache_rows = 60, max_source = 21;
      const size_t inner = static_cast<size_t>(heads * dim);
      RowLayout layout({{0, 33, 9}, {1, 0, 5}, {2, 16, 17}, {3, 7, 1}}, cache_rows, random);
      const auto rows = static_cast<size_t>(layout.num_rows());
      const size_t entries = static_cast<size_t>(layout.total_cache_rows()) * 2 * inner;
      const std::vector<float> query = random.values(rows * inner, 0.7);
      std::vector<float> f32 = random.values(entries, 0.7);
      std::vector<uint16_t> bf16;
      for (const float entry : f32) bf16.push_back(float_to_bf16(entry));
      const void* cache = type == DType::kF32 ? static_cast<const void*>(f32.data()) : bf16.data();
      const std::vector<float> bias =
          random.values(static_cast<size_t>(heads * bias_columns(max_distance)));
      const std::vector<int32_t> slot_source = {2, 0, 0, 1}, source_length = {max_source, 4, 16};
      const Buffer scratch(attention_scratch_bytes(cache_rows, kPretendedCores));
      const auto run = [&](const DecoderRows& some, size_t first, bool self, int threads) {
        std::vector<float> out(static_cast<size_t>(*some.num_rows) * inner);
        const float* queries = query.data() + first * inner;
        if (self) {
          self_attention_cpu({queries, cache, type, out.data(), bias.data(), max_distance, heads,
                              dim, some, layout.table(), scratch.data()},
                             threads);
        } else {
          cross_attention_cpu({queries, cache, type, out.data(), heads, dim, max_source, some,
                               slot_source.data(), source_length.data(), scratch.data()},
                              threads);
        }
        return out;
      };
      for (const bool self : {true, false}) {
        for (int threads = 1; threads <= kPretendedCores; ++threads) {
          const std::vector<float> together = run(layout.rows(), 0, self, threads);
          for (size_t r = 0; r < rows; ++r) {
            const std::vector<float> alone =
                run(only(layout.rows(), static_cast<int>(r), &one), r, self, 1);
            CHECK(same_bits(together.data() + r * inner, alone.data(), inner),
                  self ? "self" : "cross", ", heads of ", dim, " in ", dtype_name(type), ", row ",
                  r, ", threads ", threads);
          }
        }
      }
      // What only the last row of a slot sees may be anything.
      const size_t leaf = 8;
      const std::vector<float> clean = run(layout.rows(), 0, true, 1);
      const auto first = static_cast<ptrdiff_t>(2 * inner) * layout.expected_cache_row(leaf);
      const auto count = static_cast<ptrdiff_t>(2 * inner);
      std::fill_n(f32.begin() + first, count, NAN);
      std::fill_n(bf16.begin() + first, count, float_to_bf16(NAN));
      const std::vector<float> poisoned = run(layout.rows(), 0, true, 1);
      for (size_t r = 0; r < rows; ++r) {
        const float* row = poisoned.data() + r * inner;
        if (r == leaf) {
          CHECK(std::isnan(row[0]), "heads of ", dim);
        } else {
          CHECK(same_bits(row, clean.data() + r * inner, inner), "heads of ", dim, ", row ", r);
        }
      }
    }
  }
}

// Ragged batches through the whole encoder: states of each sequence as if it were alone.
void encoder_batches() {
  uint64_t seed = 70;
  for (const NamedConfig& named : tiny_configs()) {
    for (const char* dtype : {"f32", "bf16", "int8"}) {
      const auto model = random_model(named.config, ++seed, dtype, kPretendedCores);
      TestRandom random(seed);
      const size_t width = static_cast<size_t>(named.config.d_model);
      for (const int count : {1, 2, 7, 20}) {
        Sequences inputs;
        std::vector<const std::vector<int32_t>*> pointers;
        for (int i = 0; i < count; ++i) {
          inputs.emplace_back();
          for (int j = 1 + random.below(25); j > 0; --j) {
            inputs.back().push_back(random.below(named.config.vocab_size));
          }
        }
        for (const auto& ids : inputs) pointers.push_back(&ids);
        PassMemory memory(*model);
        EncoderPass pass(*model, memory, 25 * count, count, nullptr);
        memory.allocate();
        pass.run(pointers, std::vector<int>(inputs.size(), 0));
        const float* states = pass.states();
        for (const auto& ids : inputs) {
          const std::vector<float> alone = encode_states(*model, {ids});
          CHECK(same_bits(states, alone.data(), alone.size()), named.name, " ", dtype, " batch ",
                count);
          states += ids.size() * width;
        }
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  return run_for_every_isa(
      argc, argv,
      {CASE(products_of_any_row_count), CASE(products_of_any_thread_count),
       CASE(norms_of_any_row_count), CASE(attention_in_any_company), CASE(encoder_batches)});
}
