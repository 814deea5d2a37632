#include "test/support/row_layout.h"

#include <algorithm>

namespace speccascade::test {

RowLayout::RowLayout(const std::vector<SlotPlan>& plans, int rows_per_slot, TestRandom& random) {
  for (const SlotPlan& plan : plans) slots_ = std::max(slots_, plan.slot + 1);
  length_.assign(static_cast<size_t>(slots_), 0);
  for (int s = 0; s < slots_; ++s) {
    const std::vector<int32_t> order = random.permutation(rows_per_slot);
    order_.insert(order_.end(), order.begin(), order.end());
  }
  node_parent_.assign(static_cast<size_t>(slots_ * rows_per_slot), -1);
  for (const SlotPlan& plan : plans) {
    length_[static_cast<size_t>(plan.slot)] = plan.length;
    const int first = num_rows_;
    for (int i = 0; i < plan.rows; ++i, ++num_rows_) {
      // Any earlier row of the slot, or the prefix; the first row has no choice.
      const int parent = i == 0 ? -1 : random.below(i + 1) - 1;
      const int depth =
          parent < 0 ? plan.length : position_[static_cast<size_t>(first + parent)] + 1;
      slot_.push_back(plan.slot);
      parent_.push_back(parent < 0 ? -1 : first + parent);
      position_.push_back(depth);
      node_.push_back(i);
      node_parent_[static_cast<size_t>(plan.slot * rows_per_slot + i)] = parent;
    }
  }
  const size_t count = static_cast<size_t>(num_rows_);
  tokens_.assign(count, 0);
  cache_row_.assign(count, -1);
  logit_rows_.assign(count, 0);
  rows_ = {};
  rows_.num_rows = &num_rows_;
  rows_.tokens = tokens_.data();
  rows_.slot = slot_.data();
  rows_.position = position_.data();
  rows_.node = node_.data();
  rows_.cache_row = cache_row_.data();
  rows_.num_logits = &num_logits_;
  rows_.logit_rows = logit_rows_.data();
  rows_.node_parent = node_parent_.data();
  rows_.max_rows = num_rows_;
  rows_.max_nodes = rows_per_slot;
  table_ = {order_.data(), length_.data(), rows_per_slot};
}

int32_t RowLayout::expected_cache_row(int row) const {
  const size_t r = static_cast<size_t>(row);
  const int slot = slot_[r];
  const int place = length_[static_cast<size_t>(slot)] + node_[r];
  return slot * table_.rows_per_slot +
         order_[static_cast<size_t>(slot * table_.rows_per_slot + place)];
}

std::vector<int32_t> RowLayout::key_rows(int row) const {
  const int slot = slot_[static_cast<size_t>(row)];
  std::vector<int32_t> keys;
  for (int j = 0; j < length_[static_cast<size_t>(slot)]; ++j) {
    keys.push_back(slot * table_.rows_per_slot +
                   order_[static_cast<size_t>(slot * table_.rows_per_slot + j)]);
  }
  std::vector<int32_t> path;
  for (int r = row; r >= 0; r = parent_[static_cast<size_t>(r)]) path.push_back(r);
  for (auto r = path.rbegin(); r != path.rend(); ++r) keys.push_back(expected_cache_row(*r));
  return keys;
}

}  // namespace speccascade::test
