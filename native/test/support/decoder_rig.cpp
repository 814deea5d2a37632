#include "test/support/decoder_rig.h"

#include <algorithm>

namespace speccascade::test {

namespace {

int longest(const std::vector<std::vector<int32_t>>& sequences) {
  size_t length = 1;
  for (const auto& ids : sequences) length = std::max(length, ids.size());
  return static_cast<int>(length);
}

int total_rows(const std::vector<std::vector<int32_t>>& sequences) {
  size_t rows = 1;
  for (const auto& ids : sequences) rows += ids.size();
  return static_cast<int>(rows);
}

}  // namespace

DecoderRig::DecoderRig(std::shared_ptr<const Model> model, int slots, int rows_per_slot,
                       int max_nodes, const std::vector<std::vector<int32_t>>& sources)
    : model_(std::move(model)),
      memory_(*model_),
      cross_(memory_, *model_, slots, static_cast<int>(sources.size()), longest(sources)),
      self_(memory_, *model_, slots, rows_per_slot),
      encoder_(*model_, memory_, total_rows(sources), static_cast<int>(sources.size()), &cross_),
      decoder_(*model_, memory_, {slots, slots * max_nodes, slots * max_nodes, max_nodes}, self_,
               cross_),
      position_(static_cast<size_t>(slots)) {
  memory_.allocate();
  std::vector<const std::vector<int32_t>*> inputs;
  std::vector<int> places;
  for (size_t i = 0; i < sources.size(); ++i) {
    inputs.push_back(&sources[i]);
    places.push_back(static_cast<int>(i));
  }
  encoder_.run(inputs, places);
  for (int s = 0; s < slots; ++s) {
    cross_.slot_source()[s] = s % static_cast<int>(sources.size());
  }
}

std::vector<std::vector<Logits>> DecoderRig::run(const std::vector<SlotNodes>& slots) {
  const DecoderRows& rows = decoder_.rows();
  int row = 0;
  for (const SlotNodes& slot : slots) {
    std::vector<int>& position = position_[static_cast<size_t>(slot.slot)];
    int32_t* parents = rows.node_parent + static_cast<ptrdiff_t>(slot.slot) * rows.max_nodes;
    for (const Node& node : slot.nodes) {
      const int32_t index = static_cast<int32_t>(position.size());
      position.push_back(node.parent < 0 ? self_.table().length[slot.slot]
                                         : position[static_cast<size_t>(node.parent)] + 1);
      parents[index] = node.parent;
      rows.tokens[row] = node.token;
      rows.slot[row] = slot.slot;
      rows.position[row] = position.back();
      rows.node[row] = index;
      rows.logit_rows[row] = row;
      ++row;
    }
  }
  *rows.num_rows = row;
  *rows.num_logits = row;
  decoder_.run();
  const int vocabulary = model_->config.vocab_size;
  const float* logits = decoder_.logits();
  std::vector<std::vector<Logits>> all;
  for (const SlotNodes& slot : slots) {
    all.emplace_back();
    for (size_t i = 0; i < slot.nodes.size(); ++i, logits += vocabulary) {
      all.back().emplace_back(logits, logits + vocabulary);
    }
  }
  return all;
}

void DecoderRig::keep(int slot, const std::vector<int>& path) {
  const CacheTable table = self_.table();
  int32_t* order = table.order + static_cast<ptrdiff_t>(slot) * table.rows_per_slot;
  const int32_t length = table.length[slot];
  std::vector<int32_t> free_rows(order + length, order + table.rows_per_slot);
  std::vector<int32_t> kept;
  for (const int node : path) kept.push_back(free_rows[static_cast<size_t>(node)]);
  for (const int32_t row : kept) std::erase(free_rows, row);
  std::copy(kept.begin(), kept.end(), order + length);
  std::copy(free_rows.begin(), free_rows.end(), order + length + kept.size());
  table.length[slot] = length + static_cast<int32_t>(kept.size());
  position_[static_cast<size_t>(slot)].clear();
}

std::vector<Node> chain_of(const std::vector<int32_t>& tokens) {
  std::vector<Node> nodes;
  for (const int32_t token : tokens) nodes.push_back({token, static_cast<int>(nodes.size()) - 1});
  return nodes;
}

std::vector<int32_t> path_tokens(const std::vector<Node>& nodes, int node) {
  std::vector<int32_t> tokens;
  for (int n = node; n >= 0; n = nodes[static_cast<size_t>(n)].parent) {
    tokens.push_back(nodes[static_cast<size_t>(n)].token);
  }
  std::reverse(tokens.begin(), tokens.end());
  return tokens;
}

std::vector<Logits> one_by_one(const std::shared_ptr<const Model>& model,
                               const std::vector<int32_t>& source,
                               const std::vector<int32_t>& tokens) {
  DecoderRig rig(model, 1, static_cast<int>(tokens.size()), 1, {source});
  std::vector<Logits> all;
  for (const int32_t token : tokens) {
    all.push_back(rig.run({{0, {{token, -1}}}})[0][0]);
    rig.keep(0, {0});
  }
  return all;
}

}  // namespace speccascade::test
