// The one way that kernels are started. Included by .cu files alone.
#pragma once

#include <cstddef>
#include <string>
#include <utility>

#include "base/cuda_intrinsics.h"
#include "base/error.h"

namespace speccascade {

struct LaunchShape {
  int blocks;             // 0: nothing is started
  int threads;            // of a block: a multiple of 32
  bool barriers = false;  // the kernel calls sync_grid: all blocks must fit the GPU together
  bool waits = false;  // every thread begins with wait_for_previous(): blocks may start while the
                       // kernel before ends (programmatic dependent launch)
  size_t shared = 0;   // bytes of a block's dynamic_shared<T>()
};

constexpr LaunchShape waiting(int blocks, int threads, size_t shared = 0) {
  return {blocks, threads, false, true, shared};
}

#if defined(__CUDACC__)

// Throws ERR_OUT_OF_MEMORY where memory was refused, else ERR_DEVICE.
[[noreturn]] void fail_cuda(cudaError_t status, const std::string& what);  // cuda_device.cu

// Whether the code that this GPU runs for a kernel waits, and graphs may hold such launches.
bool may_start_early(const void* kernel);  // cuda_device.cu

// Lets a kernel have so much dynamic shared memory on the current device; throws ERR_DEVICE.
void allow_shared(const void* kernel, size_t bytes);  // cuda_device.cu

// Whether the code that the current device runs for a kernel takes blocks of so many threads.
bool takes_block(const void* kernel, int threads);  // cuda_device.cu

int current_multiprocessors();  // cuda_device.cu

// Starts kernel(arguments...) on `stream` (a cudaStream_t) and throws ERR_DEVICE where that fails.
// What goes wrong while it runs shows when the stream is waited for.
template <typename... Parameters, typename... Arguments>
void launch(const LaunchShape& shape, void* stream, void (*kernel)(Parameters...),
            const Arguments&... arguments) {
  if (shape.blocks == 0) return;
  cudaLaunchAttribute attribute = {};
  cudaLaunchConfig_t config = {};
  if (shape.barriers) {
    attribute.id = cudaLaunchAttributeCooperative;
    attribute.val.cooperative = 1;
    config.numAttrs = 1;
  } else if (shape.waits && may_start_early(reinterpret_cast<const void*>(kernel))) {
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
    config.numAttrs = 1;
  }
  if (shape.shared > 0) {
    allow_shared(reinterpret_cast<const void*>(kernel), shape.shared);
    config.dynamicSmemBytes = shape.shared;
  }
  config.gridDim = dim3(static_cast<unsigned>(shape.blocks));
  config.blockDim = dim3(static_cast<unsigned>(shape.threads));
  config.stream = static_cast<cudaStream_t>(stream);
  config.attrs = &attribute;
  const cudaError_t status =
      cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...);
  if (status == cudaSuccess) return;
  fail_cuda(status, "starting " + std::to_string(shape.blocks) + " blocks of " +
                        std::to_string(shape.threads) + " threads");
}

// Whether a multiprocessor of the current device has room for a block.
template <typename... Parameters>
bool fits_multiprocessor(void (*kernel)(Parameters...), int threads) {
  int blocks = 0;
  const cudaError_t status =
      cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel, threads, 0);
  if (status != cudaSuccess) fail_cuda(status, "asking what a multiprocessor holds");
  return blocks > 0;
}

#else

// Runs kernel(arguments...), unless the stream records: to its end, but for one on a stream that
// waits for the kernel before. On a stream of the emulated
// device, kernels alone reach that device's memory, and their arguments must not lead elsewhere;
// without a stream, memory is the host's.
template <typename Result, typename... Parameters, typename... Arguments>
void launch(const LaunchShape& shape, void* stream, Result (*kernel)(Parameters...),
            const Arguments&... arguments) {
  if (shape.blocks == 0) return;
  emulation::check_bound(shape.threads, emulation::bound_of_kernel<Result>());
  emulation::Kernel launched = {shape.blocks,   shape.threads,
                                shape.barriers, shape.waits,
                                shape.shared,   [kernel, arguments...] { kernel(arguments...); }};
  if (stream == nullptr) return emulation::Launch(std::move(launched), true).finish();
  (emulation::check_argument(arguments), ...);
  emulation::queue_kernel(stream, launched);
}

template <typename Result, typename... Parameters>
bool fits_multiprocessor(Result (*)(Parameters...), int threads) {
  return threads <= emulation::largest_block;
}

inline int current_multiprocessors() { return emulation::kMultiprocessors; }

#endif

}  // namespace speccascade
