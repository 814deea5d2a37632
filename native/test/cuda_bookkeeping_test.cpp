// The bookkeeping of a step under the emulation against the CPU's: the rows of passes, and what
// caches keep of a draft. Everything is integers, so everything is equal.
#include <algorithm>

#include "decode/decode_cuda.h"
#include "decode/level_draft.h"
#include "test/check.h"
#include "test/support/emulated_runs.h"
#include "test/support/slot_memory.h"

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
  SlotMemory memory;
  std::vector<int32_t> order, cached;
  // The rows of a pass.
  std::vector<int32_t> counts, row_ints, node_parent, logit_ints;

  Slots(int slots, TestRandom& random);
  void draft(int slot, TestRandom& random);
  void accept(int slot, TestRandom& random);
  const SequenceState& state() const { return memory.state(); }
  const SlotSampling& sampling() const { return memory.sampling(); }
  CacheTable cache() { return {order.data(), cached.data(), kCacheRows}; }
  size_t max_rows() const { return static_cast<size_t>(state().slots * kMaxNodes); }
  DecoderRows rows();
  LogitRows logits();
};

Slots::Slots(int slots, TestRandom& random)
    : memory(limits_of_slots(slots, kCapacity, kNodes), kVocabulary),
      cached(static_cast<size_t>(slots)),
      counts(2, -7),
      row_ints(6 * max_rows(), -7),
      node_parent(max_rows(), -7),
      logit_ints(5 * max_rows(), -7) {
  const SequenceState& of = state();
  for (int i = 0; i < slots * kCapacity; ++i) of.tokens[i] = random.below(kVocabulary);
  for (int slot = 0; slot < slots; ++slot) {
    of.active[slot] = random.below(5) > 0;
    of.prefix_length[slot] = 1 + random.below(3);
    of.length[slot] = of.prefix_length[slot] + random.below(20);
    of.step[slot] = 3;
    of.verifier[slot] = random.below(4);
    cached[static_cast<size_t>(slot)] = random.below(of.length[slot]);
    sampling().wants_logprobs[slot] = random.below(2);
    for (int token = 7; token < 32; token += 8) {
      memory.end_at(sampling().eos_bits, slot, token);
    }
    const std::vector<int32_t> own = random.permutation(kCacheRows);
    order.insert(order.end(), own.begin(), own.end());
    draft(slot, random);
  }
}

// A tree of random form, parents before children.
void Slots::draft(int slot, TestRandom& random) {
  const SequenceState& of = state();
  const int count = of.draft_count[slot] = random.below(kNodes + 1);
  const int32_t* depths = slot_part(of.draft_depth, slot, kNodes);
  for (int node = 0; node < count; ++node) {
    const int parent = random.below(node + 1) - 1;
    put_node(of, slot, node, random.below(kVocabulary), parent,
             parent < 0 ? 0 : depths[parent] + 1);
  }
  // A draft may be the rest of the output.
  of.max_length[slot] = of.length[slot] + count + random.below(2);
  of.draft_phase[slot] = of.active[slot] ? random.below(3) : 0;
  of.draft_level[slot] = count == 0 ? 0 : random.below(3);
  of.level_begin[slot] = random.below(count + 1);
  of.draft_consumed[slot] = random.below(count + 1);
}

// As verification leaves a slot: a rising path, and tokens behind the committed ones.
void Slots::accept(int slot, TestRandom& random) {
  const SequenceState& of = state();
  int32_t& accepted = of.accepted[slot] = 0;
  for (int node = 0; node < of.draft_count[slot]; ++node) {
    if (random.below(2)) slot_part(of.path, slot, kNodes)[accepted++] = node;
  }
  of.emitted[slot] = accepted + random.below(2);
  // A cache may have all that was committed, or lag behind.
  if (random.below(2)) cached[static_cast<size_t>(slot)] = of.length[slot];
  of.length[slot] += of.emitted[slot];
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
  CHECK(got.memory == expected.memory, what);
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
  CHECK(changed || before.state().slots < 64, what);
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
