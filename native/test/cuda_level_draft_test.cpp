// Drafting level by level under the emulation against the CPU's: the same trees, phases and
// proposals after every round, for slots with settings of their own.
#include <algorithm>
#include <cmath>

#include "decode/decode_cuda.h"
#include "decode/level_draft.h"
#include "decode/slot_rows.h"
#include "ops/row_math.h"
#include "test/check.h"
#include "test/support/emulated_runs.h"
#include "test/support/slot_memory.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

constexpr int kSlots = 5;
constexpr int kNodes = 12;
constexpr int kCapacity = 8;
constexpr int kPassNodes = kCapacity + kNodes;
constexpr size_t kPassRows = kSlots * kPassNodes;
constexpr size_t kOutRows = kSlots * (kNodes + 1);

// A session's drafting state and the rows of a pass, in memory of its own.
struct Drafts {
  int vocabulary;
  std::vector<int32_t> widths;
  Siblings siblings;
  float confidence;  // the plan's
  SlotMemory memory;
  std::vector<int32_t> order, cached, best, status, counts, row_ints, node_parent, logit_ints;
  std::vector<float> logits, probs, unscaled, scratch;
  std::vector<const float*> proposal;
  std::vector<int64_t> proposal_at;  // the same as places in `probs`; -1: none

  Drafts(int columns, const std::vector<int32_t>& shape, TestRandom& random);

  size_t columns() const { return static_cast<size_t>(vocabulary); }
  const SequenceState& state() const { return memory.state(); }
  const SlotSampling& sampling() const { return memory.sampling(); }
  CacheTable cache() { return {order.data(), cached.data(), kPassNodes}; }
  DraftShape shape() const { return {widths.data(), siblings}; }
  DecoderRows rows();
  LogitRows logit_rows();
  DraftDistributions distributions() {
    return {logits.data(), probs.data(),    unscaled.data(), best.data(),
            status.data(), proposal.data(), scratch.data(),  vocabulary};
  }
  void fill(TestRandom random);
  void note_proposals();
};

Drafts::Drafts(int columns_, const std::vector<int32_t>& shape_, TestRandom& random)
    : vocabulary(columns_),
      widths(shape_),
      siblings(random.below(2) ? Siblings::kWithReplacement : Siblings::kWithoutReplacement),
      confidence(random.below(2) ? 0.0f : 0.05f),
      memory(limits_of_slots(kSlots, kCapacity, kNodes), columns_),
      cached(kSlots, 3),
      best(kPassRows),
      status(kPassRows, 0),
      counts(2),
      row_ints(6 * kPassRows, -7),
      node_parent(kPassRows, -7),
      logit_ints(5 * kPassRows, -7),
      logits(kPassRows * columns()),
      probs(kOutRows * columns(), -7.0f),
      unscaled(probs),
      scratch(kSlots * columns(), -7.0f),
      proposal(kSlots * kNodes, nullptr) {
  const SequenceState& of = state();
  std::fill_n(of.tokens, kSlots * kCapacity, 1);
  for (int slot = 0; slot < kSlots; ++slot) {
    of.active[slot] = random.below(6) > 0;
    of.length[slot] = 4;
    of.prefix_length[slot] = 2;
    of.step[slot] = 3;
    of.draft_limit[slot] = random.below(static_cast<int>(widths.size()) + 1);
    of.max_length[slot] = of.length[slot] + of.draft_limit[slot] + random.below(2);
    sampling().temperature[slot] = random.below(3) == 0 ? 0.0f : 1.0f;
    of.seed[slot] = random.bits();
    of.confidence_stop[slot] = random.below(3) == 0 ? 0.1f : 0.0f;
    const bool trusted = random.below(4) == 0;
    of.verifier[slot] = static_cast<int32_t>(trusted ? Verifier::kTrusted : Verifier::kToken);
    of.rule[slot] = {trusted || random.below(2) ? RuleKind::kChow : RuleKind::kLossless, 0.8, 1.0};
    memory.end_at(sampling().eos_bits, slot, random.below(vocabulary));
    for (int i = 0; i < kPassNodes; ++i) order.push_back(i);
  }
}

DecoderRows Drafts::rows() {
  int32_t* ints = row_ints.data();
  const size_t n = kPassRows;
  return {&counts[0], ints,     ints + 2 * n,       ints + 3 * n,        ints + 4 * n, ints + 5 * n,
          &counts[1], ints + n, node_parent.data(), static_cast<int>(n), kPassNodes};
}

LogitRows Drafts::logit_rows() {
  int32_t* ints = logit_ints.data();
  const size_t n = kPassRows;
  return {ints, ints + n, ints + 2 * n, ints + 3 * n, ints + 4 * n};
}

