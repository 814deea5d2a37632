// The engine's source of random choices: uniforms addressed by request, position,
// step and node, so that none is ever used twice.
#pragma once

#include "base/philox.h"

namespace speccascade {

template <typename Math>
class PhiloxChoices {
 public:
  // `at` addresses the step's first new position. `depths` [nodes] is each node's
  // depth below it; null for a chain, whose node i is i positions on.
  SC_COLLECTIVE explicit PhiloxChoices(const DrawAddress& at, const int32_t* depths = nullptr)
      : at_(at), depths_(depths) {}

  // Strictly less: a probability of zero is never accepted.
  SC_COLLECTIVE bool accept(float probability, int node) const {
    return uniform_of(node) < probability;
  }
  SC_COLLECTIVE float uniform_of(int node) const {
    const DrawAddress at = address(depths_ ? depths_[node] : node);
    return philox_uniform(at, DrawPurpose::kAccept, static_cast<uint32_t>(node));
  }

  // One final draw a step: its position tells it from any other.
  template <typename Entries>
  SC_COLLECTIVE int draw(const Entries& weights, int count, float total, int depth) const {
    return Math::draw(weights, count, total,
                      philox_uniform(address(depth), DrawPurpose::kFinal, 0));
  }

 private:
  SC_COLLECTIVE DrawAddress address(int depth) const {
    DrawAddress at = at_;
    at.position += static_cast<uint32_t>(depth);
    return at;
  }

  DrawAddress at_;
  const int32_t* depths_;
};

}  // namespace speccascade
