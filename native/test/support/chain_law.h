// The exact law of one step of chain speculation over models given as rows after any prefix: every
// draft, every outcome of every test, every final draw, each with its probability.
#pragma once

#include <functional>
#include <map>

#include "decode/accept_block.h"
#include "decode/accept_chain.h"
#include "ops/row_math.h"
#include "test/support/enumeration.h"
#include "test/support/row_generator.h"

namespace speccascade::test {

using RowFunction = std::function<Row(const Prefix&)>;

enum class Verifier { kToken, kBlock };

struct ChainSetup {
  int vocabulary;
  int gamma;
  RowFunction wanted;   // the distribution that tokens shall have after a prefix
  RowFunction drafter;  // what drafts are drawn from
  int end_token = -1;   // ends the sequence; -1: none does
};

struct ChainLaw {
  double total = 0.0;                 // of all runs
  std::map<Prefix, double> blocks;    // probability of each emitted block
  std::map<Prefix, double> tested;    // probability that the token after a draft's prefix is tested
  std::map<Prefix, double> accepted;  // and accepted
};

// Rows in the arithmetic under test, computed once per prefix.
template <typename Real>
class RowCache {
 public:
  explicit RowCache(const RowFunction& rows) : rows_(rows) {}

  const std::vector<Real>& at(const Prefix& prefix) {
    const auto found = known_.find(prefix);
    if (found != known_.end()) return found->second;
    const Row row = rows_(prefix);
    return known_.emplace(prefix, std::vector<Real>(row.begin(), row.end())).first->second;
  }

 private:
  const RowFunction& rows_;
  std::map<Prefix, std::vector<Real>> known_;
};

template <typename Real>
ChainOutcome accept_with(Verifier verifier, const ChainSetup& setup,
                         const std::vector<int32_t>& draft, RowCache<Real>& wanted,
                         RowCache<Real>& drafter, Enumeration& choices) {
  const auto prefix = [&](int i) { return Prefix(draft.begin(), draft.begin() + i); };
  const auto pi = [&](int i) { return wanted.at(prefix(i)).data(); };
  const auto q = [&](int i) { return drafter.at(prefix(i)).data(); };
  const auto ends = [&](int32_t token) { return token == setup.end_token; };
  std::vector<Real> scratch(static_cast<size_t>(setup.vocabulary));
  const int drafted = static_cast<int>(draft.size());
  return verifier == Verifier::kToken
             ? accept_chain<RowMath<Real>>(drafted, draft.data(), setup.vocabulary, pi, q,
                                           scratch.data(), ends, choices)
             : accept_block<RowMath<Real>>(drafted, draft.data(), setup.vocabulary, pi, q,
                                           scratch.data(), ends, choices);
}

template <typename Real>
ChainLaw chain_law(Verifier verifier, const ChainSetup& setup) {
  RowCache<Real> wanted(setup.wanted), drafter(setup.drafter);
  ChainLaw law;
  Enumeration choices;
  while (choices.next_run()) {
    Prefix draft;
    while (static_cast<int>(draft.size()) < setup.gamma &&
           (draft.empty() || draft.back() != setup.end_token)) {
      const std::vector<Real>& row = drafter.at(draft);
      draft.push_back(choices.choose({row.begin(), row.end()}));
    }
    const std::vector<int32_t> tokens(draft.begin(), draft.end());
    const ChainOutcome outcome =
        accept_with<Real>(verifier, setup, tokens, wanted, drafter, choices);
    const double probability = choices.probability();
    law.total += probability;
    for (int i = 0; i < outcome.tested; ++i) {
      const Prefix before(draft.begin(), draft.begin() + i);
      law.tested[before] += probability;
      if (i < outcome.accepted) law.accepted[before] += probability;
    }
    Prefix block(draft.begin(), draft.begin() + outcome.accepted);
    if (outcome.next >= 0) block.push_back(outcome.next);
    law.blocks[block] += probability;
  }
  return law;
}

}  // namespace speccascade::test
