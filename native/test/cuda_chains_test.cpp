// Products of one chain (GemmArgs::one_chain) by everything that makes them, tiles and warpgroups:
// against the plain product, in any order of threads, and the same bits for a row in any pass.
#include <cstdio>

#include "test/support/device_product.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

struct ChainKernel {
  const char* name;
  ChainForm form;
  int rows_of_block;
};

// Runs body(kernel) for everything that makes products of one chain here.
template <typename Body>
void with_chain_kernels(const Body& body) {
  constexpr ChainKernel kKernels[] = {{"tiles", ChainForm::kPortable, 0},
                                      {"warpgroups", ChainForm::kWarpgroups, 0},
                                      {"warpgroups of 32 rows", ChainForm::kWarpgroups, 32},
                                      {"warpgroups of 64 rows", ChainForm::kWarpgroups, 64},
                                      {"warpgroups of 128 rows", ChainForm::kWarpgroups, 128},
                                      {"warpgroups of 256 rows", ChainForm::kWarpgroups, 256}};
  for (const ChainKernel& kernel : kKernels) {
    if (kernel.form == ChainForm::kWarpgroups && !has_warpgroup_chains()) continue;
    choose_chains(kernel.form, kernel.rows_of_block);
    body(kernel);
  }
  choose_chains(ChainForm::kByDevice);
}

constexpr DType kChainTypes[] = {DType::kBF16, DType::kInt8};

Shape chain_shape(int rows, int n, int k, uint64_t seed) {
  const DType dtype = kChainTypes[seed / 4 % 2];
  return {rows,          n, k,   dtype, kEpilogues[seed % 4], kActivations[seed / 4 % 5],
          seed % 3 == 0, 1, true};
}

void chains_of_awkward_sizes() {
  with_chain_kernels([](const ChainKernel&) {
    uint64_t seed = 9000;
    const std::vector<int> all = {1, 16, 33, 130, 257, 512}, few = {33, 257};
    for (const int n : {1, 17, 70, 132}) {
      for (const int k : kSanitized ? few : all) {
        ++seed;
        const int rows = std::vector<int>{1, 9, 33, 70, 140}[seed % 5];
        with_schedule(seed, [&] { Product(chain_shape(rows, n, k, seed), seed).check(); });
      }
    }
    // Arrays that whole quads fit, of blocks within the matrix and of its end.
    for (const Epilogue epilogue : kEpilogues) {
      for (const DType dtype : kChainTypes) {
        const Activation activation = kActivations[++seed % 5];
        Product({40, 148, 192, dtype, epilogue, activation, false, 1, true}, seed).check();
      }
    }
    for (const Activation activation : kActivations) {
      Product({11, 68, 64, DType::kBF16, Epilogue::kGate, activation, false, 1, true}, ++seed)
          .check();
    }
  });
  for (const Epilogue epilogue : kEpilogues) {
    for (const int parts : {1, 2}) {
      Product({9, 33, 100, DType::kF16, epilogue, Activation::kRelu, false, parts, true}, 31)
          .check();
      Product({9, 33, 100, DType::kBF16, epilogue, Activation::kRelu, false, parts, true}, 32)
          .check();
    }
  }
}

// Whether the bits of the first kernel are those of the others; warpgroups have one set of bits in
// all shapes of blocks.
void check_bits(DType dtype, Epilogue epilogue) {
  const Shape shape = {300, 136, 300, dtype, epilogue, Activation::kGeluTanh, false, 1, true};
  const Product product(shape, 50 + static_cast<uint64_t>(epilogue));
  std::vector<float> tiles, warpgroups;
  with_chain_kernels([&](const ChainKernel& kernel) {
    std::vector<float>& first = kernel.form == ChainForm::kPortable ? tiles : warpgroups;
    if (first.empty()) first = product.run(0, 300, 300);
    const auto compare = [&](int begin, int count, int max_rows) {
      const std::vector<float> got = product.run(begin, count, max_rows);
      for (int r = begin; r < begin + count; ++r) {
        CHECK(same_bits(&got[product.place(r, 0)], &first[product.place(r, 0)], 136), kernel.name,
              " ", dtype_name(dtype), " epilogue ", static_cast<int>(epilogue), " row ", r, " of ",
              count, " planned for ", max_rows);
      }
    };
    compare(0, 300, 2048);
    compare(0, 200, 200);
    compare(100, 64, 64);
    compare(60, 33, 40);
    compare(11, 8, 8);
    compare(299, 1, 1);
  });
  product.check();
  if (warpgroups.empty()) return;
  std::printf("%s, epilogue %d: chains of warpgroups have %s bits as tiles\n", dtype_name(dtype),
              static_cast<int>(epilogue), same_bits(tiles, warpgroups) ? "the same" : "other");
}

void a_chain_has_the_same_bits_in_any_pass() {
  for (const DType dtype : kChainTypes) {
    for (const Epilogue epilogue : {Epilogue::kAdd, Epilogue::kGate}) {
      const bool gated = epilogue == Epilogue::kGate;
      if (kSanitized && gated != (dtype == DType::kBF16)) continue;
      check_bits(dtype, epilogue);
    }
  }
}

void schedules_do_not_matter() {
  for (const DType dtype : kChainTypes) {
    const Epilogue epilogue = dtype == DType::kBF16 ? Epilogue::kGate : Epilogue::kAdd;
    const Product product({40, 70, 150, dtype, epilogue, Activation::kGelu, false, 1, true}, 4);
    with_chain_kernels([&](const ChainKernel& kernel) {
      same_in_every_schedule(kernel.name, [&] { return product.run(0, 40, 40); });
    });
  }
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(argc, argv,
                   {CASE(chains_of_awkward_sizes), CASE(a_chain_has_the_same_bits_in_any_pass),
                    CASE(schedules_do_not_matter)});
}
