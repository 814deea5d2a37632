// The claim of chain verification, exactly: blocks emitted by a step, continued by ancestral
// sampling from the wanted rows, have the law of ancestral sampling from the start. Checked by
// enumeration for every sequence, in double and in float, for token-wise and block verification.
#include "decode/accept_chain.h"

#include <algorithm>

#include "decode/accept_tree.h"
#include "decode/kseq.h"
#include "test/check.h"
#include "test/support/chain_law.h"
#include "test/support/tolerances.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

// Adds what a sequence gains of the blocks that end on its way, and compares at its end.
class LawCheck {
 public:
  LawCheck(const ChainSetup& setup, const ChainLaw& law, double tolerance)
      : setup_(setup), law_(law), tolerance_(tolerance) {}

  void run() {
    CHECK_NEAR(law_.total, 1.0, tolerance_);
    Prefix prefix;
    visit(prefix, 0.0, 1.0);
    CHECK_NEAR(covered_, 1.0, tolerance_);
  }

 private:
  // `reached`: probability that this prefix was emitted, its last token by continuation or as
  // the end of a block. `expected`: under ancestral sampling.
  void visit(Prefix& prefix, double reached, double expected) {
    const auto block = law_.blocks.find(prefix);
    if (block != law_.blocks.end()) reached += block->second;
    const bool ended = !prefix.empty() && prefix.back() == setup_.end_token;
    if (ended || static_cast<int>(prefix.size()) == setup_.gamma + 1) {
      CHECK_NEAR(reached, expected, tolerance_, "sequence of ", prefix.size(), " tokens, first ",
                 prefix[0]);
      covered_ += reached;
      return;
    }
    const Row row = setup_.wanted(prefix);
    for (int v = 0; v < setup_.vocabulary; ++v) {
      const double p = row[static_cast<size_t>(v)];
      prefix.push_back(v);
      visit(prefix, reached * p, expected * p);
      prefix.pop_back();
    }
  }

  const ChainSetup& setup_;
  const ChainLaw& law_;
  double tolerance_;
  double covered_ = 0.0;
};

// P(accept) at a tested position is sum min(pi, q), whatever came before.
void check_acceptance(const ChainSetup& setup, const ChainLaw& law, double tolerance) {
  for (const auto& [prefix, tested] : law.tested) {
    const Row wanted = setup.wanted(prefix), drafter = setup.drafter(prefix);
    double rate = 0.0;
    for (size_t v = 0; v < wanted.size(); ++v) rate += std::min(wanted[v], drafter[v]);
    const auto accepted = law.accepted.find(prefix);
    CHECK_NEAR(accepted == law.accepted.end() ? 0.0 : accepted->second, rate * tested, tolerance,
               "after ", prefix.size(), " tokens");
  }
}

enum class Family { kPlain, kZeros, kEqual, kDisjoint, kNear };
constexpr Family kExactFamilies[] = {Family::kPlain, Family::kZeros, Family::kEqual,
                                     Family::kDisjoint};

// A number that depends on the prefix, for choosing what kind of rows follow it.
uint32_t digest(const Prefix& prefix, uint32_t salt) {
  uint32_t hash = 2166136261u + salt * 40503u;
  for (const int token : prefix) hash = (hash ^ static_cast<uint32_t>(token + 1)) * 16777619u;
  return hash ^ (hash >> 15);
}

// Keeps the tokens whose bit is set in `kept`, at least one.
Row restricted(Row row, uint32_t kept) {
  if ((kept & ((1u << row.size()) - 1u)) == 0) kept = 1;
  for (size_t v = 0; v < row.size(); ++v) {
    if ((kept >> v & 1u) == 0) row[v] = 0.0;
  }
  return normalised(row);
}

Row row_of(const RowGenerator& models, Family family, double temperature, int model,
           const Prefix& prefix) {
  const uint32_t hash = digest(prefix, models.seed);
  const bool target = model == 0;
  const Row row = softmax_row(models.logits(model, prefix), temperature);
  switch (family) {
    case Family::kPlain:
      return row;
    case Family::kZeros:
      return restricted(row, digest(prefix, target ? 11 : 22) >> 7);
    case Family::kEqual:
      return hash % 2 ? softmax_row(models.logits(0, prefix), temperature) : row;
    case Family::kDisjoint:
      return hash % 3 ? row : restricted(row, target ? 0x2a : 0x15);
    case Family::kNear: {
      // Equal but for a little: residuals of about 1e-4 of the mass.
      Row base = softmax_row(models.logits(0, prefix), temperature);
      for (size_t v = 0; v < base.size(); ++v) base[v] += target ? 0.0 : 1e-4 * row[v];
      return normalised(base);
    }
  }
  return row;
}

