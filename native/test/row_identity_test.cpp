// A row's result has the same bits alone and among 1..64 others, at any place, for any number of
// threads: operation by operation, for every epilogue, every weight type and the encoder's batches.
#include <algorithm>
#include <cmath>
#include <string>

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

// Rows of drafts that are trees, over caches of random entries.
class Drafts {
 public:
  Drafts(int dim, DType type, uint64_t seed)
      : dim_(dim), type_(type), inner_(static_cast<size_t>(kHeads * dim)), random_(seed) {}

  size_t rows() const { return static_cast<size_t>(layout_.num_rows()); }
  size_t inner() const { return inner_; }

  std::vector<float> together(bool self, int threads) const {
    return run(layout_.rows(), 0, self, threads);
  }
  std::vector<float> alone(size_t row, bool self) const {
    int32_t one = 1;
    return run(only(layout_.rows(), static_cast<int>(row), &one), row, self, 1);
  }

  // The row's own key and value are not numbers any more.
  void poison(size_t row) {
    const auto first =
        static_cast<ptrdiff_t>(2 * inner_) * layout_.expected_cache_row(static_cast<int>(row));
    std::fill_n(f32_.begin() + first, 2 * inner_, NAN);
    std::fill_n(bf16_.begin() + first, 2 * inner_, float_to_bf16(NAN));
  }

 private:
  static constexpr int kHeads = 9, kMaxDistance = 6, kCacheRows = 60, kMaxSource = 21;

  std::vector<float> run(const DecoderRows& some, size_t first, bool self, int threads) const {
    const void* cache = type_ == DType::kF32 ? static_cast<const void*>(f32_.data()) : bf16_.data();
    const float* query = query_.data() + first * inner_;
    std::vector<float> out(static_cast<size_t>(*some.num_rows) * inner_);
    if (self) {
      self_attention_cpu({query, cache, type_, out.data(), bias_.data(), kMaxDistance, kHeads, dim_,
                          some, layout_.table(), scratch_.data()},
                         threads);
    } else {
      cross_attention_cpu({query, cache, type_, out.data(), kHeads, dim_, kMaxSource, some,
                           slot_source_.data(), source_length_.data(), scratch_.data()},
                          threads);
    }
    return out;
  }

  int dim_;
  DType type_;
  size_t inner_;
  TestRandom random_;
  RowLayout layout_{{{0, 33, 9}, {1, 0, 5}, {2, 16, 17}, {3, 7, 1}}, kCacheRows, random_};
  std::vector<float> query_ = random_.values(rows() * inner_, 0.7);
  std::vector<float> f32_ =
      random_.values(static_cast<size_t>(layout_.total_cache_rows()) * 2 * inner_, 0.7);
  std::vector<uint16_t> bf16_ = rounded(f32_);
  std::vector<float> bias_ =
      random_.values(static_cast<size_t>(kHeads * bias_columns(kMaxDistance)));
  std::vector<int32_t> slot_source_ = {2, 0, 0, 1}, source_length_ = {kMaxSource, 4, 16};
  Buffer scratch_{attention_scratch_bytes(kCacheRows, kPretendedCores)};

  static std::vector<uint16_t> rounded(const std::vector<float>& values) {
    std::vector<uint16_t> halves;
    for (const float value : values) halves.push_back(float_to_bf16(value));
    return halves;
  }
};

template <typename Body>
void for_drafts(const Body& body) {
  uint64_t seed = 90;
  for (const int dim : {5, 16, 64, 70}) {
    for (const DType type : {DType::kF32, DType::kBF16}) {
      Drafts drafts(dim, type, ++seed);
      body(drafts, ", heads of " + std::to_string(dim) + " in " + dtype_name(type));
    }
  }
}

// Rows of a draft share what they read; each sees keys that the others do not.
void attention_in_any_company() {
  for_drafts([](const Drafts& drafts, const std::string& name) {
    for (const bool self : {true, false}) {
      for (int threads = 1; threads <= kPretendedCores; ++threads) {
        const std::vector<float> together = drafts.together(self, threads);
        for (size_t r = 0; r < drafts.rows(); ++r) {
          CHECK(same_bits(together.data() + r * drafts.inner(), drafts.alone(r, self).data(),
                          drafts.inner()),
                self ? "self" : "cross", name, ", row ", r, ", threads ", threads);
        }
      }
    }
  });
}

// What only the last row of a slot sees may be anything: those that it is attended together with
// are unharmed.
void attention_beside_what_is_not_a_number() {
  constexpr size_t kLast = 30;  // of slot 2, behind rows 28 and 29
  for_drafts([](Drafts& drafts, const std::string& name) {
    const std::vector<float> before = drafts.together(true, 1);
    drafts.poison(kLast);
    const std::vector<float> after = drafts.together(true, 1);
    for (size_t r = 0; r < drafts.rows(); ++r) {
      const float* row = after.data() + r * drafts.inner();
      if (r == kLast) {
        CHECK(std::isnan(row[0]), "self", name);
      } else {
        CHECK(same_bits(row, before.data() + r * drafts.inner(), drafts.inner()), "self", name,
              ", row ", r);
      }
    }
  });
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
  return run_for_every_isa(argc, argv,
                           {CASE(products_of_any_row_count), CASE(products_of_any_thread_count),
                            CASE(norms_of_any_row_count), CASE(attention_in_any_company),
                            CASE(attention_beside_what_is_not_a_number), CASE(encoder_batches)});
}
