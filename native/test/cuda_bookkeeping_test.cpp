// The bookkeeping of a step under the emulation against the CPU's: the rows of passes, and what
// caches keep of a draft. Everything is integers, so everything is equal.
#include <algorithm>

#include "decode/decode_cuda.h"
#include "decode/level_draft.h"
#include "test/check.h"
#include "test/support/emulated_runs.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

constexpr int kNodes = 7;
constexpr int kCapacity = 40;
constexpr int kVocabulary = 40;
constexpr int kCacheRows = kCapacity + kNodes;
constexpr int kMaxNodes = kCapacity + kNodes;  // of a pass

// Slots somewhere within a step, with a cache that has consumed some of their tokens.
struct Slots {
  int slots;
  std::vector<int32_t> active, tokens, length, prefix, verifier, draft_tokens, parent, depth, count,
      level, level_begin, consumed, phase, lag, path, accepted, emitted, order, cached,
      wants_logprobs, longest;
  std::vector<uint32_t> step, eos;
  // The rows of a pass.
  std::vector<int32_t> counts, row_ints, node_parent, logit_ints;

  Slots(int count, TestRandom& random);
  void draft(int slot, TestRandom& random);
  void accept(int slot, TestRandom& random);
  SequenceState state();
  SlotSampling sampling();
  CacheTable cache() { return {order.data(), cached.data(), kCacheRows}; }
  size_t max_rows() const { return static_cast<size_t>(slots * kMaxNodes); }
  DecoderRows rows();
  LogitRows logits();
};

Slots::Slots(int slots_, TestRandom& random)
    : slots(slots_),
      counts(2, -7),
      row_ints(6 * max_rows(), -7),
      node_parent(max_rows(), -7),
      logit_ints(5 * max_rows(), -7) {
  const size_t n = static_cast<size_t>(slots);
  for (auto* per_slot :
       {&active, &length, &prefix, &verifier, &count, &level, &level_begin, &consumed, &phase, &lag,
        &accepted, &emitted, &cached, &wants_logprobs, &longest}) {
    per_slot->assign(n, 0);
  }
  for (auto* per_node : {&draft_tokens, &parent, &depth, &path}) per_node->assign(n * kNodes, 0);
  step.assign(n, 3);
  eos.assign(n * bit_words_for(kVocabulary), 0);
  for (int i = 0; i < slots * kCapacity; ++i) tokens.push_back(random.below(kVocabulary));
  for (int slot = 0; slot < slots; ++slot) {
    const size_t s = static_cast<size_t>(slot);
    active[s] = random.below(5) > 0;
    prefix[s] = 1 + random.below(3);
    length[s] = prefix[s] + random.below(20);
    cached[s] = random.below(length[s]);
    verifier[s] = random.below(4);
    wants_logprobs[s] = random.below(2);
    const std::vector<int32_t> own = random.permutation(kCacheRows);
    order.insert(order.end(), own.begin(), own.end());
    eos[s * bit_words_for(kVocabulary)] = 0x80808080u;
    draft(slot, random);
  }
}

// A tree of random form, parents before children.
void Slots::draft(int slot, TestRandom& random) {
  const size_t s = static_cast<size_t>(slot), first = s * kNodes;
  count[s] = random.below(kNodes + 1);
  for (int node = 0; node < count[s]; ++node) {
    const size_t at = first + static_cast<size_t>(node);
    parent[at] = random.below(node + 1) - 1;
    depth[at] = parent[at] < 0 ? 0 : depth[first + static_cast<size_t>(parent[at])] + 1;
    draft_tokens[at] = random.below(kVocabulary);
  }
  // A draft may be the rest of the output.
  longest[s] = length[s] + count[s] + random.below(2);
  phase[s] = active[s] ? random.below(3) : 0;
  level[s] = count[s] == 0 ? 0 : random.below(3);
  level_begin[s] = random.below(count[s] + 1);
  consumed[s] = random.below(count[s] + 1);
}

// As verification leaves a slot: a rising path, and tokens behind the committed ones.
void Slots::accept(int slot, TestRandom& random) {
  const size_t s = static_cast<size_t>(slot);
  accepted[s] = 0;
  for (int node = 0; node < count[s]; ++node) {
    if (random.below(2)) path[s * kNodes + static_cast<size_t>(accepted[s]++)] = node;
  }
  emitted[s] = accepted[s] + random.below(2);
  // A cache may have all that was committed, or lag behind.
  if (random.below(2)) cached[s] = length[s];
  length[s] += emitted[s];
}

