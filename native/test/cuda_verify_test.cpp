// The verification kernel under the emulation against verify() of the CPU: the same tokens, paths
// and counters for random drafts, rows, rules and verifiers, several slots with different ones at
// once.
#include <algorithm>
#include <cmath>

#include "decode/decode_cuda.h"
#include "ops/ops_cuda.h"
#include "ops/row_math.h"
#include "test/check.h"
#include "test/support/emulated_runs.h"
#include "test/support/tolerances.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

constexpr int kSlots = 4;
constexpr int kNodes = 6;  // a chain of six, or two levels: two nodes, each with two below it
constexpr int kTreeParents[kNodes] = {-1, -1, 0, 0, 1, 1};
constexpr int kCapacity = 16;
constexpr int kPrefix = 3;
constexpr size_t kRows = kSlots * (kNodes + 1);
constexpr int kScratchRows = verify_scratch_rows(true, kNodes);

// A step after drafting and the target's pass, in memory of its own.
struct Step {
  int vocabulary;
  bool chain;
  Siblings siblings;
  bool copies;  // every second token of a chain was chosen without chance
  std::vector<int32_t> active, tokens, length, prefix, max_length, verifier, draft_tokens, parent,
      depth, count, path, accepted, tested, decided, emitted, finish, failure, first, row_slot,
      row_node, row_output, best, status, ones, none, top_k;
  int32_t num_rows = kRows;
  std::vector<uint64_t> seed;
  std::vector<uint32_t> step, eos, stop;
  std::vector<Rule> rule;
  std::vector<float> deferred, logprobs, temperature, logits, reference_logits, probs, unscaled,
      log_sum, reference, reference_unscaled, pi, deferral, scratch, walk_weights, one_hot, top_p;
  std::vector<TargetRow> target_rows;
  std::vector<const float*> reference_at, reference_unscaled_at, proposal_at;

  Step(int columns, bool is_chain, TestRandom& random);

  size_t columns() const { return static_cast<size_t>(vocabulary); }
  void fill_row(std::vector<float>& drawn, std::vector<float>& confidences, size_t row,
                TestRandom& random);
  void draft(int slot, TestRandom& random);
  SequenceState sequences();
  VerifyArgs args();
  DistributionArgs target(const VerifyArgs& verification);
  void verify_on_device();
};

// Their logits too, from which a device makes the same.
void Step::fill_row(std::vector<float>& drawn, std::vector<float>& confidences, size_t row,
                    TestRandom& random) {
  const size_t slot = row / (kNodes + 1);
  double total = 0.0;
  std::vector<float> weights(columns());
  const bool of_target = &drawn == &probs;
  float* row_logits = (of_target ? logits : reference_logits).data() + row * columns();
  for (size_t v = 0; v < columns(); ++v) {
    const float logit = random.below(5) == 0 && v > 0 ? -200.0f : random.value(2.0);
    row_logits[v] = logit;
    total += static_cast<double>(weights[v] = std::exp(logit));
  }
  if (of_target) log_sum[row] = static_cast<float>(std::log(total));
  float* unscaled_row = confidences.data() + row * columns();
  for (size_t v = 0; v < columns(); ++v) {
    unscaled_row[v] = static_cast<float>(static_cast<double>(weights[v]) / total);
  }
  float* drawn_row = drawn.data() + row * columns();
  const int most = RowMath<float>::argmax(unscaled_row, vocabulary);
  for (size_t v = 0; v < columns(); ++v) {
    drawn_row[v] =
        temperature[slot] == 0.0f ? (static_cast<int>(v) == most ? 1.0f : 0.0f) : unscaled_row[v];
  }
  if (temperature[slot] > 0.0f) filter_top(drawn_row, vocabulary, top_k[slot], top_p[slot]);
}

// Tokens that the rows they are drawn from may give.
void Step::draft(int slot, TestRandom& random) {
  for (int node = 0; node < count[static_cast<size_t>(slot)]; ++node) {
    const size_t at = static_cast<size_t>(slot * kNodes + node);
    parent[at] = chain ? node - 1 : kTreeParents[node];
    depth[at] = parent[at] < 0 ? 0 : depth[static_cast<size_t>(slot * kNodes + parent[at])] + 1;
    const size_t row = static_cast<size_t>(slot * (kNodes + 1) + 1 + parent[at]);
    draft_tokens[at] = RowMath<float>::draw(reference.data() + row * columns(), vocabulary, 1.0f,
                                            static_cast<float>(random.uniform()));
  }
}

