// Candidates of copies: what followed matches, the best first, and the bigram successor, each once.
#include "decode/copy_search.h"

#include <vector>

#include "decode/copy_drafter.h"
#include "test/check.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

// After output 0 1 2 in a text whose tokens 1 2 were followed by 3, and 2 by 4 before that.
// `next`: what bigrams say of 2; negative: nothing.
std::vector<int32_t> candidates(int32_t next, int width) {
  const std::vector<int32_t> input = {2, 4, 1, 2, 3}, output = {0, 1, 2};
  const std::vector<int32_t> successors = {-1, -1, next};
  const MaxGramText text = {input.data(), 5, output.data(), 3};
  HostLanes lanes(text.length() + 2);
  std::vector<int32_t> lengths(static_cast<size_t>(text.length() + 1)), found;
  CopySearch<HostLanes>(lanes, text, lengths.data())
      .candidates({successors.data(), 3}, width, [&](int32_t token) { found.push_back(token); });
  return found;
}

void each_token_is_a_candidate_once() {
  CHECK((candidates(-1, 4) == std::vector<int32_t>{3, 4}), "of matches");
  CHECK((candidates(9, 4) == std::vector<int32_t>{3, 4, 9}), "and of bigrams");
  CHECK((candidates(9, 2) == std::vector<int32_t>{3, 4}), "as many as are wanted");
  for (const int32_t again : {3, 4}) {
    CHECK((candidates(again, 4) == std::vector<int32_t>{3, 4}), again, " twice");
  }
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(argc, argv, {CASE(each_token_is_a_candidate_once)});
}
