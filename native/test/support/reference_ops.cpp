#include "test/support/reference_ops.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "test/support/tolerances.h"

namespace speccascade::test {

bool agrees(float actual, const Twin& twin) {
  const double value = actual;
  return value == twin.value || std::fabs(value - twin.value) <= twin.bound;
}

IntegerRow integer_row(const float* x, int count, int group) {
  IntegerRow row;
  row.group = group;
  for (int begin = 0; begin < count; begin += group) {
    const int end = std::min(begin + group, count);
    float largest = 0.0f;
    for (int i = begin; i < end; ++i) largest = std::max(largest, std::fabs(x[i]));
    // The kernels' own float arithmetic: which integer a value near a half becomes depends on it.
    const float inverse = largest > 1e-30f ? 127.0f / largest : 0.0f;
    for (int i = begin; i < end; ++i) {
      row.values.push_back(static_cast<int>(std::nearbyint(x[i] * inverse)));
    }
    row.scales.push_back(inverse > 0.0f ? largest / 127.0f : 0.0f);
  }
  return row;
}

std::vector<float> rounded_to(DType dtype, const std::vector<float>& weights, int columns) {
  std::vector<float> rounded = weights;
  if (dtype == DType::kBF16) {
    for (float& w : rounded) w = bf16_to_float(float_to_bf16(w));
  } else if (dtype == DType::kInt8) {
    for (size_t at = 0; at < rounded.size(); at += static_cast<size_t>(columns)) {
      const IntegerRow row = integer_row(weights.data() + at, columns, columns);
      for (size_t i = 0; i < row.values.size(); ++i) {
        rounded[at + i] = row.scales[0] * static_cast<float>(row.values[i]);
      }
    }
  }
  return rounded;
}

Twin integer_dot_twin(const IntegerRow& x, const IntegerRow& w) {
  double sum = 0.0, magnitude = 0.0;
  for (size_t group = 0; group < x.scales.size(); ++group) {
    const size_t begin = group * static_cast<size_t>(x.group);
    const size_t end = std::min(begin + static_cast<size_t>(x.group), x.values.size());
    int64_t product = 0;  // exact, as the kernels' own
    for (size_t i = begin; i < end; ++i) product += x.values[i] * w.values[i];
    const double term = static_cast<double>(x.scales[group]) * static_cast<double>(product);
    sum += term;
    magnitude += std::fabs(term);
  }
  const double scale = w.scales.empty() ? 0.0 : static_cast<double>(w.scales[0]);
  const double roundings = static_cast<double>(x.scales.size()) + 3.0;
  return {sum * scale, roundings * kUnit * scale * magnitude};
}

// Each of n additions rounds, and each product: (n + 1) units of the sum of magnitudes.
Twin dot_twin(const float* a, const float* b, int count) {
  double sum = 0.0, magnitude = 0.0;
  for (int i = 0; i < count; ++i) {
    const double term = static_cast<double>(a[i]) * static_cast<double>(b[i]);
    sum += term;
    magnitude += std::fabs(term);
  }
  return {sum, (count + 2) * kUnit * magnitude};
}

Twin sum_twin(Twin a, Twin b) {
  const double value = a.value + b.value;
  const double bound = a.bound + b.bound;
  return {value, bound + kUnit * (std::fabs(value) + bound)};
}

Twin product_twin(Twin a, Twin b) {
  const double value = a.value * b.value;
  const double bound =
      std::fabs(a.value) * b.bound + std::fabs(b.value) * a.bound + a.bound * b.bound;
  return {value, bound + kUnit * (std::fabs(value) + bound)};
}

Twin activation_twin(Activation activation, Twin input) {
  const double x = input.value;
  constexpr double kRootHalf = 0.70710678118654752440;
  constexpr double kRootTwoOverPi = 0.79788456080286535588;
  double value = 0.0;
  switch (activation) {
    case Activation::kNone:
      return input;
    case Activation::kRelu:
      return {x > 0 ? x : 0.0, input.bound};
    case Activation::kGelu:
      value = 0.5 * x * (1.0 + std::erf(x * kRootHalf));
      break;
    case Activation::kGeluTanh:
      value = 0.5 * x * (1.0 + std::tanh(kRootTwoOverPi * (x + 0.044715 * x * x * x)));
      break;
    case Activation::kSilu:
      value = x / (1.0 + std::exp(-x));
      break;
  }
  // No slope of these functions exceeds 1.13.
  return {value, 1.13 * input.bound + kActivation * std::fabs(x)};
}

std::vector<Twin> rms_norm_twin(const float* x, const std::vector<float>& weight, double epsilon,
                                double scale) {
  const int width = static_cast<int>(weight.size());
  double squares = 0.0;
  for (int i = 0; i < width; ++i) squares += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  const double factor = 1.0 / std::sqrt(squares / width + epsilon);
  std::vector<Twin> out;
  for (int i = 0; i < width; ++i) {
    const double value = static_cast<double>(x[i]) * factor *
                         static_cast<double>(weight[static_cast<size_t>(i)]) * scale;
    // The sum of squares is off by width + 2 units, its root by half of that.
    out.push_back({value, std::fabs(value) * (0.5 * (width + 2) + 8) * kUnit});
  }
  return out;
}

std::vector<Twin> attention_twin(const AttentionInput& input, int head_dim) {
  const size_t keys = input.keys.size();
  std::vector<double> scores(keys);
  double max_score = -std::numeric_limits<double>::infinity(), score_error = 0.0;
  for (size_t j = 0; j < keys; ++j) {
    Twin score = dot_twin(input.query, input.keys[j], head_dim);
    if (!input.bias.empty()) score = sum_twin(score, {static_cast<double>(input.bias[j]), 0.0});
    double magnitude = input.bias.empty() ? 0.0 : std::fabs(input.bias[j]);
    for (int d = 0; d < head_dim; ++d) magnitude += std::fabs(input.query[d] * input.keys[j][d]);
    score.bound += input.score_rounding * magnitude;
    scores[j] = score.value;
    max_score = std::max(max_score, score.value);
    score_error = std::max(score_error, score.bound);
  }
  double total = 0.0, spread = 0.0;
  for (double& score : scores) {
    // The difference to the maximum rounds; where it is large its weight is small.
    spread = std::max(spread, (max_score - score) * std::exp(score - max_score));
    score = std::exp(score - max_score);
    total += score;
  }
  // A score's error moves its own weight and the sum of all.
  const double weight_error =
      4 * score_error + kExp + (4 * spread + static_cast<double>(keys) + 8) * kUnit;
  std::vector<Twin> out;
  for (int d = 0; d < head_dim; ++d) {
    double sum = 0.0, magnitude = 0.0;
    for (size_t j = 0; j < keys; ++j) {
      const double term = scores[j] / total * static_cast<double>(input.values[j][d]);
      sum += term;
      magnitude += std::fabs(term);
    }
    const double error = weight_error + static_cast<double>(keys) * kUnit + input.term_rounding;
    out.push_back({sum, error * magnitude + 1e-30});
  }
  return out;
}

int relative_bucket_twin(int distance, bool bidirectional, int num_buckets, int max_distance,
                         double* edge) {
  *edge = 1.0;
  int buckets = num_buckets;
  int first = 0;
  if (bidirectional) {
    buckets = num_buckets / 2;
    if (distance > 0) first = buckets;
  }
  const int away = bidirectional ? std::abs(distance) : std::max(0, -distance);
  const int exact = buckets / 2;
  if (away < exact) return first + away;
  const double place = std::log(static_cast<double>(away) / exact) /
                       std::log(static_cast<double>(max_distance) / exact) * (buckets - exact);
  *edge = std::fabs(place - std::round(place));
  const int bucket = exact + static_cast<int>(std::floor(place));
  if (bucket >= buckets) *edge = std::max(*edge, place - (buckets - exact));
  return first + std::min(bucket, buckets - 1);
}

namespace {

// The tokens that top-k and top-p keep, of those with mass.
std::vector<int> kept_tokens(const std::vector<double>& probs, int top_k, double top_p,
                             double* margin) {
  std::vector<int> order;
  for (size_t v = 0; v < probs.size(); ++v) {
    if (probs[v] > 0) order.push_back(static_cast<int>(v));
  }
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    return probs[static_cast<size_t>(a)] > probs[static_cast<size_t>(b)];
  });
  if (top_k > 0 && static_cast<size_t>(top_k) < order.size()) {
    order.resize(static_cast<size_t>(top_k));
  }
  if (!(top_p < 1)) return order;
  double total = 0.0, mass = 0.0;
  for (const int v : order) total += probs[static_cast<size_t>(v)];
  size_t kept = 0;
  while (kept < order.size()) {
    mass += probs[static_cast<size_t>(order[kept++])];
    *margin = std::min(*margin, std::fabs(mass / total - top_p));
    if (mass >= top_p * total) break;
  }
  order.resize(kept);
  return order;
}

}  // namespace

