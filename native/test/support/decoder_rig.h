// One model with caches and passes of its own: runs decoder rows for any slots, trees or chains,
// and commits what a test decides to keep, as ops/decoder_rows.h prescribes.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "model/decoder_pass.h"
#include "model/encoder_pass.h"

namespace speccascade::test {

// A new position of a slot: its token and the index of its parent among the slot's positions since
// the last commit, those of earlier passes included (-1: the committed prefix).
struct Node {
  int32_t token;
  int parent;
};

struct SlotNodes {
  int slot;
  std::vector<Node> nodes;
};

using Logits = std::vector<float>;

class DecoderRig {
 public:
  // Slot s reads source s modulo the number of sources. At most max_nodes uncommitted positions
  // a slot.
  DecoderRig(std::shared_ptr<const Model> model, int slots, int rows_per_slot, int max_nodes,
             const std::vector<std::vector<int32_t>>& sources);

  // One pass over the nodes of all these slots; the logits of each node, in order of the call.
  std::vector<std::vector<Logits>> run(const std::vector<SlotNodes>& slots);

  // Of the pass, after a run.
  int phases() const { return decoder_.phases(); }

  // Commits the nodes of `path` (parents first) and forgets the slot's others.
  void keep(int slot, const std::vector<int>& path);

 private:
  std::shared_ptr<const Model> model_;
  PassMemory memory_;
  CrossCache cross_;
  SelfCache self_;
  EncoderPass encoder_;
  DecoderPass decoder_;
  std::vector<std::vector<int>> position_;  // of each slot's uncommitted nodes
};

// A chain of tokens as nodes.
std::vector<Node> chain_of(const std::vector<int32_t>& tokens);

// The tokens from the root to a node.
std::vector<int32_t> path_tokens(const std::vector<Node>& nodes, int node);

// The logits after each token, decoded one by one in a session of its own.
std::vector<Logits> one_by_one(const std::shared_ptr<const Model>& model,
                               const std::vector<int32_t>& source,
                               const std::vector<int32_t>& tokens);

}  // namespace speccascade::test
