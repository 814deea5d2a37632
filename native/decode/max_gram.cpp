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

}  // namespace

void max_gram_lengths(const MaxGramText& text, int32_t* scratch, int32_t* lengths) {
  const int suffix = text.outputs();
  const int count = text.length();
  std::fill(lengths, lengths + count + 1, 0);
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
      [&](int i, int length) { lengths[count - i] = length; });
}

}  // namespace speccascade