DistributionTwin distribution_twin(const std::vector<float>& logits,
                                   const std::vector<bool>& masked, double temperature, int top_k,
                                   double top_p) {
  DistributionTwin twin;
  const size_t count = logits.size();
  twin.probs.assign(count, 0.0);
  double top = -std::numeric_limits<double>::infinity();
  for (const float logit : logits) top = std::max(top, static_cast<double>(logit));
  double sum = 0.0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - top);
  twin.log_sum = top + std::log(sum);
  for (size_t v = 0; v < count; ++v) {
    if (masked[v] || std::isinf(logits[v])) continue;
    if (twin.best < 0 || logits[v] > logits[static_cast<size_t>(twin.best)]) {
      twin.best = static_cast<int>(v);
    }
  }
  if (twin.best < 0) return twin;
  if (temperature == 0.0) {
    twin.probs[static_cast<size_t>(twin.best)] = 1.0;
    return twin;
  }
  const double max = static_cast<double>(logits[static_cast<size_t>(twin.best)]);
  for (size_t v = 0; v < count; ++v) {
    if (!masked[v]) twin.probs[v] = std::exp((static_cast<double>(logits[v]) - max) / temperature);
  }
  std::vector<double> kept(count, 0.0);
  double mass = 0.0;
  for (const int v : kept_tokens(twin.probs, top_k, top_p, &twin.nucleus_margin)) {
    kept[static_cast<size_t>(v)] = twin.probs[static_cast<size_t>(v)];
    mass += kept[static_cast<size_t>(v)];
  }
  for (double& p : kept) p /= mass;
  twin.probs = kept;
  return twin;
}

}  // namespace speccascade::test
