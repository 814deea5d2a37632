// Max-Gram's search in one slot's text. Over who searches (Lanes): the CPU in linear time
// (HostLanes, copy_drafter.h), a block of a GPU with every occurrence looked at side by side
// (copy_lanes_cuda.cuh). Both find the same.
//
//   Lanes   void match_lengths(const MaxGramText& text, int32_t* lengths)
//             as max_gram_lengths()
//           uint64_t largest(int count, key)   of key(0) .. key(count - 1); 0 of none
//           void for_each(int count, body)     body(i) may write entry i
//           void alone(body)                   by one thread
#pragma once

#include <cstdint>

#include "decode/max_gram.h"

namespace speccascade {

template <typename Lanes>
class CopySearch {
 public:
  // lengths: [text's length + 1], overwritten
  SC_COLLECTIVE CopySearch(Lanes& lanes, const MaxGramText& text, int32_t* lengths)
      : lanes_(lanes), text_(text), lengths_(lengths) {
    if (text.outputs() > 0) lanes.match_lengths(text, lengths);
  }

  // The longest match, the earliest of equals.
  SC_COLLECTIVE MaxGramMatch longest() const {
    return best([this](int start) { return lengths_[start]; });
  }

  // Tokens that followed matches, the best match's first, each once and at most `width`, then the
  // bigram successor of the last token, are given to take(token), by one thread.
  template <typename Take>
  SC_COLLECTIVE void candidates(const BigramTable& bigrams, int width, const Take& take) {
    if (text_.outputs() == 0) return;
    const int32_t next = successor(bigrams, text_.last());
    bool next_taken = next < 0;
    int taken = 0;
    while (taken < width) {
      const MaxGramMatch match =
          best([this](int start) { return is_followed(start) ? lengths_[start] : 0; });
      if (match.start < 0) break;
      const int32_t token = text_.at(match.start);
      lanes_.alone([&take, token] { take(token); });
      if (token == next) next_taken = true;
      if (++taken < width) drop(token);
    }
    if (taken < width && !next_taken) lanes_.alone([&take, next] { take(next); });
  }

 private:
  SC_COLLECTIVE bool is_followed(int start) const { return start < followed_until(text_, start); }

  // Occurrences with the same successor give no other candidate.
  SC_COLLECTIVE void drop(int32_t token) {
    lanes_.for_each(text_.length(), [this, token](int start) {
      if (text_.at(start) == token) lengths_[start] = 0;
    });
  }

  template <typename Length>
  SC_COLLECTIVE MaxGramMatch best(const Length& length_at) const {
    constexpr uint32_t kLast = 0xffffffffu;
    if (text_.outputs() == 0) return {};
    const uint64_t largest = lanes_.largest(text_.length() + 1, [&length_at](int start) {
      const auto length = static_cast<uint64_t>(length_at(start));
      return length == 0 ? 0 : length << 32 | (kLast - static_cast<uint32_t>(start));
    });
    if (largest == 0) return {};
    return {static_cast<int>(largest >> 32),
            static_cast<int>(kLast - static_cast<uint32_t>(largest))};
  }

  Lanes& lanes_;
  const MaxGramText text_;
  int32_t* lengths_;
};

}  // namespace speccascade
