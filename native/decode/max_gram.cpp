#include "decode/max_gram.h"

#include <algorithm>

namespace speccascade {

namespace {

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
  const int suffix = text.outputs();
  const int count = text.length();
  if (suffix == 0) return;
  // Both read backwards: a suffix of the output becomes a prefix of the pattern.
  const auto pattern = [&](int i) { return text.output_at(suffix - 1 - i); };
  const auto reversed = [&](int i) { return text.at(count - 1 - i); };
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

void max_gram_lengths(const MaxGramText& text, int32_t* scratch, int32_t* lengths) {
  std::fill(lengths, lengths + text.length() + 1, 0);
  scan_matches(text, scratch,
               [&](const MaxGramMatch& match) { lengths[match.start] = match.length; });
}

int max_gram_propose(const MaxGramText& text, const MaxGramMatch& match, const BigramTable& bigrams,
                     const int32_t* ends, int num_ends, int length, int32_t* proposal) {
  int proposed = 0;
  if (length == 0) return proposed;
  max_gram_propose(text, match, bigrams, [&](int32_t token) {
    proposal[proposed++] = token;
    return proposed < length && !is_end(token, ends, num_ends);
  });
  return proposed;
}

}  // namespace speccascade
