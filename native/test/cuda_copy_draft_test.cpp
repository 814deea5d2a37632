// Max-Gram's drafts under the emulation and on the CPU against its definition, tried out place by
// place: the same chains and trees, for slots of different texts.
#include <algorithm>

#include "decode/copy_drafter.h"
#include "decode/decode_cuda.h"
#include "test/check.h"
#include "test/support/emulated_runs.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

constexpr int kSlots = 4;
constexpr int kInput = 40;
constexpr int kCapacity = 70;
constexpr int kNodes = 20;

using Tokens = std::vector<int32_t>;

struct Drafts {
  int vocabulary;
  Tokens widths, bigrams;
  Tokens active, input, input_length, tokens, length, draft_tokens, parent, depth, count, limit,
      passes, lengths, path;
  std::vector<uint32_t> eos;

  Drafts(int vocabulary, const Tokens& widths, TestRandom& random);
  SequenceState state();
  SlotSampling sampling();
  CopyShape shape() const {
    const bool chain = *std::max_element(widths.begin(), widths.end()) == 1;
    return {widths.data(), chain, {bigrams.data(), static_cast<int>(bigrams.size())}};
  }
  bool ends(int slot, int32_t token) { return ends_sequence(sampling(), slot, token); }
};

Drafts::Drafts(int vocabulary_, const Tokens& widths_, TestRandom& random)
    : vocabulary(vocabulary_),
      widths(widths_),
      active(kSlots, 1),
      input(kSlots * kInput),
      input_length(kSlots),
      tokens(kSlots * kCapacity),
      length(kSlots),
      draft_tokens(kSlots * kNodes, -7),
      parent(draft_tokens),
      depth(draft_tokens),
      count(kSlots, 0),
      limit(kSlots),
      passes(kSlots, -7),
      path(kSlots * widths.size(), -7),
      eos(kSlots * static_cast<size_t>(bit_words_for(vocabulary)), 0) {
  const bool has_bigrams = random.below(2) == 0;
  for (int token = 0; token < vocabulary && has_bigrams; ++token) {
    bigrams.push_back(random.below(4) == 0 ? -1 : random.below(vocabulary));
  }
  for (int slot = 0; slot < kSlots; ++slot) {
    const auto s = static_cast<size_t>(slot);
    active[s] = random.below(8) > 0;
    input_length[s] = random.below(kInput + 1);
    length[s] = 1 + random.below(kCapacity);
    limit[s] = random.below(static_cast<int>(widths.size()) + 1);
    // Runs of one token make matches long and many.
    const bool runs = random.below(3) == 0;
    for (auto* text : {&input, &tokens}) {
      const size_t width = text->size() / kSlots;
      for (size_t i = 0; i < width; ++i) {
        int32_t& token = (*text)[s * width + i];
        token = runs && i > 0 && random.below(5) > 0 ? (&token)[-1] : random.below(vocabulary);
      }
    }
    const int end = random.below(vocabulary);
    eos[s * static_cast<size_t>(bit_words_for(vocabulary)) + static_cast<size_t>(end / 32)] |=
        1u << (end % 32);
  }
  lengths.assign(kSlots * static_cast<size_t>(copy_text_size(state())), -7);
}

SequenceState Drafts::state() {
  SequenceState state = {};
  state.slots = kSlots;
  state.capacity = kCapacity;
  state.max_input = kInput;
  state.max_nodes = kNodes;
  state.max_path = static_cast<int>(widths.size());
  state.active = active.data();
  state.input_tokens = input.data();
  state.input_length = input_length.data();
  state.tokens = tokens.data();
  state.length = length.data();
  state.draft_tokens = draft_tokens.data();
  state.draft_parent = parent.data();
  state.draft_depth = depth.data();
  state.draft_count = count.data();
  state.draft_limit = limit.data();
  state.draft_passes = passes.data();
  return state;
}

SlotSampling Drafts::sampling() {
  SlotSampling sampling = {};
  sampling.eos_bits = eos.data();
  sampling.stop_bits = eos.data();
  sampling.bit_words = bit_words_for(vocabulary);
  return sampling;
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
  Drafts& drafts;
  int slot;

  Tokens output() const {
    const auto begin = drafts.tokens.begin() + slot * kCapacity;
    return {begin, begin + drafts.length[static_cast<size_t>(slot)]};
  }
  Tokens text(const Tokens& output) const {
    const auto begin = drafts.input.begin() + slot * kInput;
    Tokens text(begin, begin + drafts.input_length[static_cast<size_t>(slot)]);
    text.insert(text.end(), output.begin(), output.end() - 1);
    return text;
  }
  // What follows place `start`, up to the seam behind the input or the end of the text.
  Tokens followers(const Tokens& text, int start) const {
    const int seam = drafts.input_length[static_cast<size_t>(slot)];
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

void check_slot(Drafts& drafts, int slot, uint64_t seed) {
  const auto s = static_cast<size_t>(slot);
  const auto count = static_cast<size_t>(drafts.count[s]);
  const bool drafting = drafts.active[s] != 0 && drafts.limit[s] > 0;
  CHECK(drafts.passes[s] == (drafting ? 1 : 0), "passes, seed ", seed);
  if (!drafting) CHECK(count == 0, "no draft, seed ", seed);
  if (!drafting) return;
  const Plain plain = {drafts, slot};
  const int32_t* tokens = drafts.draft_tokens.data() + slot * kNodes;
  const int32_t* parents = drafts.parent.data() + slot * kNodes;
  const int32_t* depths = drafts.depth.data() + slot * kNodes;
  if (drafts.shape().chain) {
    const Tokens expected = plain.chain(static_cast<size_t>(drafts.limit[s]));
    CHECK(Tokens(tokens, tokens + count) == expected, "chain, seed ", seed);
    for (size_t i = 0; i < count; ++i) {
      CHECK(parents[i] == static_cast<int>(i) - 1 && depths[i] == static_cast<int>(i));
    }
    return;
  }
  size_t next = 0;  // children stand together, in the order of their parents
  for (int node = -1; node < static_cast<int>(count); ++node) {
    const int depth = node < 0 ? 0 : depths[node] + 1;
    if (depth == drafts.limit[s] || (node >= 0 && drafts.ends(slot, tokens[node]))) continue;
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
    nodes += cpu.count[static_cast<size_t>(slot)];
  }
  with_schedule(seed, [&] {
    copy_drafts_cuda(cuda.state(), cuda.sampling(), cuda.shape(),
                     {cuda.lengths.data(), cuda.path.data()}, lengths, nullptr);
  });
  CHECK(cuda.count == cpu.count && cuda.passes == cpu.passes, "counts, seed ", seed);
  CHECK(cuda.draft_tokens == cpu.draft_tokens, "tokens, seed ", seed);
  CHECK(cuda.parent == cpu.parent && cuda.depth == cpu.depth, "tree, seed ", seed);
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
