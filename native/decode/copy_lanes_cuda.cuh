// Max-Gram's search (copy_search.h) by a block of a GPU.
#pragma once

#include "decode/copy_search.h"
#include "ops/row_math_cuda.cuh"

namespace speccascade {

struct KeyPartials {
  uint64_t key[kMaxRowWarps];
};

// Every thread compares backwards from places of its own. The work is quadratic only where the text
// repeats itself throughout; elsewhere a comparison ends after a token or two.
class BlockLanes {
 public:
  SC_DEVICE void match_lengths(const MaxGramText& text, int32_t* lengths) const {
    const int outputs = text.outputs();
    BlockMath::for_each(text.length() + 1, [&](int start) {
      int length = 0;
      while (length < outputs && length < start &&
             text.at(start - 1 - length) == text.output_at(outputs - 1 - length)) {
        ++length;
      }
      lengths[start] = length;
    });
  }

  template <typename Key>
  SC_DEVICE uint64_t largest(int count, const Key& key) const {
    KeyPartials& partials = shared<KeyPartials>();
    uint64_t largest = 0;
    for (int i = thread_index(); i < count; i += block_threads()) {
      const uint64_t own = key(i);
      if (own > largest) largest = own;
    }
    for (int bits = kWarpLanes / 2; bits > 0; bits /= 2) {
      const uint64_t other = shuffle_xor(kAllLanes, largest, bits);
      if (other > largest) largest = other;
    }
    if (lane_index() == 0) partials.key[warp_index()] = largest;
    sync_block();
    for (int w = 0; w < block_threads() / kWarpLanes; ++w) {
      if (partials.key[w] > largest) largest = partials.key[w];
    }
    sync_block();
    return largest;
  }

  template <typename Body>
  SC_DEVICE void for_each(int count, const Body& body) const {
    BlockMath::for_each(count, body);
  }

  template <typename Body>
  SC_DEVICE void alone(const Body& body) const {
    BlockMath::alone(body);
  }
};

}  // namespace speccascade