ChainSetup setup_for(const RowGenerator& models, Family family, double temperature, int gamma,
                     int end_token) {
  return {models.vocabulary, gamma,
          [=](const Prefix& prefix) { return row_of(models, family, temperature, 0, prefix); },
          [=](const Prefix& prefix) { return row_of(models, family, temperature, 1, prefix); },
          end_token};
}

template <size_t N, typename Body>
void for_each_setup(const Family (&families)[N], const Body& body) {
  uint32_t seed = 100;
  for (int vocabulary = 3; vocabulary <= 6; ++vocabulary) {
    for (int gamma = 1; gamma <= 4; ++gamma) {
      if (vocabulary == 6 && gamma == 4) continue;  // as many runs as all others together
      for (const Family family : families) {
        for (const int end_token : {-1, vocabulary - 1}) {
          const double temperatures[] = {1.0, 0.5, 1.4, 2.0};
          const RowGenerator models = {++seed, vocabulary, 3.0, {2.0}};
          body(setup_for(models, family, temperatures[seed % 4], gamma, end_token));
        }
      }
    }
  }
}

void token_wise_law_in_double() {
  for_each_setup(kExactFamilies, [](const ChainSetup& setup) {
    const ChainLaw law = chain_law<double>(Verifier::kToken, setup);
    LawCheck(setup, law, kLawDouble).run();
    check_acceptance(setup, law, kLawDouble);
  });
}

void token_wise_law_in_float() {
  for_each_setup(kExactFamilies, [](const ChainSetup& setup) {
    const ChainLaw law = chain_law<float>(Verifier::kToken, setup);
    LawCheck(setup, law, kLawFloat).run();
    check_acceptance(setup, law, kLawFloat);
  });
}

void block_law_in_double() {
  for_each_setup(kExactFamilies, [](const ChainSetup& setup) {
    LawCheck(setup, chain_law<double>(Verifier::kBlock, setup), kLawDouble).run();
  });
}

void block_law_in_float() {
  for_each_setup(kExactFamilies, [](const ChainSetup& setup) {
    LawCheck(setup, chain_law<float>(Verifier::kBlock, setup), kLawFloat).run();
  });
}

// Rows that differ by little. In float, residuals below kEmptyResidual are replaced by the wanted
// row, at a cost of at most that mass at each position; in double the limit is far below.
void nearly_equal_rows() {
  constexpr Family kNear[] = {Family::kNear};
  for_each_setup(kNear, [](const ChainSetup& setup) {
    const double noise = setup.gamma * kEmptyResidual;
    for (const Verifier verifier : {Verifier::kToken, Verifier::kBlock}) {
      LawCheck(setup, chain_law<double>(verifier, setup), kLawDouble).run();
      LawCheck(setup, chain_law<float>(verifier, setup), noise + kLawFloat).run();
    }
  });
}

double mean_length(const ChainLaw& law) {
  double mean = 0.0;
  for (const auto& [block, p] : law.blocks) mean += p * static_cast<double>(block.size());
  return mean;
}

void blocks_are_never_shorter_on_average() {
  for_each_setup(kExactFamilies, [](const ChainSetup& setup) {
    const double token = mean_length(chain_law<double>(Verifier::kToken, setup));
    const double block = mean_length(chain_law<double>(Verifier::kBlock, setup));
    CHECK(block >= token - kLawDouble, block, " < ", token);
  });
}

// Equal rows: everything drafted is kept, one token follows.
void equal_rows_accept_everything() {
  const RowGenerator models = {5, 5, 3.0, {0.0}};
  const ChainSetup setup = setup_for(models, Family::kPlain, 1.0, 3, -1);
  for (const Verifier verifier : {Verifier::kToken, Verifier::kBlock}) {
    for (const auto& [block, p] : chain_law<double>(verifier, setup).blocks) {
      CHECK(block.size() == 4, block.size(), " tokens with probability ", p);
    }
  }
}

// Rows without a common token: nothing drafted is ever kept, and no impossible token comes out.
void disjoint_rows_accept_nothing() {
  const ChainSetup setup = {6, 2, [](const Prefix&) { return Row{0, .5, 0, .25, 0, .25}; },
                            [](const Prefix&) { return Row{.5, 0, .25, 0, .25, 0}; }};
  const ChainLaw law = chain_law<double>(Verifier::kToken, setup);
  CHECK(law.accepted.empty());
  for (const auto& [block, p] : law.blocks) {
    CHECK(block.size() == 1 && block[0] % 2 == 1, "token ", block[0], " with probability ", p);
  }
}