Step::Step(int columns_, bool is_chain, TestRandom& random)
    : vocabulary(columns_),
      chain(is_chain),
      siblings(random.below(2) ? Siblings::kWithReplacement : Siblings::kWithoutReplacement),
      copies(is_chain && random.below(3) == 0),
      active(kSlots, 1),
      tokens(kSlots * kCapacity, 1),
      length(kSlots, kPrefix + 1),
      prefix(kSlots, kPrefix),
      max_length(kSlots, kPrefix + 9),
      verifier(kSlots),
      draft_tokens(kSlots * kNodes),
      parent(kSlots * kNodes),
      depth(kSlots * kNodes),
      count(kSlots),
      path(kSlots * kNodes, -7),
      accepted(kSlots, -7),
      tested(kSlots, -7),
      decided(kSlots, -7),
      emitted(kSlots, -7),
      finish(kSlots, 0),
      failure(kSlots, 0),
      first(kSlots),
      row_slot(kRows),
      row_node(kRows),
      row_output(kRows),
      best(kRows),
      status(kRows, 0),
      ones(kSlots, 1),
      none(kSlots, 0),
      top_k(kSlots),
      seed(kSlots),
      step(kSlots, 5),
      eos(kSlots * static_cast<size_t>(bit_words_for(columns_))),
      stop(eos.size()),
      rule(kSlots),
      deferred(kSlots, -7.0f),
      logprobs(kSlots * (kNodes + 1), -7.0f),
      temperature(kSlots),
      logits(kRows * columns()),
      reference_logits(kRows * columns()),
      probs(logits.size()),
      unscaled(logits.size()),
      log_sum(kRows),
      reference(logits.size()),
      reference_unscaled(logits.size()),
      pi(logits.size(), -7.0f),
      deferral(kRows, -7.0f),
      scratch(static_cast<size_t>(kScratchRows) * kSlots * columns(), -7.0f),
      walk_weights(kSlots * kNodes, -7.0f),
      one_hot(kSlots * columns(), 0.0f),
      top_p(kSlots),
      target_rows(kRows) {
  active[static_cast<size_t>(random.below(8)) % kSlots] = random.below(2);
  for (int slot = 0; slot < kSlots; ++slot) {
    const size_t s = static_cast<size_t>(slot);
    const bool greedy = random.below(4) == 0;
    temperature[s] = greedy ? 0.0f : 1.0f;
    top_k[s] = random.below(3) == 0 ? vocabulary / 2 : 0;
    top_p[s] = random.below(3) == 0 ? 0.8f : 1.0f;
    seed[s] = random.bits();
    first[s] = slot * (kNodes + 1);
    count[s] = chain ? random.below(kNodes + 1) : kNodes;
    rule[s] = {static_cast<RuleKind>(random.below(static_cast<int>(RuleKind::kBild) + 1)),
               0.3 * random.uniform(), 0.8};
    const int kind = random.below(3);
    const bool kseq = siblings == Siblings::kWithReplacement && kind == 1;
    verifier[s] = static_cast<int32_t>(kind == 0   ? Verifier::kToken
                                       : !chain    ? kseq ? Verifier::kKseq : Verifier::kTraversal
                                       : kind == 1 ? Verifier::kBlock
                                                   : Verifier::kTrusted);
    if (static_cast<Verifier>(verifier[s]) == Verifier::kTrusted) rule[s].kind = RuleKind::kChow;
    const int words = bit_words_for(vocabulary), end = random.below(vocabulary);
    auto& bits = random.below(2) ? eos : stop;
    bits[static_cast<size_t>(slot * words + end / 32)] |= 1u << (end % 32);
    for (size_t row = s * (kNodes + 1); row < (s + 1) * (kNodes + 1); ++row) {
      row_slot[row] = slot;
      row_node[row] = static_cast<int32_t>(row - s * (kNodes + 1)) - 1;
      fill_row(probs, unscaled, row, random);
      fill_row(reference, reference_unscaled, row, random);
      // Often the same row, so that drafts are accepted.
      const auto begin = static_cast<ptrdiff_t>(row * columns());
      if (random.below(3) > 0) {
        std::copy_n(logits.begin() + begin, columns(), reference_logits.begin() + begin);
        std::copy_n(probs.begin() + begin, columns(), reference.begin() + begin);
        std::copy_n(unscaled.begin() + begin, columns(), reference_unscaled.begin() + begin);
      }
      best[row] = RowMath<float>::argmax(unscaled.data() + row * columns(), vocabulary);
    }
    draft(slot, random);
  }
  if (random.below(6) > 0) return;
  const auto row = static_cast<size_t>(random.below(kRows));
  status[row] = 1 + random.below(2);
  const bool finite = static_cast<RowStatus>(status[row]) == RowStatus::kNoTokenLeft;
  std::fill_n(logits.begin() + static_cast<ptrdiff_t>(row * columns()), columns(),
              finite ? -INFINITY : NAN);
}

