// Philox4x32-10, the counter-based generator of Salmon, Moraes, Dror and Shaw,
// "Parallel random numbers: as easy as 1, 2, 3" (SC 2011). A draw is addressed,
// not sequenced, so it does not depend on batch, order or thread.
#pragma once

#include <cstdint>

#include "base/host_device.h"

namespace speccascade {

struct PhiloxBlock {
  uint32_t word[4];
};

SC_HOST_DEVICE inline PhiloxBlock philox(PhiloxBlock counter, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t left = static_cast<uint64_t>(0xD2511F53u) * counter.word[0];
    const uint64_t right = static_cast<uint64_t>(0xCD9E8D57u) * counter.word[2];
    const PhiloxBlock next = {
        {static_cast<uint32_t>(right >> 32) ^ counter.word[1] ^ key0, static_cast<uint32_t>(right),
         static_cast<uint32_t>(left >> 32) ^ counter.word[3] ^ key1, static_cast<uint32_t>(left)}};
    counter = next;
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

// What a draw is for; the low four bits of the counter's last word.
enum class DrawPurpose : uint32_t {
  kDraft = 0,
  kAccept = 1,
  kFinal = 2,
  kSeed = 3,
  kReview = 4,      // accepting, within a cascade of drafters
  kReviewDraw = 5,  // the token that ends such a review
};

// Where a draw stands in a request: never the same address twice.
struct DrawAddress {
  uint64_t seed;      // key
  uint32_t request;   // sequence within one seed
  uint32_t position;  // index of the token in the output
  uint32_t step;      // the request's own target passes so far
};

// The uniform in [0, 1) at an address: a multiple of 2^-24. `slot` tells nodes,
// siblings or cascade levels of one position apart.
SC_HOST_DEVICE inline float philox_uniform(const DrawAddress& at, DrawPurpose purpose,
                                           uint32_t slot) {
  const PhiloxBlock counter = {
      {at.request, at.position, at.step, static_cast<uint32_t>(purpose) + 16u * slot}};
  const PhiloxBlock block =
      philox(counter, static_cast<uint32_t>(at.seed), static_cast<uint32_t>(at.seed >> 32));
  return static_cast<float>(block.word[0] >> 8) * (1.0f / 16777216.0f);
}

}  // namespace speccascade
