#include "test/support/reference_model.h"

#include <cmath>

#include "ops/relative_bias.h"
#include "test/support/reference_ops.h"

namespace speccascade::test {

ReferenceModel::ReferenceModel(const T5Config& config, const std::vector<Tensor>& tensors,
                               DType dtype, InputRounding rounding)
    : config_(config),
      dtype_(dtype),
      rounding_(rounding),
      rounds_bf16_(rounding == InputRounding::kCuda || gemm_rounds_inputs()) {
  for (const Tensor& tensor : tensors) {
    const bool matrix = tensor.shape.size() == 2 &&
                        tensor.name.find("relative_attention_bias") == std::string::npos;
    const int columns = matrix ? static_cast<int>(tensor.shape[1]) : 0;
    tensors_[tensor.name] =
        matrix ? rounded_to(type_of(tensor.name, columns), tensor.values, columns) : tensor.values;
  }
}

NormedRows ReferenceModel::as_they_stand(const DoubleRows& rows) {
  return {rows, std::vector<double>(rows.size(), 1.0)};
}

bool ReferenceModel::is_table(const std::string& name) {
  return name == "shared.weight" || name == "lm_head.weight";
}

// weights.cpp: in int8 models, tables and narrow matrices are in bf16.
DType ReferenceModel::type_of(const std::string& name, int columns) const {
  return dtype_ == DType::kInt8 && (is_table(name) || columns < 128) ? DType::kBF16 : dtype_;
}

const std::vector<float>& ReferenceModel::tensor(const std::string& name) const {
  return tensors_.at(name);
}

DoubleRows ReferenceModel::embed(const std::vector<int32_t>& ids) const {
  const std::vector<float>& table = tensor("shared.weight");
  DoubleRows rows;
  for (const int32_t id : ids) {
    const auto begin = table.begin() + static_cast<ptrdiff_t>(id) * config_.d_model;
    rows.emplace_back(begin, begin + config_.d_model);
  }
  return rows;
}

DoubleRows ReferenceModel::norm(const DoubleRows& x, const std::string& name) const {
  NormedRows normed = divided_norm(x, name);
  for (size_t r = 0; r < x.size(); ++r) {
    for (double& value : normed.rows[r]) value *= normed.factors[r];
  }
  return normed.rows;
}

NormedRows ReferenceModel::divided_norm(const DoubleRows& x, const std::string& name) const {
  const std::vector<float>& weight = tensor(name + ".weight");
  NormedRows out = {x, {}};
  for (std::vector<double>& row : out.rows) {
    double squares = 0.0;
    for (const double value : row) squares += value * value;
    const double mean = squares / static_cast<double>(row.size());
    out.factors.push_back(1.0 / std::sqrt(mean + static_cast<double>(config_.layer_norm_epsilon)));
    for (size_t i = 0; i < row.size(); ++i) row[i] *= static_cast<double>(weight[i]);
  }
  return out;
}

NormedRows ReferenceModel::norm_for_products(const DoubleRows& x, const std::string& name) const {
  if (rounding_ == InputRounding::kCuda) return divided_norm(x, name);
  return as_they_stand(norm(x, name));
}

std::vector<double> ReferenceModel::product_input(const std::string& name,
                                                  const std::vector<double>& row) const {
  const int columns = static_cast<int>(row.size());
  const std::vector<float> exact(row.begin(), row.end());
  const DType dtype = type_of(name, columns);
  if (dtype == DType::kInt8 && rounding_ == InputRounding::kCpu) {
    const IntegerRow integers = integer_row(exact.data(), columns, kScaleGroup);
    std::vector<double> out;
    for (size_t i = 0; i < row.size(); ++i) out.push_back(integers.at(i));
    return out;
  }
  // Two parts of bf16 are as good as exact here.
  const bool parts = is_table(name) && columns < 128;
  if (dtype == DType::kF32 || !rounds_bf16_ || parts) return row;
  const std::vector<float> rounded = rounded_to(DType::kBF16, exact);
  return {rounded.begin(), rounded.end()};
}

DoubleRows ReferenceModel::project(const NormedRows& x, const std::string& name) const {
  const std::vector<float>& matrix = tensor(name + ".weight");
  DoubleRows out;
  for (size_t r = 0; r < x.rows.size(); ++r) {
    const std::vector<double> row = product_input(name + ".weight", x.rows[r]);
    const size_t k = row.size();
    out.emplace_back(matrix.size() / k, 0.0);
    for (size_t n = 0; n < out.back().size(); ++n) {
      for (size_t i = 0; i < k; ++i) {
        out.back()[n] += row[i] * static_cast<double>(matrix[n * k + i]);
      }
      out.back()[n] *= x.factors[r];
    }
  }
  return out;
}

double ReferenceModel::bias(const std::string& name, int head, int distance,
                            bool bidirectional) const {
  const int bucket =
      relative_bucket(distance, bidirectional, config_.num_buckets, config_.max_distance);
  return static_cast<double>(tensor(name)[static_cast<size_t>(bucket * config_.num_heads + head)]);
}

// As a layer's attention reads them.
DoubleRows ReferenceModel::cached(DoubleRows keys_or_values, const std::string& layer) const {
  if (!rounds_caches() || layer.rfind("decoder", 0) != 0) return keys_or_values;
  for (std::vector<double>& row : keys_or_values) {
    const std::vector<float> rounded = rounded_to(DType::kBF16, {row.begin(), row.end()});
    row.assign(rounded.begin(), rounded.end());
  }
  return keys_or_values;
}

// x += attention of norm(x) over itself, or over `states`. An empty bias name: no bias. Self-
// attention of the decoder sees no later position.
void ReferenceModel::add_attention(DoubleRows& x, const DoubleRows* states,
                                   const std::string& layer, const std::string& kind,
                                   const std::string& bias_name) const {
  const std::string stem = layer + "." + kind;
  const bool causal = layer.rfind("decoder", 0) == 0 && states == nullptr;
  const NormedRows normed = norm_for_products(x, layer + ".layer_norm");
  const NormedRows sources = states ? as_they_stand(*states) : normed;
  const DoubleRows queries = project(normed, stem + ".q");
  const DoubleRows keys = cached(project(sources, stem + ".k"), layer);
  const DoubleRows values = cached(project(sources, stem + ".v"), layer);
  const size_t dim = static_cast<size_t>(config_.d_kv);
  DoubleRows attended(x.size(), std::vector<double>(static_cast<size_t>(config_.inner()), 0.0));
  for (size_t r = 0; r < x.size(); ++r) {
    const size_t visible = causal ? r + 1 : keys.size();
    for (int h = 0; h < config_.num_heads; ++h) {
      const size_t at = static_cast<size_t>(h) * dim;
      std::vector<double> weights(visible, 0.0);
      double total = 0.0;
      for (size_t j = 0; j < visible; ++j) {
        double score = 0.0;
        for (size_t d = 0; d < dim; ++d) score += queries[r][at + d] * keys[j][at + d];
        const int distance = static_cast<int>(j) - static_cast<int>(r);
        if (!bias_name.empty()) score += bias(bias_name, h, distance, !causal);
        weights[j] = std::exp(score);
        total += weights[j];
      }
      for (size_t j = 0; j < visible; ++j) {
        for (size_t d = 0; d < dim; ++d) {
          attended[r][at + d] += weights[j] / total * values[j][at + d];
        }
      }
    }
  }
  const DoubleRows out = project(as_they_stand(attended), stem + ".o");
  for (size_t r = 0; r < x.size(); ++r) {
    for (size_t i = 0; i < x[r].size(); ++i) x[r][i] += out[r][i];
  }
}

void ReferenceModel::add_feed_forward(DoubleRows& x, const std::string& layer) const {
  const NormedRows normed = norm_for_products(x, layer + ".layer_norm");
  const std::string dense = layer + ".DenseReluDense.";
  DoubleRows inner = project(normed, dense + (config_.gated ? "wi_0" : "wi"));
  for (std::vector<double>& row : inner) {
    for (double& value : row) value = activation_twin(config_.activation, {value, 0.0}).value;
  }
  if (config_.gated) {
    const DoubleRows gate = project(normed, dense + "wi_1");
    for (size_t r = 0; r < inner.size(); ++r) {
      for (size_t i = 0; i < inner[r].size(); ++i) inner[r][i] *= gate[r][i];
    }
  }
  const DoubleRows out = project(as_they_stand(inner), dense + "wo");
  for (size_t r = 0; r < x.size(); ++r) {
    for (size_t i = 0; i < x[r].size(); ++i) x[r][i] += out[r][i];
  }
}

DoubleRows ReferenceModel::encode(const std::vector<int32_t>& ids) const {
  DoubleRows x = embed(ids);
  for (int i = 0; i < config_.num_layers; ++i) {
    const std::string block = "encoder.block." + std::to_string(i) + ".layer.";
    const int owner = config_.relative_bias_every_layer ? i : 0;
    add_attention(x, nullptr, block + "0", "SelfAttention",
                  "encoder.block." + std::to_string(owner) +
                      ".layer.0.SelfAttention.relative_attention_bias.weight");
    add_feed_forward(x, block + "1");
  }
  return norm(x, "encoder.final_layer_norm");
}

DoubleRows ReferenceModel::logits(const std::vector<int32_t>& ids,
                                  const std::vector<int32_t>& decoder_ids) const {
  const DoubleRows states = encode(ids);
  DoubleRows x = embed(decoder_ids);
  for (int i = 0; i < config_.num_decoder_layers; ++i) {
    const std::string block = "decoder.block." + std::to_string(i) + ".layer.";
    const int owner = config_.relative_bias_every_layer ? i : 0;
    add_attention(x, nullptr, block + "0", "SelfAttention",
                  "decoder.block." + std::to_string(owner) +
                      ".layer.0.SelfAttention.relative_attention_bias.weight");
    add_attention(x, &states, block + "1", "EncDecAttention", "");
    add_feed_forward(x, block + "2");
  }
  NormedRows last = norm_for_products(x, "decoder.final_layer_norm");
  const double scale = config_.scale_decoder_outputs ? 1.0 / std::sqrt(config_.d_model) : 1.0;
  for (std::vector<double>& row : last.rows) {
    for (double& value : row) value *= scale;
  }
  return project(last, tensors_.count("lm_head.weight") ? "lm_head" : "shared");
}

}  // namespace speccascade::test
