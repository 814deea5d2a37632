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

// For each set, P(all candidates are in it).
std::vector<double> chances_inside(const CandidateSource& source) {
  const size_t tokens = source.wanted.size();
  if (source.siblings == Siblings::kWithoutReplacement) {
    return subset_sums(drawn_sets(source.drafter, source.k), tokens);
  }
  std::vector<double> inside = set_masses(source.drafter);
  for (double& mass : inside) mass = std::pow(mass, source.k);
  return inside;
}

// pi of the candidates, each token counted once.
double mass_of(std::vector<int32_t> tokens, const std::vector<double>& wanted) {
  std::sort(tokens.begin(), tokens.end());
  tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
  double mass = 0.0;
  for (const int32_t token : tokens) mass += wanted[static_cast<size_t>(token)];
  return mass;
}

}  // namespace

double candidate_bound(const CandidateSource& source) {
  if (source.siblings == Siblings::kFixed) {
    return std::min(1.0, mass_of(source.fixed, source.wanted));
  }
  if (source.siblings == Siblings::kGiven || source.wanted.size() > kMaxTokens) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  const std::vector<double> pi = set_masses(source.wanted);
  const std::vector<double> inside = chances_inside(source);
  double bound = 1.0;
  for (size_t set = 0; set < pi.size(); ++set) {
    bound = std::min(bound, pi[set] + 1.0 - inside[set]);
  }
  return bound;
}

}  // namespace speccascade::laws
