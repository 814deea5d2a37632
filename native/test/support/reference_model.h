// The whole T5 forward pass in double precision, read off the architecture and not off our code:
// one matrix per projection, one loop per sum, no caches. The twin of encoder and decoder passes.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "ops/gemm.h"
#include "test/support/checkpoint_files.h"

namespace speccascade::test {

using DoubleRows = std::vector<std::vector<double>>;

// Inputs of products, and what the products of a row are multiplied by.
struct NormedRows {
  DoubleRows rows;
  std::vector<double> factors;
};

// How products take their inputs: as gemm.h says or as ops_cuda.h does, which multiplies the sums
// by a norm's factor, not the inputs.
enum class InputRounding { kCpu, kCuda };

class ReferenceModel {
 public:
  // Matrices are rounded to `dtype`; norms and relative biases are not.
  ReferenceModel(const T5Config& config, const std::vector<Tensor>& tensors, DType dtype,
                 InputRounding rounding);

  // Whether inputs of products are rounded as well (gemm.h): a value next to a rounding edge may
  // then fall on the other side than the model's own, so that only whole rows compare.
  bool rounds_inputs() const {
    return dtype_ == DType::kInt8 || (dtype_ == DType::kBF16 && rounds_bf16_);
  }
  // The same of the decoder's keys and values.
  bool rounds_caches() const {
    const bool on_cuda = rounding_ == InputRounding::kCuda;
    return dtype_ == DType::kBF16 || (dtype_ == DType::kInt8 && on_cuda);
  }

  DoubleRows encode(const std::vector<int32_t>& ids) const;
  // Logits after each decoder token.
  DoubleRows logits(const std::vector<int32_t>& ids, const std::vector<int32_t>& decoder_ids) const;

 private:
  const std::vector<float>& tensor(const std::string& name) const;
  DoubleRows embed(const std::vector<int32_t>& ids) const;
  DoubleRows norm(const DoubleRows& x, const std::string& name) const;
  NormedRows divided_norm(const DoubleRows& x, const std::string& name) const;
  NormedRows norm_for_products(const DoubleRows& x, const std::string& name) const;
  static NormedRows as_they_stand(const DoubleRows& rows);
  static bool is_table(const std::string& name);
  DType type_of(const std::string& name, int columns) const;
  std::vector<double> product_input(const std::string& name, const std::vector<double>& row) const;
  // x times the transposed [n, k] matrix of that name.
  DoubleRows project(const NormedRows& x, const std::string& name) const;
  DoubleRows cached(DoubleRows keys_or_values, const std::string& layer) const;
  void add_attention(DoubleRows& x, const DoubleRows* states, const std::string& layer,
                     const std::string& kind, const std::string& bias_name) const;
  void add_feed_forward(DoubleRows& x, const std::string& layer) const;
  // Learned bias of head h for a key `distance` after the query.
  double bias(const std::string& name, int head, int distance, bool bidirectional) const;

  T5Config config_;
  DType dtype_;
  InputRounding rounding_;
  bool rounds_bf16_;
  std::map<std::string, std::vector<float>> tensors_;
};

}  // namespace speccascade::test
