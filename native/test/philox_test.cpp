// The counter-based generator: the published vectors, uniforms in range, and no two draws of a
// request at one address.
#include "base/philox.h"

#include <algorithm>
#include <set>

#include "decode/philox_choices.h"
#include "ops/row_math.h"
#include "test/check.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

struct Vector {
  PhiloxBlock counter;
  uint32_t key[2];
  PhiloxBlock words;
};

// Of the authors' distribution (Random123, kat_vectors).
constexpr Vector kVectors[] = {
    {{{0, 0, 0, 0}}, {0, 0}, {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}}},
    {{{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}},
     {0xffffffff, 0xffffffff},
     {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}}},
    {{{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}},
     {0xa4093822, 0x299f31d0},
     {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}},
};

void known_vectors() {
  for (const Vector& vector : kVectors) {
    const PhiloxBlock words = philox(vector.counter, vector.key[0], vector.key[1]);
    CHECK(std::equal(words.word, words.word + 4, vector.words.word));
  }
}

// The address as architecture.md, decision 6, lays it out.
void uniforms_are_the_top_bits_at_the_address() {
  for (uint32_t i = 0; i < 1000; ++i) {
    const DrawAddress at = {0x123456789abcdef0u + i, i % 3, i, i * 7};
    const PhiloxBlock block =
        philox({{at.request, at.position, at.step, 1u + 16u * 5u}}, static_cast<uint32_t>(at.seed),
               static_cast<uint32_t>(at.seed >> 32));
    const float expected = static_cast<float>(static_cast<double>(block.word[0] >> 8) * 0x1p-24);
    CHECK(philox_uniform(at, DrawPurpose::kAccept, 5) == expected);
  }
}

void uniforms_fill_the_unit_interval() {
  double sum = 0.0, squares = 0.0;
  float low = 1.0f, high = 0.0f;
  constexpr int kDraws = 200000;
  for (uint32_t i = 0; i < kDraws; ++i) {
    const float u = philox_uniform({7, 0, i, i / 3}, DrawPurpose::kFinal, 0);
    CHECK(u >= 0.0f && u < 1.0f);
    low = std::min(low, u);
    high = std::max(high, u);
    sum += static_cast<double>(u);
    squares += static_cast<double>(u) * static_cast<double>(u);
  }
  CHECK(low < 1e-4f && high > 1.0f - 1e-4f, low, " ", high);
  // Five standard deviations of the mean (0.289 / sqrt(n)) and of the mean square (0.298).
  CHECK_NEAR(sum / kDraws, 0.5, 5 * 0.289 / std::sqrt(kDraws));
  CHECK_NEAR(squares / kDraws, 1.0 / 3, 5 * 0.298 / std::sqrt(kDraws));
}

// The largest word still gives less than 1.
void the_largest_uniform_is_below_one() {
  CHECK(static_cast<float>(0xffffffffu >> 8) * (1.0f / 16777216.0f) < 1.0f);
}

void every_part_of_the_address_matters() {
  std::set<float> seen;
  int draws = 0;
  for (const uint64_t seed : {uint64_t{0}, uint64_t{1}, uint64_t{1} << 32}) {
    for (uint32_t request = 0; request < 2; ++request) {
      for (uint32_t position = 0; position < 4; ++position) {
        for (uint32_t step = 0; step < 4; ++step) {
          for (uint32_t purpose = 0; purpose < 4; ++purpose) {
            for (uint32_t slot = 0; slot < 3; ++slot, ++draws) {
              seen.insert(philox_uniform({seed, request, position, step},
                                         static_cast<DrawPurpose>(purpose), slot));
            }
          }
        }
      }
    }
  }
  // 1,152 draws of 2^24 values: four or more chance collisions would be a defect.
  CHECK(static_cast<int>(seen.size()) > draws - 4, seen.size(), " of ", draws);
}

void choices_test_strictly() {
  const PhiloxChoices<RowMath<float>> choices({3, 0, 5, 2});
  for (int place = 0; place < 2000; ++place) {
    DrawAddress at = {3, 0, 5 + static_cast<uint32_t>(place), 2};
    const float u = philox_uniform(at, DrawPurpose::kAccept, static_cast<uint32_t>(place));
    CHECK(!choices.accept(0.0f, place), "a probability of zero was accepted");
    CHECK(choices.accept(1.0f, place), "a certainty was rejected");
    CHECK(!choices.accept(u, place), "equality must reject");
    CHECK(choices.accept(u + 0x1p-24f, place));
  }
}

// Keeps the uniform that a draw was made with.
struct KeepsUniform {
  template <typename Entries>
  static int draw(const Entries&, int, float, float uniform) {
    last = uniform;
    return 0;
  }
  inline static float last = 0.0f;
};

// That a draft was rejected says something of the uniforms that it was tested with.
void final_draws_share_no_uniform_with_tests() {
  const PhiloxChoices<KeepsUniform> choices({3, 0, 5, 2});
  for (int depth = 0; depth < 100; ++depth) {
    (void)choices.draw(nullptr, 0, 1.0f, depth);
    const DrawAddress at = {3, 0, 5 + static_cast<uint32_t>(depth), 2};
    CHECK(KeepsUniform::last == philox_uniform(at, DrawPurpose::kFinal, 0), "depth ", depth);
    CHECK(KeepsUniform::last != choices.uniform_of(depth), "depth ", depth);
  }
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(argc, argv,
                   {CASE(known_vectors), CASE(uniforms_are_the_top_bits_at_the_address),
                    CASE(uniforms_fill_the_unit_interval), CASE(the_largest_uniform_is_below_one),
                    CASE(every_part_of_the_address_matters), CASE(choices_test_strictly),
                    CASE(final_draws_share_no_uniform_with_tests)});
}
