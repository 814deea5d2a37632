// New rows of a decoder pass with random trees over randomly permuted caches: the input of
// self-attention, and what its contract (ops/decoder_rows.h) says about each row's keys.
#pragma once

#include <cstdint>
#include <vector>

#include "ops/decoder_rows.h"
#include "test/support/test_random.h"

namespace speccascade::test {

// One slot's part of a pass: committed positions and new rows.
struct SlotPlan {
  int slot, length, rows;
};

class RowLayout {
 public:
  RowLayout(const std::vector<SlotPlan>& plans, int rows_per_slot, TestRandom& random);

  int num_rows() const { return num_rows_; }
  int total_cache_rows() const { return slots_ * table_.rows_per_slot; }
  const DecoderRows& rows() const { return rows_; }
  const CacheTable& table() const { return table_; }

  int32_t expected_cache_row(int row) const;
  // Cache rows of the row's keys, by position.
  std::vector<int32_t> key_rows(int row) const;

 private:
  int slots_ = 0;
  int32_t num_rows_ = 0;
  int32_t num_logits_ = 0;
  std::vector<int32_t> tokens_, slot_, position_, node_, cache_row_, logit_rows_;
  std::vector<int32_t> parent_;       // [rows] row of the parent, -1: the prefix
  std::vector<int32_t> node_parent_;  // [slots, rows_per_slot]
  std::vector<int32_t> order_, length_;
  DecoderRows rows_;
  CacheTable table_;
};

}  // namespace speccascade::test
