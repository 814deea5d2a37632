// What Max-Gram proposes for one text, by the search that sessions on the CPU use.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "decode/copy_drafter.h"
#include "decode/copy_search.h"
#include "decode/max_gram.h"

namespace speccascade::laws {

struct CopyProposal {
  MaxGramMatch match;
  std::vector<int32_t> tokens;
};

// At most `length` tokens, and nothing behind one of `ends`.
inline CopyProposal copy_proposal(const MaxGramText& text, const BigramTable& bigrams,
                                  const std::vector<int32_t>& ends, int length) {
  const int size = text.length() + 1;
  HostLanes lanes(size);
  std::vector<int32_t> lengths(static_cast<size_t>(size));
  CopyProposal proposal;
  proposal.match = CopySearch<HostLanes>(lanes, text, lengths.data()).longest();
  if (length == 0) return proposal;
  max_gram_propose(text, proposal.match, bigrams, [&](int32_t token) {
    proposal.tokens.push_back(token);
    return static_cast<int>(proposal.tokens.size()) < length &&
           std::find(ends.begin(), ends.end(), token) == ends.end();
  });
  return proposal;
}

}  // namespace speccascade::laws
