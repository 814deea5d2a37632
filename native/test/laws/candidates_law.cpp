#include "test/laws/candidates_law.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace speccascade::laws {

namespace {

constexpr size_t kMaxTokens = 16;

// Sum of the row over the tokens of each set, sets numbered by their bits.
std::vector<double> set_masses(const std::vector<double>& row) {
  std::vector<double> masses(size_t{1} << row.size());
  for (size_t v = 0; v < row.size(); ++v) {
    const size_t bit = size_t{1} << v;
    for (size_t set = 0; set < bit; ++set) masses[set | bit] = masses[set] + row[v];
  }
  return masses;
}

// P(the candidates drawn without replacement are exactly this set).
std::vector<double> drawn_sets(const std::vector<double>& row, int k) {
  const std::vector<double> masses = set_masses(row);
  const double whole = masses.back();
  std::vector<double> chance(masses.size());
  chance[0] = 1.0;
  std::vector<double> final(masses.size());
  for (size_t set = 0; set < chance.size(); ++set) {
    const bool complete = __builtin_popcountll(set) == k;
    bool extended = false;
    for (size_t v = 0; v < row.size() && !complete; ++v) {
      const size_t bit = size_t{1} << v;
      if ((set & bit) != 0 || !(row[v] > 0.0)) continue;
      extended = true;
      chance[set | bit] += chance[set] * row[v] / (whole - masses[set]);
    }
    if (!extended) final[set] = chance[set];
  }
  return final;
}

// For each set, the sum of `values` over its subsets.
std::vector<double> subset_sums(std::vector<double> values, size_t tokens) {
  for (size_t v = 0; v < tokens; ++v) {
    const size_t bit = size_t{1} << v;
    for (size_t set = 0; set < values.size(); ++set) {
      if ((set & bit) != 0) values[set] += values[set ^ bit];
    }
  }
  return values;
}

}  // namespace

double candidate_bound(const std::vector<double>& wanted, const std::vector<double>& drafter,
                       Siblings siblings, int k) {
  if (wanted.size() > kMaxTokens) return std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> pi = set_masses(wanted);
  std::vector<double> inside;
  if (siblings == Siblings::kWithoutReplacement) {
    inside = subset_sums(drawn_sets(drafter, k), wanted.size());
  } else {
    inside = set_masses(drafter);
    for (double& mass : inside) mass = std::pow(mass, k);
  }
  double bound = 1.0;
  for (size_t set = 0; set < pi.size(); ++set) {
    bound = std::min(bound, pi[set] + 1.0 - inside[set]);
  }
  return bound;
}

}  // namespace speccascade::laws