// What the drafter's pass and its distribution give; by value, so that both runs get the same.
void Drafts::fill(TestRandom random) {
  const LogitRows places = logit_rows();
  for (int at = 0; at < counts[1]; ++at) {
    float* row = logits.data() + static_cast<size_t>(at) * columns();
    const size_t out = static_cast<size_t>(places.out_row[at]) * columns();
    double total = 0.0;
    for (size_t v = 0; v < columns(); ++v) {
      row[v] = random.below(3) == 0 ? -INFINITY : random.value(2.0);
      total += std::exp(static_cast<double>(row[v]));
    }
    if (total == 0.0) total = std::exp(static_cast<double>(row[0] = 0.5f));
    for (size_t v = 0; v < columns(); ++v) {
      probs[out + v] = static_cast<float>(std::exp(static_cast<double>(row[v])) / total);
      unscaled[out + v] = probs[out + v];
    }
    best[static_cast<size_t>(at)] = RowMath<float>::argmax(row, vocabulary);
    status[static_cast<size_t>(at)] = random.below(25) == 0 ? 1 + random.below(2) : 0;
  }
}

void Drafts::note_proposals() {
  proposal_at.clear();
  for (const float* row : proposal) proposal_at.push_back(row == nullptr ? -1 : row - probs.data());
}

void check_same(Drafts& got, Drafts& expected, uint64_t seed) {
  const SequenceState &own = got.state(), &other = expected.state();
  const auto same = [](const int32_t* a, const int32_t* b, int count) {
    return std::equal(a, a + count, b);
  };
  CHECK(same(own.draft_phase, other.draft_phase, kSlots), "phase, seed ", seed);
  CHECK(same(own.draft_tokens, other.draft_tokens, kSlots * kNodes), "tokens, seed ", seed);
  CHECK(got.memory == expected.memory, "another table, seed ", seed);
  CHECK(got.cached == expected.cached, "cache, ", seed);
  CHECK(got.counts == expected.counts && got.logit_ints == expected.logit_ints, "rows, ", seed);
  got.note_proposals();
  expected.note_proposals();
  CHECK(got.proposal_at == expected.proposal_at, "proposals, seed ", seed);
}

struct Seen {
  int nodes = 0, rounds = 0, failed = 0, last_rows = 0;
};

void try_drafts(int vocabulary, const std::vector<int32_t>& widths, uint64_t seed, Seen& seen) {
  TestRandom random(seed);
  Drafts cpu(vocabulary, widths, random);
  Drafts cuda = cpu;
  AdaptivePlan plan;
  plan.confidence = cpu.confidence;
  const AdaptiveLength lengths(plan, {}, cpu.state());
  open_drafts(cpu.state(), lengths);
  with_schedule(seed, [&] { open_drafts_cuda(cuda.state(), lengths, nullptr); });
  check_same(cuda, cpu, seed);
  while (any_draft_open(cpu.state())) {
    draft_rows(cpu.state(), cpu.sampling(), cpu.cache(), cpu.rows(), cpu.logit_rows());
    draft_rows_cuda(cuda.state(), cuda.sampling(), cuda.cache(), cuda.rows(), cuda.logit_rows(),
                    nullptr);
    cpu.fill(random);
    cuda.fill(random);
    random.bits();
    extend_drafts(cpu.state(), cpu.sampling(), cpu.shape(), cpu.cache(), cpu.rows(),
                  cpu.logit_rows(), cpu.distributions(), lengths);
    with_schedule(seed, [&] {
      extend_drafts_cuda(cuda.state(), cuda.sampling(), cuda.shape(), cuda.cache(), cuda.rows(),
                         cuda.logit_rows(), cuda.distributions(), lengths, nullptr);
    });
    check_same(cuda, cpu, seed);
    ++seen.rounds;
    for (int slot = 0; slot < kSlots; ++slot) {
      seen.last_rows += phase_of(cpu.state(), slot) == DraftPhase::kLastRows;
    }
  }
  for (int slot = 0; slot < kSlots; ++slot) {
    seen.nodes += cpu.state().draft_count[slot];
    seen.failed += cpu.state().failure[slot] != 0;
  }
}

void drafts_are_those_of_the_cpu() {
  Seen seen;
  uint64_t seed = 1;
  for (const int vocabulary : {5, 33, 1000}) {
    for (const std::vector<int32_t>& widths :
         {std::vector<int32_t>{1, 1, 1, 1}, std::vector<int32_t>{3, 2}}) {
      for (int round = 0; round < 12; ++round) try_drafts(vocabulary, widths, ++seed, seen);
    }
  }
  CHECK(seen.nodes > 200 && seen.rounds > 100, seen.nodes, " ", seen.rounds);
  CHECK(seen.failed > 5 && seen.last_rows > 10, seen.failed, " ", seen.last_rows);
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(argc, argv, {CASE(drafts_are_those_of_the_cpu)});
}
