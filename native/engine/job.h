// A request inside the engine, from submission to the end of its last sample.
#pragma once

#include <cstdint>

#include "engine/request.h"

namespace speccascade {

struct Job {
  int samples() const { return static_cast<int>(request.seeds.size()); }
  int rows() const { return static_cast<int>(request.input_ids.size()); }

  uint64_t id = 0;
  Request request;
  int next_sample = 0;  // samples before it have been started
  int unfinished = 0;
  int source = -1;         // of the encoded input; -1: none yet
  bool encoded = false;    // the source holds the encoder's output
  int64_t tag = 0;         // place in the queue; see schedule.h
  double encode_ms = 0.0;  // of passes that no sample has counted so far
  double submitted_ms = 0.0;
};

}  // namespace speccascade
