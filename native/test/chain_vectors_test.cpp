// The rule vectors (test/vectors) against the code that the engine runs: softmax with filters, rows
// from the formula, and whole steps of chain verification for every rule, by enumeration and by
// replay of given uniforms.
#include <algorithm>
#include <limits>

#include "base/philox.h"
#include "decode/rules.h"
#include "ops/sampling.h"
#include "test/check.h"
#include "test/support/chain_law.h"
#include "test/support/json.h"
#include "test/support/tolerances.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

template <typename Body>
void for_each_case(const std::string& kind, int at_least, const Body& body) {
  static const Json vectors = Json::read_file("test/vectors/rules.json");
  int count = 0;
  for (const Json& item : vectors["cases"]) {
    if (item["kind"].string() != kind) continue;
    ++count;
    body(item["id"].string(), item["in"], item["out"]);
  }
  CHECK(count >= at_least, count, " cases of kind ", kind);
}

void check_rows(const std::string& id, const Row& actual, const Row& expected, double tolerance) {
  CHECK(actual.size() == expected.size(), id);
  for (size_t v = 0; v < std::min(actual.size(), expected.size()); ++v) {
    CHECK_NEAR(actual[v], expected[v], tolerance, id, " entry ", v);
  }
}

template <typename Real>
Row drawn_row(const Json& in) {
  Row logits = in["logits"].numbers(kMinusInfinity);
  if (const Json* valid = in.find("valid")) {
    std::fill(logits.begin() + valid->integer(), logits.end(), kMinusInfinity);
  }
  std::vector<Real> row(logits.begin(), logits.end()), out(logits.size());
  const int count = static_cast<int>(row.size());
  const size_t best = static_cast<size_t>(RowMath<Real>::argmax(row.data(), count));
  const Real temperature = static_cast<Real>(in["T"].number());
  if (temperature > 0) {
    RowMath<Real>::softmax(row.data(), count, row[best], temperature, out.data());
    const Json *top_k = in.find("topK"), *top_p = in.find("topP");
    filter_top<Real>(out.data(), count, top_k ? top_k->integer() : 0,
                     static_cast<Real>(top_p ? top_p->number() : 1.0));
  } else {
    out[best] = 1;
  }
  return {out.begin(), out.end()};
}

void softmax_cases() {
  for_each_case("softmax", 11, [](const std::string& id, const Json& in, const Json& out) {
    check_rows(id, drawn_row<double>(in), out["p"].numbers(), kVectorDouble);
    check_rows(id, drawn_row<float>(in), out["p"].numbers(), kVectorFloat);
  });
}

RowGenerator generator(const Json& gen) {
  return {static_cast<uint32_t>(gen["seed"].number()), gen["V"].integer(), gen["sp"].number(),
          gen["sn"].numbers()};
}

// First of all: the tests' own models are those of the vectors.
void row_cases() {
  for_each_case("rows", 3, [](const std::string& id, const Json& in, const Json& out) {
    const RowGenerator models = generator(in["gen"]);
    for (size_t m = 0; m < out["logits"].size(); ++m) {
      const Row logits = models.logits(static_cast<int>(m), in["prefix"].integers());
      check_rows(id, logits, out["logits"][m].numbers(), kVectorDouble);
      check_rows(id, softmax_row(logits, in["T"].number()), out["p"][m].numbers(), kVectorDouble);
    }
  });
}

Rule rule_of(const Json& rule) {
  constexpr std::pair<const char*, RuleKind> kKinds[] = {
      {"lossless", RuleKind::kLossless}, {"lossy", RuleKind::kLossy},
      {"chow", RuleKind::kChow},         {"diff", RuleKind::kDiff},
      {"opt", RuleKind::kOpt},           {"tokenV1", RuleKind::kTokenV1},
      {"tokenV2", RuleKind::kTokenV2},   {"tokenV3", RuleKind::kTokenV3},
      {"bild", RuleKind::kBild}};
  Rule result;
  for (const auto& [name, kind] : kKinds) {
    if (rule["rule"].string() == name) result.kind = kind;
  }
  for (const char* key : {"alpha", "rollback"}) {
    if (const Json* value = rule.find(key)) result.alpha = value->number();
  }
  if (const Json* beta = rule.find("beta")) {
    const bool matched = beta->kind() == Json::Kind::kString;
    if (matched) result.kind = RuleKind::kLossyMatched;
    if (!matched) result.beta = beta->number();
  }
  return result;
}

// Models, rule and length of a `chain` case as a step of speculation.
ChainSetup setup_of(const Json& in) {
  const RowGenerator models = generator(in["gen"]);
  const double temperature = in["T"].number();
  const Rule rule = rule_of(in["rule"]);
  const auto wanted = [=](const Prefix& prefix) {
    const Row lp = models.logits(0, prefix), lq = models.logits(1, prefix);
    const Row p = softmax_row(lp, temperature), q = softmax_row(lq, temperature);
    const Row p1 = softmax_row(lp, 1.0), q1 = softmax_row(lq, 1.0);
    Row pi(p.size());
    rule_target<RowMath<double>>(rule,
                                 RuleRows<double>{q.data(), p.data(), q1.data(), p1.data(),
                                                  models.vocabulary, temperature == 0.0},
                                 pi.data());
    return pi;
  };
  const auto drafter = [=](const Prefix& prefix) {
    return softmax_row(models.logits(1, prefix), temperature);
  };
  return {models.vocabulary, in["gamma"].integer(), wanted, drafter};
}