SequenceState Slots::state() {
  SequenceState state = {};
  state.slots = slots;
  state.capacity = kCapacity;
  state.max_nodes = kNodes;
  state.max_path = kNodes;
  state.active = active.data();
  state.tokens = tokens.data();
  state.length = length.data();
  state.prefix_length = prefix.data();
  state.max_length = longest.data();
  state.step = step.data();
  state.verifier = verifier.data();
  state.draft_tokens = draft_tokens.data();
  state.draft_parent = parent.data();
  state.draft_depth = depth.data();
  state.draft_count = count.data();
  state.draft_level = level.data();
  state.level_begin = level_begin.data();
  state.draft_consumed = consumed.data();
  state.draft_phase = phase.data();
  state.draft_lag = lag.data();
  state.path = path.data();
  state.accepted = accepted.data();
  state.emitted = emitted.data();
  return state;
}

SlotSampling Slots::sampling() {
  SlotSampling sampling = {};
  sampling.wants_logprobs = wants_logprobs.data();
  sampling.eos_bits = eos.data();
  sampling.stop_bits = eos.data();
  sampling.bit_words = bit_words_for(kVocabulary);
  return sampling;
}

DecoderRows Slots::rows() {
  int32_t* ints = row_ints.data();
  const size_t n = max_rows();
  return {&counts[0],   ints,       ints + n,     ints + 2 * n,       ints + 3 * n,
          ints + 4 * n, &counts[1], ints + 5 * n, node_parent.data(), static_cast<int>(n),
          kMaxNodes};
}

LogitRows Slots::logits() {
  int32_t* ints = logit_ints.data();
  const size_t n = max_rows();
  return {ints, ints + n, ints + 2 * n, ints + 3 * n, ints + 4 * n};
}

void check_same(const Slots& got, const Slots& expected, const char* what) {
  CHECK(got.counts == expected.counts, what);
  CHECK(got.row_ints == expected.row_ints, what);
  CHECK(got.node_parent == expected.node_parent, what);
  CHECK(got.logit_ints == expected.logit_ints, what);
  CHECK(got.order == expected.order && got.cached == expected.cached, what);
  CHECK(got.step == expected.step && got.lag == expected.lag, what);
}

// Runs both on copies of the same slots; the CPU's must have done something.
template <typename Cpu, typename Cuda>
void compare(const char* what, const Slots& before, uint64_t seed, const Cpu& on_cpu,
             const Cuda& on_cuda) {
  Slots cpu = before, cuda = before;
  on_cpu(cpu);
  with_schedule(seed, [&] { on_cuda(cuda); });
  check_same(cuda, cpu, what);
  const bool changed = cpu.counts != before.counts || cpu.cached != before.cached;
  CHECK(changed || before.slots < 64, what);
}

void try_slots(int slots, uint64_t seed) {
  TestRandom random(seed);
  Slots open(slots, random);
  compare(
      "verify_rows", open, seed,
      [](Slots& s) { verify_rows(s.state(), s.cache(), s.rows(), s.logits(), s.sampling()); },
      [](Slots& s) {
        verify_rows_cuda(s.state(), s.cache(), s.rows(), s.logits(), s.sampling(), nullptr);
      });
  compare(
      "draft_rows", open, seed,
      [](Slots& s) { draft_rows(s.state(), s.sampling(), s.cache(), s.rows(), s.logits()); },
      [](Slots& s) {
        draft_rows_cuda(s.state(), s.sampling(), s.cache(), s.rows(), s.logits(), nullptr);
      });
  Slots verified = open;
  for (int slot = 0; slot < slots; ++slot) verified.accept(slot, random);
  compare(
      "commit", verified, seed, [](Slots& s) { commit(s.state(), s.cache()); },
      [](Slots& s) { commit_cuda(s.state(), s.cache(), nullptr); });
  compare(
      "keep_accepted", verified, seed, [](Slots& s) { keep_accepted(s.state(), s.cache()); },
      [](Slots& s) { keep_accepted_cuda(s.state(), s.cache(), nullptr); });
}

// More slots than a block has threads, too.
void bookkeeping_is_that_of_the_cpu() {
  uint64_t seed = 1;
  for (const int slots : {1, 5, 64, 65, 130}) {
    for (int round = 0; round < 6; ++round) try_slots(slots, ++seed);
  }
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(argc, argv, {CASE(bookkeeping_is_that_of_the_cpu)});
}
