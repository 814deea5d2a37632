// The relative position bias of T5 (Raffel et al. 2020, section 2.1): one learned
// scalar per head and bucket of key position - query position. Buckets grow
// logarithmically up to `max_distance`, beyond which all distances share one.
#pragma once

#include "base/host_device.h"

namespace speccascade {

// The bucket of `distance` = key position - query position. Computed in float32
// like the published checkpoints' own code: bucket edges depend on it.
// Bidirectional (encoder): half of the buckets for keys after the query.
// Otherwise keys after the query share bucket 0.
int relative_bucket(int distance, bool bidirectional, int num_buckets, int max_distance);

// Distances of more than max_distance either way share a bucket, so a table of
// 2 * max_distance + 1 columns has everything.
SC_HOST_DEVICE constexpr int bias_columns(int max_distance) { return 2 * max_distance + 1; }

// Expands learned biases [num_buckets, heads] to table [heads, bias_columns]:
// column c is the bias of distance c - max_distance.
void expand_relative_bias(const float* learned, int heads, bool bidirectional, int num_buckets,
                          int max_distance, float* table);

}  // namespace speccascade
