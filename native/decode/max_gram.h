// Max-Gram drafting (Chen et al. 2023, "Cascade Speculative Drafting"): what followed
// the longest suffix of the output where it stood before, in the input or earlier in
// the output.
//
//   text = input, then output without its last token
//   The longest suffix of the output that stands in `text` is found, its earliest
//   occurrence where there are several; what follows there is proposed, up to the end
//   of the input where the match lies in the input, else up to the end of the text.
//   After that, or where nothing matches, each further token is the bigram successor
//   of the one before. An end token is proposed, and nothing behind it.
//
// Input without padding: token 0 is the start token, too. Time and memory are linear
// in the text (Z function of the reversed output, run over the reversed text).
#pragma once

#include <cstdint>

#include "base/host_device.h"

namespace speccascade {

struct MaxGramText {
  const int32_t* input;  // [input_length] input ids
  int input_length;
  const int32_t* output;  // [output_length] output ids, the start token first
  int output_length;
  const int32_t* drafted = nullptr;  // [drafted_length] the output goes on with them
  int drafted_length = 0;

  SC_HOST_DEVICE int outputs() const { return output_length + drafted_length; }
  SC_HOST_DEVICE int32_t output_at(int at) const {
    return at < output_length ? output[at] : drafted[at - output_length];
  }
  SC_HOST_DEVICE int32_t last() const { return output_at(outputs() - 1); }
  // Of the text.
  SC_HOST_DEVICE int length() const { return input_length + (outputs() > 1 ? outputs() - 1 : 0); }
  SC_HOST_DEVICE int32_t at(int at) const {
    return at < input_length ? input[at] : output_at(at - input_length);
  }
};

// Successors of tokens; count = 0: none.
struct BigramTable {
  const int32_t* next;  // [count] the token that follows; negative: none
  int count;
};

struct MaxGramMatch {
  int length = 0;  // tokens of the suffix
  int start = -1;  // index in the text of the token behind its occurrence; -1: no match
};

// Of a token; negative: none.
SC_HOST_DEVICE inline int32_t successor(const BigramTable& bigrams, int32_t token) {
  return token >= 0 && token < bigrams.count ? bigrams.next[token] : -1;
}

// Where what followed an occurrence ends: at the seam between input and output, too.
SC_HOST_DEVICE inline int followed_until(const MaxGramText& text, int start) {
  return start <= text.input_length ? text.input_length : text.length();
}

// Calls take(token) for what is proposed, token by token; its result says whether there may be
// more. By one thread.
template <typename Take>
SC_COLLECTIVE void max_gram_propose(const MaxGramText& text, const MaxGramMatch& match,
                                    const BigramTable& bigrams, const Take& take) {
  if (text.outputs() == 0) return;
  int32_t last = text.last();
  if (match.start >= 0) {
    const int end = followed_until(text, match.start);
    for (int at = match.start; at < end; ++at) {
      last = text.at(at);
      if (!take(last)) return;
    }
  }
  while ((last = successor(bigrams, last)) >= 0) {
    if (!take(last)) return;
  }
}

// lengths[start]: the length of the longest suffix of the output that also stands right before
// text[start]; 0 where there is none.
// scratch: [outputs]; lengths: [text's length + 1]
void max_gram_lengths(const MaxGramText& text, int32_t* scratch, int32_t* lengths);

}  // namespace speccascade
