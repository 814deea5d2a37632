// Max-Gram's drafts under the emulation and on the CPU against its definition, tried out place by
// place: the same chains and trees, for slots of different texts.
#include <algorithm>

#include "decode/copy_drafter.h"
#include "decode/decode_cuda.h"
#include "test/check.h"
#include "test/support/emulated_runs.h"
#include "test/support/slot_memory.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

constexpr int kSlots = 4;
constexpr int kInput = 40;
constexpr int kCapacity = 70;

using Tokens = std::vector<int32_t>;

SessionLimits limits_for(const Tokens& widths) {
  SessionLimits limits = limits_of_slots(kSlots, kCapacity, 1);
  limits.max_input_tokens = kInput;
  limits.draft.kind = DraftKind::kCopy;
  limits.draft.widths = widths;
  return limits;
}

struct Drafts {
  int vocabulary;
  Tokens widths, bigrams;
  SlotMemory memory;
  Tokens lengths, path;

  Drafts(int vocabulary, const Tokens& widths, TestRandom& random);
  const SequenceState& state() const { return memory.state(); }
  const SlotSampling& sampling() const { return memory.sampling(); }
  CopyShape shape() const {
    const bool chain = *std::max_element(widths.begin(), widths.end()) == 1;
    return {widths.data(), chain, {bigrams.data(), static_cast<int>(bigrams.size())}};
  }
  bool ends(int slot, int32_t token) const { return ends_sequence(sampling(), slot, token); }
};

Drafts::Drafts(int vocabulary_, const Tokens& widths_, TestRandom& random)
    : vocabulary(vocabulary_),
      widths(widths_),
      memory(limits_for(widths_), vocabulary_),
      path(kSlots * widths.size(), -7) {
  const bool has_bigrams = random.below(2) == 0;
  for (int token = 0; token < vocabulary && has_bigrams; ++token) {
    bigrams.push_back(random.below(4) == 0 ? -1 : random.below(vocabulary));
  }
  const SequenceState& of = state();
  for (int slot = 0; slot < kSlots; ++slot) {
    of.active[slot] = random.below(8) > 0;
    of.input_length[slot] = random.below(kInput + 1);
    of.length[slot] = 1 + random.below(kCapacity);
    of.draft_limit[slot] = random.below(static_cast<int>(widths.size()) + 1);
    // Runs of one token make matches long and many.
    const bool runs = random.below(3) == 0;
    const auto write = [&](int32_t* text, int width) {
      for (int i = 0; i < width; ++i) {
        text[i] = runs && i > 0 && random.below(5) > 0 ? text[i - 1] : random.below(vocabulary);
      }
    };
    write(slot_part(of.input_tokens, slot, kInput), kInput);
    write(slot_part(of.tokens, slot, kCapacity), kCapacity);
    memory.end_at(sampling().eos_bits, slot, random.below(vocabulary));
  }
  lengths.assign(kSlots * static_cast<size_t>(copy_text_size(state())), -7);
}

// An occurrence: how much of the output's end stands before `start`.
struct Place {
  int length, start;
};

// Every occurrence behind the input and the output, the longest first and the earliest of equals.
std::vector<Place> places_of(const Tokens& text, const Tokens& output) {
  std::vector<Place> places;
  for (int start = 1; start <= static_cast<int>(text.size()); ++start) {
    int length = 0;
    while (length < start && length < static_cast<int>(output.size()) &&
           text[static_cast<size_t>(start - 1 - length)] ==
               output[output.size() - 1 - static_cast<size_t>(length)]) {
      ++length;
    }
    if (length > 0) places.push_back({length, start});
  }
  std::stable_sort(places.begin(), places.end(),
                   [](const Place& a, const Place& b) { return a.length > b.length; });
  return places;
}

struct Plain {
  const Drafts& drafts;
  int slot;

  Tokens output() const {
    const SequenceState& state = drafts.state();
    return entries(slot_part(state.tokens, slot, kCapacity), state.length[slot]);
  }
  Tokens text(const Tokens& output) const {
    const SequenceState& state = drafts.state();
    Tokens text = entries(slot_part(state.input_tokens, slot, kInput), state.input_length[slot]);
    text.insert(text.end(), output.begin(), output.end() - 1);
    return text;
  }
  // What follows place `start`, up to the seam behind the input or the end of the text.
  Tokens followers(const Tokens& text, int start) const {
    const int seam = drafts.state().input_length[slot];
    const int end = start <= seam ? seam : static_cast<int>(text.size());
    return start < end ? Tokens(text.begin() + start, text.begin() + end) : Tokens();
  }
  int32_t bigram(int32_t token) const {
    return drafts.bigrams.empty() ? -1 : drafts.bigrams[static_cast<size_t>(token)];
  }

