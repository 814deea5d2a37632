// Max-Gram as the drafter (max_gram.h): a chain of what followed the longest repeated
// suffix, or a tree whose siblings are what followed further occurrences. No model, and
// no chance: tokens are proposed, not drawn.
#pragma once

#include "base/buffer.h"
#include "decode/adaptive_length.h"
#include "decode/drafter.h"
#include "decode/max_gram.h"

namespace speccascade {

// A slot's input and committed tokens, followed by drafted ones, as Max-Gram reads them.
class CopySource {
 public:
  CopySource(const DraftPlan& plan, const DraftContext& context);

  // What Max-Gram proposes behind the committed tokens and `drafted`: at most `length`
  // tokens, up to one that ends the sequence.
  void propose(int slot, const int32_t* drafted, int count, int length,
               std::vector<int32_t>* tokens);
  // At most `width` different tokens for the next position, the best first.
  void candidates(int slot, const int32_t* drafted, int count, int width,
                  std::vector<int32_t>* tokens);

 private:
  MaxGramText text(int slot, const int32_t* drafted, int count);

  const DraftContext& context_;
  std::vector<int32_t> bigrams_;
  std::vector<int32_t> output_, scratch_;
};

class CopyDrafter : public Drafter {
 public:
  CopyDrafter(const DraftPlan& plan, const DraftContext& context);

  void encode(const std::vector<const std::vector<int32_t>*>&, const std::vector<int>&) override {}
  void start(int slot, int) override { adaptive_.start(slot); }
  void draft() override;
  void commit() override;
  DraftRows rows() const override;
  size_t bytes() const override { return 0; }

 private:
  void draft_chain(int slot);
  void draft_tree(int slot);
  void append(int slot, int32_t token, int parent, int depth);

  std::vector<int32_t> widths_;
  bool chain_;
  CopySource source_;
  AdaptiveLength adaptive_;
  std::vector<const float*> proposal_;  // all null
  std::vector<int32_t> tokens_, path_;
};

}  // namespace speccascade
