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
#include "test/support/slot_memory.h"
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
  SlotMemory memory;
  std::vector<int32_t> first, row_slot, row_node, row_output, best, status, none;
  int32_t num_rows = kRows;
  std::vector<float> logits, reference_logits, probs, unscaled, log_sum, reference,
      reference_unscaled, pi, deferral, scratch, walk_weights, one_hot;
  std::vector<TargetRow> target_rows;
  std::vector<const float*> reference_at, reference_unscaled_at, proposal_at;

  Step(int columns, bool is_chain, TestRandom& random);

  size_t columns() const { return static_cast<size_t>(vocabulary); }
  void fill_row(std::vector<float>& drawn, std::vector<float>& confidences, size_t row,
                TestRandom& random);
  void draft(int slot, TestRandom& random);
  const SequenceState& state() const { return memory.state(); }
  const SlotSampling& sampling() const { return memory.sampling(); }
  VerifyArgs args();
  DistributionArgs target(const VerifyArgs& verification);
  void verify_on_device();
};

// Their logits too, from which a device makes the same.
void Step::fill_row(std::vector<float>& drawn, std::vector<float>& confidences, size_t row,
                    TestRandom& random) {
  const size_t slot = row / (kNodes + 1);
  const float temperature = sampling().temperature[slot];
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
        temperature == 0.0f ? (static_cast<int>(v) == most ? 1.0f : 0.0f) : unscaled_row[v];
  }
  if (temperature > 0.0f) {
    filter_top(drawn_row, vocabulary, sampling().top_k[slot], sampling().top_p[slot]);
  }
}

// Tokens that the rows they are drawn from may give.
void Step::draft(int slot, TestRandom& random) {
  const int32_t* depths = slot_part(state().draft_depth, slot, kNodes);
  for (int node = 0; node < state().draft_count[slot]; ++node) {
    const int parent = chain ? node - 1 : kTreeParents[node];
    const auto row = static_cast<size_t>(row_after(state(), slot, parent));
    const int token = RowMath<float>::draw(reference.data() + row * columns(), vocabulary, 1.0f,
                                           static_cast<float>(random.uniform()));
    put_node(state(), slot, node, token, parent, parent < 0 ? 0 : depths[parent] + 1);
  }
}