// Rejects what is drafted, and keeps what the token after it is drawn from.
template <typename Real>
struct RejectThenDraw {
  bool accept(Real, int) { return false; }
  int draw(const Real* weights, int count, Real total, int) {
    drawn.assign(weights, weights + count);
    mass = static_cast<double>(total);
    return 0;
  }
  std::vector<Real> drawn;
  double mass = 0.0;
};

// A residual of rounding noise is not drawn from: the draw is from the wanted row itself. Here and
// in verification of trees, by the same limit.
template <typename Real>
void reject_with_difference(double difference) {
  using Math = RowMath<Real>;
  const std::vector<Real> wanted = {Real(0.25), Real(0.25), Real(0.5)};
  const std::vector<Real> drafter = {static_cast<Real>(0.25 + difference),
                                     static_cast<Real>(0.25 - difference), Real(0.5)};
  CHECK(drafter[0] > wanted[0], "the rows must differ");
  const int32_t token = 0, parent = -1;
  int32_t path = 0;
  std::vector<Real> scratch(3), proposal(3);
  const auto pi = [&](int) { return wanted.data(); };
  const auto drawn_from = [&](int) { return drafter.data(); };
  const auto is_end = [](int32_t) { return false; };
  RejectThenDraw<Real> of_chain, of_tree, of_fixed, of_kseq;
  accept_chain<Math>(1, &token, 3, pi, drawn_from, scratch.data(), is_end, of_chain);
  accept_tree<Math>({1, &parent, &token, Siblings::kWithReplacement}, 3, pi, drawn_from, drawn_from,
                    scratch.data(), proposal.data(), is_end, of_tree, &path);
  accept_kseq<Math>(1, &token, 3, wanted.data(), drafter.data(), scratch.data(), of_kseq);
  // Chosen without chance, what remains is all but the token.
  const std::vector<Real> certain = {Real(1), static_cast<Real>(difference), Real(0)};
  const auto almost = [&](int) { return certain.data(); };
  accept_tree<Math>({1, &parent, &token, Siblings::kFixed}, 3, almost, almost, almost,
                    scratch.data(), proposal.data(), is_end, of_fixed, &path);
  CHECK(of_fixed.drawn == certain);
  for (const RejectThenDraw<Real>* each : {&of_chain, &of_tree, &of_kseq}) {
    CHECK(each->drawn == wanted);
    CHECK_NEAR(each->mass, 1.0, kLawDouble);
  }
}

void rounding_noise_is_not_amplified() {
  reject_with_difference<float>(1e-7);
  reject_with_difference<double>(1e-13);
}

// One-hot rows: what the target says, as far as the draft says the same, and a token more.
void one_hot_rows_are_greedy() {
  for (uint32_t seed = 1; seed <= 40; ++seed) {
    const RowGenerator models = {seed, 4, 3.0, {1.5}};
    const ChainSetup setup = setup_for(models, Family::kPlain, 0.0, 4, seed % 2 ? -1 : 3);
    std::vector<int32_t> draft, best;
    Prefix prefix;
    for (int i = 0; i <= setup.gamma; ++i) {
      const Row p = setup.wanted(prefix), q = setup.drafter(prefix);
      best.push_back(static_cast<int32_t>(std::max_element(p.begin(), p.end()) - p.begin()));
      if (i == setup.gamma) break;
      draft.push_back(static_cast<int32_t>(std::max_element(q.begin(), q.end()) - q.begin()));
      prefix.push_back(draft.back());
      if (draft.back() == setup.end_token) break;
    }
    Prefix block;
    for (size_t i = 0; i < best.size(); ++i) {
      block.push_back(best[i]);
      if (i == draft.size() || draft[i] != best[i]) break;
    }
    for (const Verifier verifier : {Verifier::kToken, Verifier::kBlock}) {
      const ChainLaw law = chain_law<double>(verifier, setup);
      CHECK(law.blocks.size() == 1 && law.blocks.begin()->first == block, "seed ", seed);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(
      argc, argv,
      {CASE(token_wise_law_in_double), CASE(token_wise_law_in_float), CASE(block_law_in_double),
       CASE(block_law_in_float), CASE(nearly_equal_rows), CASE(blocks_are_never_shorter_on_average),
       CASE(equal_rows_accept_everything), CASE(disjoint_rows_accept_nothing),
       CASE(rounding_noise_is_not_amplified), CASE(one_hot_rows_are_greedy)});
}