  Tokens chain(size_t limit) const {
    const Tokens own = output(), all = text(own);
    const std::vector<Place> places = places_of(all, own);
    Tokens tokens = places.empty() ? Tokens() : followers(all, places[0].start);
    while (tokens.size() < limit) {
      const int32_t next = bigram(tokens.empty() ? own.back() : tokens.back());
      if (next < 0) break;
      tokens.push_back(next);
    }
    tokens.resize(std::min(tokens.size(), limit));
    const auto end = std::find_if(tokens.begin(), tokens.end(),
                                  [&](int32_t token) { return drafts.ends(slot, token); });
    if (end != tokens.end()) tokens.erase(end + 1, tokens.end());
    return tokens;
  }
  Tokens candidates(const Tokens& drafted, size_t width) const {
    Tokens own = output(), candidates;
    own.insert(own.end(), drafted.begin(), drafted.end());
    const Tokens all = text(own);
    const auto add = [&](int32_t token) {
      const bool is_new =
          std::find(candidates.begin(), candidates.end(), token) == candidates.end();
      if (candidates.size() < width && is_new) candidates.push_back(token);
    };
    for (const Place& place : places_of(all, own)) {
      const Tokens next = followers(all, place.start);
      if (!next.empty()) add(next[0]);
    }
    if (bigram(own.back()) >= 0) add(bigram(own.back()));
    return candidates;
  }
};

void check_slot(const Drafts& drafts, int slot, uint64_t seed) {
  const SequenceState& state = drafts.state();
  const auto count = static_cast<size_t>(state.draft_count[slot]);
  const int limit = state.draft_limit[slot];
  const bool drafting = state.active[slot] != 0 && limit > 0;
  CHECK(state.draft_passes[slot] == (drafting ? 1 : 0), "passes, seed ", seed);
  if (!drafting) CHECK(count == 0, "no draft, seed ", seed);
  if (!drafting) return;
  const Plain plain = {drafts, slot};
  const int32_t* tokens = slot_part(state.draft_tokens, slot, state.max_nodes);
  const int32_t* parents = slot_part(state.draft_parent, slot, state.max_nodes);
  const int32_t* depths = slot_part(state.draft_depth, slot, state.max_nodes);
  if (drafts.shape().chain) {
    const Tokens expected = plain.chain(static_cast<size_t>(limit));
    CHECK(Tokens(tokens, tokens + count) == expected, "chain, seed ", seed);
    for (size_t i = 0; i < count; ++i) {
      CHECK(parents[i] == static_cast<int>(i) - 1 && depths[i] == static_cast<int>(i));
    }
    return;
  }
  size_t next = 0;  // children stand together, in the order of their parents
  for (int node = -1; node < static_cast<int>(count); ++node) {
    const int depth = node < 0 ? 0 : depths[node] + 1;
    if (depth == limit || (node >= 0 && drafts.ends(slot, tokens[node]))) continue;
    Tokens path;
    for (int at = node; at >= 0; at = parents[at]) path.insert(path.begin(), tokens[at]);
    const auto width = static_cast<size_t>(drafts.widths[static_cast<size_t>(depth)]);
    for (const int32_t token : plain.candidates(path, width)) {
      CHECK(next < count && tokens[next] == token, "candidate ", next, ", seed ", seed);
      CHECK(parents[next] == node && depths[next] == depth, "place, seed ", seed);
      ++next;
    }
  }
  CHECK(next == count, "nodes, seed ", seed);
}

int try_drafts(int vocabulary, const Tokens& widths, uint64_t seed) {
  TestRandom random(seed);
  Drafts cpu(vocabulary, widths, random);
  Drafts cuda = cpu;
  HostLanes lanes(cpu.state());
  const AdaptiveLength lengths({}, {}, cpu.state());
  int nodes = 0;
  for (int slot = 0; slot < kSlots; ++slot) {
    const SequenceState state = cpu.state();
    const SlotSampling sampling = cpu.sampling();
    const CopyShape shape = cpu.shape();
    CopyWriter<HostLanes>(state, sampling, shape, {cpu.lengths.data(), cpu.path.data()}, lanes,
                          lengths, slot)
        .draft();
    check_slot(cpu, slot, seed);
    nodes += state.draft_count[slot];
  }
  with_schedule(seed, [&] {
    copy_drafts_cuda(cuda.state(), cuda.sampling(), cuda.shape(),
                     {cuda.lengths.data(), cuda.path.data()}, lengths, nullptr);
  });
  CHECK(cuda.memory == cpu.memory, "seed ", seed);
  return nodes;
}

void drafts_are_those_of_the_definition() {
  int nodes = 0;
  uint64_t seed = 1;
  for (const int vocabulary : {2, 5, 30}) {
    for (const Tokens& widths : {Tokens(9, 1), Tokens{3, 2, 1}, Tokens{8, 1}}) {
      for (int round = 0; round < 8; ++round) nodes += try_drafts(vocabulary, widths, ++seed);
    }
  }
  CHECK(nodes > 500, nodes, " nodes");
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(argc, argv, {CASE(drafts_are_those_of_the_definition)});
}
