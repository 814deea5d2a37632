// Drafting level by level under the emulation against the CPU's: the same trees, phases and
// proposals after every round, for slots with settings of their own.
#include <algorithm>
#include <cmath>

#include "decode/decode_cuda.h"
#include "decode/level_draft.h"
#include "ops/row_math.h"
#include "test/check.h"
#include "test/support/emulated_runs.h"

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
  std::vector<int32_t> active, tokens, length, prefix, verifier, draft_tokens, parent, depth, count,
      limit, longest, level, level_begin, consumed, phase, passes, failure, order, cached, best,
      status, counts, row_ints, node_parent, logit_ints;
  std::vector<uint64_t> seed;
  std::vector<uint32_t> step, eos;
  std::vector<Rule> rule;
  std::vector<float> stop, temperature, logits, probs, unscaled, scratch;
  std::vector<const float*> proposal;
  std::vector<int64_t> proposal_at;  // the same as places in `probs`; -1: none

  Drafts(int columns, const std::vector<int32_t>& shape, TestRandom& random);

  size_t columns() const { return static_cast<size_t>(vocabulary); }
  SequenceState state();
  SlotSampling sampling();
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
      active(kSlots, 1),
      tokens(kSlots * kCapacity, 1),
      length(kSlots, 4),
      prefix(kSlots, 2),
      verifier(kSlots, 0),
      draft_tokens(kSlots * kNodes, -7),
      parent(draft_tokens),
      depth(draft_tokens),
      count(kSlots, 0),
      limit(kSlots),
      level(kSlots, -7),
      level_begin(kSlots, -7),
      consumed(kSlots, -7),
      phase(kSlots, -7),
      passes(kSlots, -7),
      failure(kSlots, 0),
      cached(kSlots, 3),
      best(kPassRows),
      status(kPassRows, 0),
      counts(2),
      row_ints(6 * kPassRows, -7),
      node_parent(kPassRows, -7),
      logit_ints(5 * kPassRows, -7),
      step(kSlots, 3),
      eos(kSlots * static_cast<size_t>(bit_words_for(columns_)), 0),
      stop(kSlots, 0.0f),
      logits(kPassRows * columns()),
      probs(kOutRows * columns(), -7.0f),
      unscaled(probs),
      scratch(kSlots * columns(), -7.0f),
      proposal(kSlots * kNodes, nullptr) {
  for (int slot = 0; slot < kSlots; ++slot) {
    const size_t s = static_cast<size_t>(slot);
    active[s] = random.below(6) > 0;
    limit[s] = random.below(static_cast<int>(widths.size()) + 1);
    longest.push_back(length[s] + limit[s] + random.below(2));
    temperature.push_back(random.below(3) == 0 ? 0.0f : 1.0f);
    seed.push_back(random.bits());
    stop[s] = random.below(3) == 0 ? 0.1f : 0.0f;
    const bool trusted = random.below(4) == 0;
    verifier[s] = static_cast<int32_t>(trusted ? Verifier::kTrusted : Verifier::kToken);
    rule.push_back({trusted || random.below(2) ? RuleKind::kChow : RuleKind::kLossless, 0.8, 1.0});
    const int end = random.below(vocabulary);
    eos[s * static_cast<size_t>(bit_words_for(vocabulary)) + static_cast<size_t>(end / 32)] |=
        1u << (end % 32);
    for (int i = 0; i < kPassNodes; ++i) order.push_back(i);
  }
}

SequenceState Drafts::state() {
  SequenceState state = {};
  state.slots = kSlots;
  state.capacity = kCapacity;
  state.max_nodes = kNodes;
  state.max_path = kNodes;
  state.active = active.data();
  state.tokens = tokens.data();
  state.length = length.data();
  state.prefix_length = prefix.data();
  state.max_length = longest.data();
  state.seed = seed.data();
  state.step = step.data();
  state.rule = rule.data();
  state.verifier = verifier.data();
  state.confidence_stop = stop.data();
  state.draft_tokens = draft_tokens.data();
  state.draft_parent = parent.data();
  state.draft_depth = depth.data();
  state.draft_count = count.data();
  state.draft_limit = limit.data();
  state.draft_level = level.data();
  state.level_begin = level_begin.data();
  state.draft_consumed = consumed.data();
  state.draft_phase = phase.data();
  state.draft_passes = passes.data();
  state.failure = failure.data();
  return state;
}

SlotSampling Drafts::sampling() {
  SlotSampling sampling = {};
  sampling.temperature = temperature.data();
  sampling.eos_bits = eos.data();
  sampling.stop_bits = eos.data();
  sampling.bit_words = bit_words_for(vocabulary);
  return sampling;
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
  CHECK(got.phase == expected.phase, "phase, seed ", seed);
  CHECK(got.passes == expected.passes, "passes, seed ", seed);
  CHECK(got.count == expected.count, "count, seed ", seed);
  CHECK(got.draft_tokens == expected.draft_tokens, "tokens, seed ", seed);
  CHECK(got.parent == expected.parent && got.depth == expected.depth, "tree, seed ", seed);
  CHECK(got.level == expected.level && got.level_begin == expected.level_begin, "level, ", seed);
  CHECK(got.consumed == expected.consumed && got.cached == expected.cached, "cache, ", seed);
  CHECK(got.failure == expected.failure, "failure, seed ", seed);
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
    for (const int32_t phase : cpu.phase) {
      seen.last_rows += phase == static_cast<int32_t>(DraftPhase::kLastRows);
    }
  }
  for (size_t s = 0; s < kSlots; ++s) {
    seen.nodes += cpu.count[s];
    seen.failed += cpu.failure[s] != 0;
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
