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

namespace speccascade {

struct MaxGramText {
  const int32_t* input;  // [input_length] input ids
  int input_length;
  const int32_t* output;  // [output_length] output ids, the start token first
  int output_length;
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

// scratch: [output_length]
MaxGramMatch max_gram_match(const MaxGramText& text, int32_t* scratch);

// Writes at most `length` tokens to `proposal`, [length]; returns how many. Tokens of
// `ends`, [num_ends], end a proposal.
int max_gram_propose(const MaxGramText& text, const MaxGramMatch& match, const BigramTable& bigrams,
                     const int32_t* ends, int num_ends, int length, int32_t* proposal);

// Different tokens for the next position, at most `width`: what followed occurrences of
// the output's suffixes, longest suffixes first and earlier occurrences before later
// ones; then the bigram successor of the last token. Returns how many.
// scratch: [output_length]
int max_gram_candidates(const MaxGramText& text, const BigramTable& bigrams, int32_t* scratch,
                        int width, int32_t* tokens);

}  // namespace speccascade