SequenceState Step::sequences() {
  SequenceState state = {};
  state.slots = kSlots;
  state.capacity = kCapacity;
  state.max_nodes = kNodes;
  state.max_path = kNodes;
  state.active = active.data();
  state.tokens = tokens.data();
  state.length = length.data();
  state.prefix_length = prefix.data();
  state.max_length = max_length.data();
  state.seed = seed.data();
  state.step = step.data();
  state.rule = rule.data();
  state.verifier = verifier.data();
  state.draft_tokens = draft_tokens.data();
  state.draft_parent = parent.data();
  state.draft_depth = depth.data();
  state.draft_count = count.data();
  state.path = path.data();
  state.accepted = accepted.data();
  state.tested = tested.data();
  state.decided = decided.data();
  state.deferred = deferred.data();
  state.emitted = emitted.data();
  state.finish = finish.data();
  state.failure = failure.data();
  state.token_logprobs = logprobs.data();
  return state;
}

VerifyArgs Step::args() {
  reference_at.resize(kRows);
  reference_unscaled_at.resize(kRows);
  proposal_at.resize(kSlots * kNodes);
  for (size_t row = 0; row < kRows; ++row) {
    reference_at[row] = reference.data() + row * columns();
    reference_unscaled_at[row] = reference_unscaled.data() + row * columns();
  }
  for (size_t at = 0; at < proposal_at.size(); ++at) {
    const size_t slot = at / kNodes, row = slot * (kNodes + 1) + 1;
    proposal_at[at] = copies && at % 2 ? nullptr : reference_at[row + at % kNodes - 1];
  }
  SlotSampling sampling = {};
  sampling.temperature = temperature.data();
  sampling.top_k = top_k.data();
  sampling.top_p = top_p.data();
  sampling.wants_logprobs = sampling.wants_rows = ones.data();
  sampling.suppresses = sampling.min_new = none.data();
  sampling.eos_bits = eos.data();
  sampling.stop_bits = stop.data();
  sampling.bit_words = bit_words_for(vocabulary);
  LogitRows rows = {};
  rows.first = first.data();
  rows.node = row_node.data();
  const DraftRows drafts = {reference_at.data(), reference_unscaled_at.data(), proposal_at.data(),
                            siblings, chain};
  return {sequences(),
          sampling,
          drafts,
          vocabulary,
          rows,
          logits.data(),
          probs.data(),
          unscaled.data(),
          best.data(),
          status.data(),
          log_sum.data(),
          pi.data(),
          deferral.data(),
          scratch.data(),
          one_hot.data(),
          target_rows.data(),
          kScratchRows,
          walk_weights.data()};
}

DistributionArgs Step::target(const VerifyArgs& verification) {
  DistributionArgs rows = {};
  rows.logits = logits.data();
  rows.vocabulary = vocabulary;
  rows.num_rows = &num_rows;
  rows.max_rows = kRows;
  rows.row_slot = row_slot.data();
  rows.row_output = row_output.data();
  rows.slots = verification.sampling;
  rows.best = best.data();
  rows.log_sum = log_sum.data();
  rows.row_status = status.data();
  return rows;
}

// The drafter's rows are the device's too: rules compare them with the target's, which are often
// the same.
void Step::verify_on_device() {
  const VerifyArgs verification = args();
  const DistributionArgs rows = target(verification);
  DistributionArgs drafter = rows;
  std::vector<int32_t> ints(2 * kRows);
  drafter.logits = reference_logits.data();
  drafter.slots.wants_logprobs = none.data();
  drafter.probs = reference.data();
  drafter.unscaled = reference_unscaled.data();
  drafter.best = ints.data();
  drafter.row_status = ints.data() + kRows;
  distribution_cuda(drafter, nullptr);
  verify_cuda(rows, verification, nullptr);
}

