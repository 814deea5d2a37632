// Relative position buckets and the expanded bias table against the published formula.
#include "ops/relative_bias.h"

#include "test/check.h"
#include "test/support/reference_ops.h"
#include "test/support/test_random.h"
#include "test/support/tolerances.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

struct Shape {
  int buckets, max_distance;
};

constexpr Shape kShapes[] = {{32, 128}, {32, 64}, {16, 20}, {4, 3},    {5, 7},      {7, 9},
                             {8, 5},    {33, 17}, {64, 33}, {64, 513}, {128, 1000}, {6, 4}};

void buckets_follow_the_formula() {
  for (const Shape& shape : kShapes) {
    for (const bool bidirectional : {false, true}) {
      for (int distance = -3 * shape.max_distance; distance <= 3 * shape.max_distance; ++distance) {
        double edge = 1.0;
        const int twin =
            relative_bucket_twin(distance, bidirectional, shape.buckets, shape.max_distance, &edge);
        const int bucket =
            relative_bucket(distance, bidirectional, shape.buckets, shape.max_distance);
        // At an edge float32 decides; it can only be one bucket off.
        const bool fits = bucket == twin || (edge < kBucketEdge && std::abs(bucket - twin) == 1);
        CHECK(fits, "buckets ", shape.buckets, " max ", shape.max_distance, " bidirectional ",
              bidirectional, " distance ", distance, ": got ", bucket, ", expected ", twin);
        CHECK(bucket >= 0 && bucket < shape.buckets);
      }
    }
  }
}

// The table of the published models: 32 buckets, distances up to 128, written out by hand from
// 8 + floor(8 ln(d / 8) / ln 16) and 16 + floor(16 ln(d / 16) / ln 8).
void published_shape_by_hand() {
  const int encoder[][2] = {{0, 0},    {1, 17},   {-1, 1},    {7, 23},   {-7, 7},     {-8, 8},
                            {-11, 8},  {-12, 9},  {12, 25},   {-16, 10}, {-23, 11},   {-32, 12},
                            {-64, 14}, {-91, 15}, {-128, 15}, {128, 31}, {-5000, 15}, {5000, 31}};
  for (const auto& [distance, bucket] : encoder) {
    CHECK(relative_bucket(distance, true, 32, 128) == bucket, "distance ", distance, " gave ",
          relative_bucket(distance, true, 32, 128));
  }
  const int decoder[][2] = {{0, 0},     {5, 0},     {-1, 1},    {-15, 15}, {-16, 16},
                            {-18, 16},  {-19, 17},  {-21, 18},  {-32, 21}, {-64, 26},
                            {-113, 31}, {-128, 31}, {-4000, 31}};
  for (const auto& [distance, bucket] : decoder) {
    const int got = relative_bucket(distance, false, 32, 128);
    CHECK(got == bucket, "distance ", distance, " gave ", got);
  }
}

void tables_hold_every_distance() {
  TestRandom random(3);
  for (const Shape& shape : kShapes) {
    for (const bool bidirectional : {false, true}) {
      for (const int heads : {1, 3}) {
        const std::vector<float> learned =
            random.values(static_cast<size_t>(shape.buckets) * static_cast<size_t>(heads));
        const int columns = bias_columns(shape.max_distance);
        std::vector<float> table(static_cast<size_t>(heads) * static_cast<size_t>(columns));
        expand_relative_bias(learned.data(), heads, bidirectional, shape.buckets,
                             shape.max_distance, table.data());
        for (int h = 0; h < heads; ++h) {
          for (int c = 0; c < columns; ++c) {
            const int bucket = relative_bucket(c - shape.max_distance, bidirectional, shape.buckets,
                                               shape.max_distance);
            CHECK(table[static_cast<size_t>(h * columns + c)] ==
                  learned[static_cast<size_t>(bucket * heads + h)]);
          }
        }
      }
    }
  }
}

// The claim behind the table's size: past max_distance nothing changes.
void far_distances_share_the_edge_of_the_table() {
  for (const Shape& shape : kShapes) {
    for (const bool bidirectional : {false, true}) {
      const auto bucket = [&](int distance) {
        return relative_bucket(distance, bidirectional, shape.buckets, shape.max_distance);
      };
      for (const int beyond : {1, 2, 100, 100000}) {
        CHECK(bucket(-shape.max_distance) == bucket(-shape.max_distance - beyond), "buckets ",
              shape.buckets, " max ", shape.max_distance);
        CHECK(bucket(shape.max_distance) == bucket(shape.max_distance + beyond), "buckets ",
              shape.buckets, " max ", shape.max_distance);
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(
      argc, argv,
      {CASE(buckets_follow_the_formula), CASE(published_shape_by_hand),
       CASE(tables_hold_every_distance), CASE(far_distances_share_the_edge_of_the_table)});
}
