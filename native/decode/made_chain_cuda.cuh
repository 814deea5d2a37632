// What the walk of a slot's chain reads of each token, made for all of them at once: one after
// another, each would wait for memory several times.
#pragma once

#include "decode/draft_plan.h"
#include "decode/made_pi_cuda.cuh"

namespace speccascade {

struct ChainNumbers {
  int32_t token[kMaxDraftNodes];
  float wanted[kMaxDraftNodes];   // pi's entry
  float drawn[kMaxDraftNodes];    // of the row that it was drawn from
  float uniform[kMaxDraftNodes];  // that it is tested with
  int32_t end;                    // the first token that ends the sequence; -1: none does
};

// All numbers of a slot that decide what is done, at once, so that they are found near.
SC_DEVICE void read_slot(const VerifyArgs& args, int slot) {
  const SequenceState& state = args.state;
  const int32_t seen = state.active[slot] ^ state.failure[slot] ^ state.draft_count[slot] ^
                       state.length[slot] ^ state.prefix_length[slot] ^ state.max_length[slot] ^
                       state.verifier[slot] ^ static_cast<int32_t>(state.step[slot]) ^
                       static_cast<int32_t>(state.rule[slot].kind) ^ args.logits.first[slot] ^
                       args.sampling.wants_logprobs[slot];
  keep(static_cast<float>(seen) + args.sampling.temperature[slot]);
}

// By the first warp.
template <typename Verifier>
SC_DEVICE void read_tokens(const VerifyArgs& args, const Verifier& verifier,
                           ChainNumbers& numbers) {
  const auto choices = verifier.chain_choices();
  int32_t end = -1;
  for (int base = 0; base < verifier.nodes(); base += kWarpLanes) {
    const int node = base + lane_index();
    const bool there = node < verifier.nodes();
    const int32_t token = there ? verifier.token(node) : -1;
    if (there) {
      const MadePiRow row = MadePi::row(args, verifier, node - 1);
      const float* drawn = verifier.drawn_from(node);
      numbers.token[node] = token;
      numbers.uniform[node] = choices.uniform_of(node);
      numbers.drawn[node] = drawn != nullptr ? drawn[token] : 1.0f;
      numbers.wanted[node] = row.made->probs.logits != nullptr ? row[token] : 0.0f;
    }
    const uint32_t ending = ballot(kAllLanes, there && verifier.ends(token));
    if (ending != 0 && end < 0) end = shuffle(kAllLanes, token, lowest_bit(ending));
  }
  if (lane_index() == 0) numbers.end = end;
}

// By the second: what is read later, so that it is found near.
template <typename Verifier>
SC_DEVICE void read_ahead(const VerifyArgs& args, const Verifier& verifier) {
  for (int node = lane_index() - 1; node < verifier.nodes(); node += kWarpLanes) {
    const int64_t row = verifier.logit_row(node);
    keep(static_cast<float>(args.target_status[row] ^ args.target_best[row]) + args.deferral[row] +
         static_cast<float>(args.target[row].part_sum[0]));
  }
}

// By the block, before it walks.
template <typename Verifier>
SC_DEVICE void read_chain(const VerifyArgs& args, const Verifier& verifier) {
  const bool walks = !verifier.trusted() && !verifier.failed();
  if (walks && warp_index() == 0) read_tokens(args, verifier, shared<ChainNumbers>());
  const bool second = warp_index() == 1 || block_warps() == 1;
  if (walks && second) read_ahead(args, verifier);
  sync_block();
}

// As ChainOfRows, after read_chain.
template <typename Verifier>
class MadeChain {
 public:
  // Of whose entries the walk reads the drafted token's alone.
  struct Pi : MadePiRow {
    int place;
    SC_DEVICE float operator[](int) const { return shared<ChainNumbers>().wanted[place]; }
  };
  struct Drawn : DrawnRow {
    int place;
    SC_DEVICE float operator[](int) const { return shared<ChainNumbers>().drawn[place]; }
  };
  struct Choices {
    PhiloxChoices<BlockMath> drawing;
    SC_DEVICE bool accept(float probability, int place) const {
      return shared<ChainNumbers>().uniform[place] < probability;
    }
    template <typename Entries>
    SC_DEVICE int draw(const Entries& weights, int count, float total, int place) const {
      return drawing.draw(weights, count, total, place);
    }
  };

  SC_DEVICE MadeChain(const VerifyArgs& args, const Verifier& verifier, float* /*one_hot*/)
      : args_(args), verifier_(verifier), choices_{verifier.chain_choices()} {}

  SC_DEVICE const int32_t* tokens() const { return shared<ChainNumbers>().token; }
  SC_DEVICE Pi pi(int place) const { return {MadePi::row(args_, verifier_, place - 1), place}; }
  SC_DEVICE Drawn drawn(int place) const {
    return {{verifier_.drawn_from(place), tokens()[place]}, place};
  }
  // Of a drafted token, up to the first that does.
  SC_DEVICE bool ends(int32_t token) const { return token == shared<ChainNumbers>().end; }
  SC_DEVICE Choices& choices() { return choices_; }

 private:
  const VerifyArgs& args_;
  const Verifier& verifier_;
  Choices choices_;
};

}  // namespace speccascade