void check_same(const Step& got, const Step& expected, uint64_t seed) {
  CHECK(got.tokens == expected.tokens, "tokens, seed ", seed);
  CHECK(got.length == expected.length, "length, seed ", seed);
  CHECK(got.accepted == expected.accepted, "accepted, seed ", seed);
  CHECK(got.tested == expected.tested, "tested, seed ", seed);
  CHECK(got.decided == expected.decided, "decided, seed ", seed);
  CHECK(got.emitted == expected.emitted, "emitted, seed ", seed);
  CHECK(got.finish == expected.finish, "finish, seed ", seed);
  CHECK(got.failure == expected.failure, "failure, seed ", seed);
  for (size_t s = 0; s < kSlots; ++s) {
    CHECK_NEAR(got.deferred[s], expected.deferred[s], kVectorFloat, "seed ", seed);
    for (int i = 0; i < expected.accepted[s]; ++i) {
      const size_t at = s * kNodes + static_cast<size_t>(i);
      CHECK(got.path[at] == expected.path[at], "path, seed ", seed);
    }
  }
  for (size_t i = 0; i < got.logprobs.size(); ++i) {
    // A trusted draft's rows but the last are not looked at: what they are is what they give.
    if (std::isfinite(expected.logprobs[i])) {
      CHECK_NEAR(got.logprobs[i], expected.logprobs[i], kLogSum, "logprobs, seed ", seed);
    } else {
      CHECK(!std::isfinite(got.logprobs[i]), "logprobs, seed ", seed);
    }
  }
  for (const float x : got.one_hot) CHECK(x == 0.0f, "one-hot rows are left as they were");
}

// How much of each kind the cases have seen, so that none is vacuous.
struct Seen {
  int accepted = 0, rejected = 0, failed = 0, ended = 0, deferred = 0;
};

void try_step(int vocabulary, bool chain, uint64_t seed, Seen& seen) {
  TestRandom random(seed);
  Step cpu(vocabulary, chain, random);
  Step device = cpu;
  verify(cpu.args(), 1);
  with_schedule(seed, [&] { device.verify_on_device(); });
  check_same(device, cpu, seed);
  for (size_t s = 0; s < kSlots; ++s) {
    seen.accepted += cpu.accepted[s] > 0;
    seen.rejected += cpu.tested[s] > cpu.accepted[s];
    seen.failed += cpu.failure[s] != 0;
    seen.ended += cpu.finish[s] != 0;
    seen.deferred += cpu.deferred[s] > 0.0f;
  }
}

void tokens_and_counters_are_those_of_the_cpu() {
  Seen seen;
  uint64_t seed = 1;
  for (const int vocabulary : {5, 33, 1000}) {
    for (int round = 0; round < (vocabulary < 1000 ? 60 : 12); ++round) {
      for (const bool chain : {true, false}) try_step(vocabulary, chain, ++seed, seen);
    }
  }
  CHECK(seen.accepted > 100 && seen.rejected > 100, seen.accepted, " ", seen.rejected);
  CHECK(seen.failed > 10 && seen.ended > 20 && seen.deferred > 50, seen.failed, " ", seen.ended,
        " ", seen.deferred);
}

void the_largest_vocabulary() {
  TestRandom random(9);
  Step cpu(250112, true, random);
  Step device = cpu;
  verify(cpu.args(), 1);
  device.verify_on_device();
  check_same(device, cpu, 9);
}

void the_same_in_every_schedule() {
  for (const bool chain : {true, false}) {
    TestRandom random(chain ? 21 : 22);
    const Step before(257, chain, random);
    same_in_every_schedule("verify", [&] {
      Step step = before;
      step.verify_on_device();
      std::vector<float> all = step.scratch;
      for (const TargetRow& row : step.target_rows) {
        const RuleDecision<float>& decision = row.decision;
        for (const float x : {row.probs.factor, row.probs.share, decision.deferral,
                              decision.threshold, decision.rejected, decision.residual}) {
          all.push_back(x);
        }
      }
      all.insert(all.end(), step.deferred.begin(), step.deferred.end());
      all.insert(all.end(), step.logprobs.begin(), step.logprobs.end());
      all.insert(all.end(), step.tokens.begin(), step.tokens.end());
      return all;
    });
  }
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(argc, argv,
                   {CASE(tokens_and_counters_are_those_of_the_cpu), CASE(the_largest_vocabulary),
                    CASE(the_same_in_every_schedule)});
}
