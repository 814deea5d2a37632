#include "decode/max_gram.h"

#include <algorithm>
#include <vector>

namespace speccascade {

namespace {

int text_length(const MaxGramText& text) {
  return text.input_length + std::max(text.output_length - 1, 0);
}

int32_t text_token(const MaxGramText& text, int at) {
  return at < text.input_length ? text.input[at] : text.output[at - text.input_length];
}

// Z function: prefix[i] = how many tokens from i on repeat the pattern's first ones.
// Used on a pattern itself and, with the pattern's own values, on any other text:
// `match_from(i, known)` extends a match of text position i beyond its known tokens.
template <typename Extend, typename Visit>
void z_scan(int begin, int count, const int32_t* prefix, const Extend& match_from,
            const Visit& visit) {
  int left = 0, right = 0;  // the match that reaches farthest is [left, right)
  for (int i = begin; i < count; ++i) {
    const int known = i < right ? std::min(right - i, prefix[i - left]) : 0;
    const int length = i + known < right ? known : match_from(i, std::max(known, 0));
    if (i + length > right) {
      left = i;
      right = i + length;
    }
    visit(i, length);
  }
}

// Visits every occurrence of a suffix of the output, the longest that ends there, from the
// end of the text to its beginning.
template <typename Visit>
void scan_matches(const MaxGramText& text, int32_t* scratch, const Visit& visit) {
  const int suffix = text.output_length;
  const int count = text_length(text);
  if (suffix == 0) return;
  // Both read backwards: a suffix of the output becomes a prefix of the pattern.
  const auto pattern = [&](int i) { return text.output[suffix - 1 - i]; };
  const auto reversed = [&](int i) { return text_token(text, count - 1 - i); };
  scratch[0] = suffix;
  z_scan(
      1, suffix, scratch,
      [&](int i, int length) {
        while (i + length < suffix && pattern(i + length) == pattern(length)) ++length;
        return length;
      },
      [&](int i, int length) { scratch[i] = length; });
  z_scan(
      0, count, scratch,
      [&](int i, int length) {
        while (length < suffix && i + length < count && reversed(i + length) == pattern(length)) {
          ++length;
        }
        return length;
      },
      [&](int i, int length) {
        if (length > 0) visit(MaxGramMatch{length, count - i});
      });
}

// Where what followed an occurrence ends: at the seam between input and output, too.
int followed_until(const MaxGramText& text, const MaxGramMatch& match) {
  return match.start <= text.input_length ? text.input_length : text_length(text);
}

// Of a token; negative: none.
int32_t successor(const BigramTable& bigrams, int32_t token) {
  return token >= 0 && token < bigrams.count ? bigrams.next[token] : -1;
}

bool is_end(int32_t token, const int32_t* ends, int num_ends) {
  return std::find(ends, ends + num_ends, token) != ends + num_ends;
}

}  // namespace

MaxGramMatch max_gram_match(const MaxGramText& text, int32_t* scratch) {
  MaxGramMatch best;
  // Later in the scan is earlier in the text.
  scan_matches(text, scratch, [&](const MaxGramMatch& match) {
    if (match.length >= best.length) best = match;
  });
  return best;
}

int max_gram_candidates(const MaxGramText& text, const BigramTable& bigrams, int32_t* scratch,
                        int width, int32_t* tokens) {
  std::vector<MaxGramMatch> matches;
  scan_matches(text, scratch, [&](const MaxGramMatch& match) {
    if (match.start < followed_until(text, match)) matches.push_back(match);
  });
  std::sort(matches.begin(), matches.end(), [](const MaxGramMatch& a, const MaxGramMatch& b) {
    return a.length != b.length ? a.length > b.length : a.start < b.start;
  });
  int count = 0;
  const auto propose = [&](int32_t token) {
    if (count < width && std::find(tokens, tokens + count, token) == tokens + count) {
      tokens[count++] = token;
    }
  };
  for (const MaxGramMatch& match : matches) propose(text_token(text, match.start));
  if (text.output_length == 0) return count;
  const int32_t next = successor(bigrams, text.output[text.output_length - 1]);
  if (next >= 0) propose(next);
  return count;
}

int max_gram_propose(const MaxGramText& text, const MaxGramMatch& match, const BigramTable& bigrams,
                     const int32_t* ends, int num_ends, int length, int32_t* proposal) {
  int proposed = 0;
  bool ended = false;
  const auto propose = [&](int32_t token) {
    proposal[proposed++] = token;
    ended = is_end(token, ends, num_ends);
  };
  if (match.start >= 0) {
    const int end = followed_until(text, match);
    for (int at = match.start; at < end && proposed < length && !ended; ++at) {
      propose(text_token(text, at));
    }
  }
  if (text.output_length == 0) return proposed;
  int32_t last = proposed > 0 ? proposal[proposed - 1] : text.output[text.output_length - 1];
  while (proposed < length && !ended && (last = successor(bigrams, last)) >= 0) propose(last);
  return proposed;
}

}  // namespace speccascade