Verifier verifier_of(const Json& in) {
  return in["verifier"].string() == "token" ? Verifier::kToken : Verifier::kBlock;
}

template <typename Real>
void check_law(const std::string& id, const Json& in, const Json& out, double tolerance) {
  const ChainSetup setup = setup_of(in);
  const ChainLaw law = chain_law<Real>(verifier_of(in), setup);
  Row lengths(static_cast<size_t>(setup.gamma) + 1, 0.0);
  Row first(static_cast<size_t>(setup.vocabulary), 0.0);
  double mean = 0.0;
  for (const auto& [block, p] : law.blocks) {
    lengths[block.size() - 1] += p;
    first[static_cast<size_t>(block[0])] += p;
    mean += p * static_cast<double>(block.size());
  }
  check_rows(id, lengths, out["len"].numbers(), tolerance);
  check_rows(id, first, out["first"].numbers(), tolerance);
  CHECK_NEAR(mean, out["mean"].number(), setup.gamma * tolerance, id);
}

void chain_laws() {
  for_each_case("chain", 16, [](const std::string& id, const Json& in, const Json& out) {
    check_law<double>(id, in, out, kVectorDouble);
    check_law<float>(id, in, out, kVectorFloat);
  });
}

// Given uniforms: u[j] tests place j, w draws the final token.
struct Replay {
  Row u;
  double w;

  template <typename Real>
  bool accept(Real probability, int place) const {
    return u[static_cast<size_t>(place)] < static_cast<double>(probability);
  }
  template <typename Real>
  int draw(const Real* weights, int count, Real total, int) const {
    return RowMath<Real>::draw(weights, count, total, static_cast<Real>(w));
  }
};

void check_trace(const std::string& id, const ChainSetup& setup, Verifier verifier,
                 const Json& trace) {
  const std::vector<int> tokens = trace["draft"].integers();
  const std::vector<int32_t> draft(tokens.begin(), tokens.end());
  std::vector<Row> wanted, drafter;
  for (size_t i = 0; i <= draft.size(); ++i) {
    const Prefix prefix(tokens.begin(), tokens.begin() + static_cast<ptrdiff_t>(i));
    wanted.push_back(setup.wanted(prefix));
    drafter.push_back(setup.drafter(prefix));
  }
  const auto pi = [&](int i) { return wanted[static_cast<size_t>(i)].data(); };
  const auto q = [&](int i) { return drafter[static_cast<size_t>(i)].data(); };
  const auto no_end = [](int32_t) { return false; };
  Replay replay = {trace["u"].numbers(), trace["w"].number()};
  Row scratch(static_cast<size_t>(setup.vocabulary));
  const int drafted = static_cast<int>(draft.size());
  const ChainOutcome outcome =
      verifier == Verifier::kToken
          ? accept_chain<RowMath<double>>(drafted, draft.data(), setup.vocabulary, pi, q,
                                          scratch.data(), no_end, replay)
          : accept_block<RowMath<double>>(drafted, draft.data(), setup.vocabulary, pi, q,
                                          scratch.data(), no_end, replay);
  std::vector<int> emitted(tokens.begin(), tokens.begin() + outcome.accepted);
  emitted.push_back(outcome.next);
  CHECK(emitted == trace["emit"].integers(), id, " draft of ", drafted);
}

void chain_traces() {
  int traces = 0;
  for_each_case("chain", 16, [&](const std::string& id, const Json& in, const Json& out) {
    const ChainSetup setup = setup_of(in);
    for (const Json& trace : out["traces"]) {
      check_trace(id, setup, verifier_of(in), trace);
      ++traces;
    }
  });
  CHECK(traces >= 40, traces, " traces");
}

void philox_cases() {
  for_each_case("philox", 3, [](const std::string& id, const Json& in, const Json& out) {
    PhiloxBlock counter = {};
    for (size_t i = 0; i < 4; ++i) {
      counter.word[i] = static_cast<uint32_t>(in["counter"][i].number());
    }
    const PhiloxBlock words = philox(counter, static_cast<uint32_t>(in["key"][0].number()),
                                     static_cast<uint32_t>(in["key"][1].number()));
    for (size_t i = 0; i < 4; ++i) {
      CHECK(words.word[i] == static_cast<uint32_t>(out["words"][i].number()), id);
    }
  });
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(argc, argv,
                   {CASE(softmax_cases), CASE(row_cases), CASE(chain_laws), CASE(chain_traces),
                    CASE(philox_cases)});
}
