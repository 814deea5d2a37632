// Max-Gram as the drafter (max_gram.h): a chain of what followed the longest repeated
// suffix, or a tree whose siblings are what followed further occurrences. No model, and
// no chance: tokens are proposed, not drawn.
#pragma once

#include <algorithm>

#include "decode/adaptive_length.h"
#include "decode/copy_writer.h"
#include "decode/drafter.h"

namespace speccascade {

// Searches alone, in linear time: copy_search.h.
class HostLanes {
 public:
  explicit HostLanes(const SequenceState& state) : HostLanes(copy_text_size(state)) {}
  // For texts of fewer tokens than this.
  explicit HostLanes(int text_size) : scratch_(static_cast<size_t>(text_size)) {}

  void match_lengths(const MaxGramText& text, int32_t* lengths) {
    max_gram_lengths(text, scratch_.data(), lengths);
  }
  template <typename Key>
  uint64_t largest(int count, const Key& key) const {
    uint64_t largest = 0;
    for (int i = 0; i < count; ++i) largest = std::max<uint64_t>(largest, key(i));
    return largest;
  }
  template <typename Body>
  void for_each(int count, const Body& body) const {
    for (int i = 0; i < count; ++i) body(i);
  }
  template <typename Body>
  void alone(const Body& body) const {
    body();
  }

 private:
  std::vector<int32_t> scratch_;
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

  // For steps whose kernels draft in its place.
  int text_size() const { return copy_text_size(state_); }
  const AdaptiveLength& lengths() const { return adaptive_; }

 private:
  std::vector<int32_t> widths_, bigrams_;
  CopyShape shape_;
  HostLanes lanes_;
  AdaptiveLength adaptive_;
  std::vector<const float*> proposal_;  // all null
  std::vector<int32_t> lengths_, path_;
};

}  // namespace speccascade
