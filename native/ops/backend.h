// What a model's passes run on: the form that its matrices have in memory, the scratch that
// products need, and who runs the list of operations.
#pragma once

#include <cstddef>
#include <memory>

#include "base/device_memory.h"
#include "base/random_weight.h"
#include "ops/packed_matrix.h"
#include "ops/persistent.h"
#include "ops/program.h"

namespace speccascade {

// Rows [row_begin, row_begin + rows) of matrix `which` of total_rows rows of `columns`.
struct RandomFill {
  RandomTensor tensor;
  int row_begin, rows, total_rows, columns;
  DType dtype;
  int which;
  bool gated;
  void* out;  // packed, zero before
};

struct Backend {
  // Bytes of one matrix of n rows, or of two if gated.
  size_t (*matrix_bytes)(int n, int k, DType dtype, bool gated);
  // Packs rows [row_begin, row_begin + rows) of matrix `which` (0; of a gated pair 0 or 1) from
  // row-major f32 [rows, k] into memory that is zero.
  void (*pack_rows)(const float* source, int row_begin, int rows, int n, int k, DType dtype,
                    int which, bool gated, void* packed);
  // On devices: the same for rows that are made rather than read, in the device's memory; queued.
  // Null: they are packed on the host.
  void (*fill_random)(const RandomFill& fill, void* stream);
  // Scratch of one product.
  size_t (*gemm_scratch_bytes)(int max_rows, int k, int parts, DType dtype);
  // Opens the device of that index, in whose memory programs, weights and scratch lie. Null: the
  // host's memory.
  std::shared_ptr<Device> (*open_device)(int index);
  // On the host: runs the list to its end, on at most `threads` pool threads. On a device: queues
  // it on `stream`.
  void (*run)(const Program& program, int threads, DeviceStream* stream);
  // On devices: queues one kernel that walks it. Null elsewhere.
  void (*run_persistent)(const PersistentPass& pass, DeviceStream* stream);
  // Whether the current device has room for it.
  bool (*persistent_fits)();
};

const Backend& cpu_backend();

}  // namespace speccascade
