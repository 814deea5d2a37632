// Twins of the operations: the formulas of the ops' headers in double precision, slow and obvious.
// A twin returns with each value how far a float evaluation of the same formula may be from it,
// for any order of the additions, so that comparisons are sharp and need no tuned tolerance.
#pragma once

#include <cstdint>
#include <vector>

#include "base/dtype.h"
#include "ops/activation.h"

namespace speccascade::test {

struct Twin {
  double value = 0.0;
  double bound = 0.0;
};

// Whether `actual` lies within the twin's bound.
bool agrees(float actual, const Twin& twin);

// A row of integers of 8 bits, every `group` of which share a scale: weights in int8 (one scale,
// packed_matrix.h), and inputs of products with them (kScaleGroup, gemm.h).
struct IntegerRow {
  std::vector<int> values;
  std::vector<float> scales;
  int group = 0;
  double at(size_t i) const {
    return static_cast<double>(scales[i / static_cast<size_t>(group)]) * values[i];
  }
};
IntegerRow integer_row(const float* x, int count, int group);
// The product of inputs x and weights w, which have one scale.
Twin integer_dot_twin(const IntegerRow& x, const IntegerRow& w);

// `weights`, rows of `columns`, as a matrix of `dtype` holds them (columns matter to int8 alone).
std::vector<float> rounded_to(DType dtype, const std::vector<float>& weights, int columns = 0);

// sum_i a[i] b[i]
Twin dot_twin(const float* a, const float* b, int count);
Twin sum_twin(Twin a, Twin b);
Twin product_twin(Twin a, Twin b);

// activation.h; the input may itself be off by its bound.
Twin activation_twin(Activation activation, Twin x);

// rms_norm.h, one row.
std::vector<Twin> rms_norm_twin(const float* x, const std::vector<float>& weight, double epsilon,
                                double scale);

// attention.h, one head of one row: softmax_j(query . key_j + bias_j) value_j.
struct AttentionInput {
  const float* query;
  std::vector<const float*> keys;
  std::vector<const float*> values;
  std::vector<float> bias;
  // What more the terms of scores and of the sum over values may be off by, relatively.
  double score_rounding = 0.0, term_rounding = 0.0;
};
std::vector<Twin> attention_twin(const AttentionInput& input, int head_dim);

// relative_bias.h. `edge` is how far the logarithm is from the next bucket's edge; 1 where the
// bucket does not come from a logarithm.
int relative_bucket_twin(int distance, bool bidirectional, int num_buckets, int max_distance,
                         double* edge);

// sampling.h: the distribution of one row, `masked` tokens excepted.
struct DistributionTwin {
  int best = -1;  // -1: no token left
  std::vector<double> probs;
  double log_sum = 0.0;  // of the row before masking
  // How near the nucleus' mass is to its threshold: below a tolerance another token may belong.
  double nucleus_margin = 1.0;
};
DistributionTwin distribution_twin(const std::vector<float>& logits,
                                   const std::vector<bool>& masked, double temperature, int top_k,
                                   double top_p);

}  // namespace speccascade::test