Step::Step(int columns_, bool is_chain, TestRandom& random)
    : vocabulary(columns_),
      chain(is_chain),
      siblings(random.below(2) ? Siblings::kWithReplacement : Siblings::kWithoutReplacement),
      copies(is_chain && random.below(3) == 0),
      memory(limits_of_slots(kSlots, kCapacity, kNodes), columns_),
      first(kSlots),
      row_slot(kRows),
      row_node(kRows),
      row_output(kRows),
      best(kRows),
      status(kRows, 0),
      none(kSlots, 0),
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
      target_rows(kRows) {
  const SequenceState& of = state();
  std::fill_n(of.tokens, kSlots * kCapacity, 1);
  std::fill_n(of.active, kSlots, 1);
  of.active[random.below(8) % kSlots] = random.below(2);
  for (int slot = 0; slot < kSlots; ++slot) {
    const size_t s = static_cast<size_t>(slot);
    const bool greedy = random.below(4) == 0;
    sampling().temperature[slot] = greedy ? 0.0f : 1.0f;
    sampling().top_k[slot] = random.below(3) == 0 ? vocabulary / 2 : 0;
    sampling().top_p[slot] = random.below(3) == 0 ? 0.8f : 1.0f;
    sampling().wants_logprobs[slot] = sampling().wants_rows[slot] = 1;
    of.length[slot] = kPrefix + 1;
    of.prefix_length[slot] = kPrefix;
    of.max_length[slot] = kPrefix + 9;
    of.step[slot] = 5;
    of.seed[slot] = random.bits();
    first[s] = slot * (kNodes + 1);
    of.draft_count[slot] = chain ? random.below(kNodes + 1) : kNodes;
    of.rule[slot] = {static_cast<RuleKind>(random.below(static_cast<int>(RuleKind::kBild) + 1)),
                     0.3 * random.uniform(), 0.8};
    const int kind = random.below(3);
    const bool kseq = siblings == Siblings::kWithReplacement && kind == 1;
    const Verifier verifier = kind == 0   ? Verifier::kToken
                              : !chain    ? kseq ? Verifier::kKseq : Verifier::kTraversal
                              : kind == 1 ? Verifier::kBlock
                                          : Verifier::kTrusted;
    of.verifier[slot] = static_cast<int32_t>(verifier);
    if (verifier == Verifier::kTrusted) of.rule[slot].kind = RuleKind::kChow;
    memory.end_at(random.below(2) ? sampling().eos_bits : sampling().stop_bits, slot,
                  random.below(vocabulary));
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
  LogitRows rows = {};
  rows.first = first.data();
  rows.node = row_node.data();
  const DraftRows drafts = {reference_at.data(), reference_unscaled_at.data(), proposal_at.data(),
                            siblings, chain};
  return {state(),
          sampling(),
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
  const SequenceState &own = got.state(), &other = expected.state();
  const auto same = [&](int32_t* SequenceState::*table, const char* name, int count = kSlots) {
    CHECK(entries(own.*table, count) == entries(other.*table, count), name, ", seed ", seed);
  };
  same(&SequenceState::tokens, "tokens", kSlots * kCapacity);
  same(&SequenceState::length, "length");
  same(&SequenceState::accepted, "accepted");
  same(&SequenceState::tested, "tested");
  same(&SequenceState::decided, "decided");
  same(&SequenceState::emitted, "emitted");
  same(&SequenceState::finish, "finish");
  same(&SequenceState::failure, "failure");
  for (int slot = 0; slot < kSlots; ++slot) {
    CHECK_NEAR(own.deferred[slot], other.deferred[slot], kVectorFloat, "seed ", seed);
    const int32_t *path = slot_part(own.path, slot, kNodes),
                  *expected_path = slot_part(other.path, slot, kNodes);
    CHECK(std::equal(path, path + other.accepted[slot], expected_path), "path, seed ", seed);
  }
  for (int i = 0; i < kSlots * (kNodes + 1); ++i) {
    // A trusted draft's rows but the last are not looked at: what they are is what they give.
    const float logprob = own.token_logprobs[i], expected_one = other.token_logprobs[i];
    if (std::isfinite(expected_one)) {
      CHECK_NEAR(logprob, expected_one, kLogSum, "logprobs, seed ", seed);
    } else {
      CHECK(!std::isfinite(logprob), "logprobs, seed ", seed);
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
  const SequenceState& of = cpu.state();
  for (int slot = 0; slot < kSlots; ++slot) {
    seen.accepted += of.accepted[slot] > 0;
    seen.rejected += of.tested[slot] > of.accepted[slot];
    seen.failed += of.failure[slot] != 0;
    seen.ended += of.finish[slot] != 0;
    seen.deferred += of.deferred[slot] > 0.0f;
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

void vocabularies_that_sums_do_not_hold_are_an_error() {
  DistributionArgs rows = {};
  rows.vocabulary = (1 << 18) + 1;
  rows.max_rows = 1;
  CHECK_ERROR(ErrorCode::kDevice, "a vocabulary of 262145", distribution_cuda(rows, nullptr));
  VerifyArgs args = {};
  args.vocabulary = rows.vocabulary;
  CHECK_ERROR(ErrorCode::kDevice, "a vocabulary of 262145", verify_cuda(rows, args, nullptr));
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
      const SequenceState& of = step.state();
      all.insert(all.end(), of.deferred, of.deferred + kSlots);
      all.insert(all.end(), of.token_logprobs, of.token_logprobs + kSlots * (kNodes + 1));
      all.insert(all.end(), of.tokens, of.tokens + kSlots * kCapacity);
      return all;
    });
  }
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(
      argc, argv,
      {CASE(tokens_and_counters_are_those_of_the_cpu), CASE(the_largest_vocabulary),
       CASE(vocabularies_that_sums_do_not_hold_are_an_error), CASE(the_same_in_every_schedule)});
}
