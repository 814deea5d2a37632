// The one way that kernels are started. Included by .cu files alone.
#pragma once

#include "base/cuda_intrinsics.h"
#include "base/error.h"

namespace speccascade {

struct LaunchShape {
  int blocks;             // 0: nothing is started
  int threads;            // of a block: a multiple of 32
  bool barriers = false;  // the kernel calls sync_grid: all blocks must fit the GPU together
};

#if defined(__CUDACC__)

// Starts kernel(arguments...) on `stream` (a cudaStream_t) and throws ERR_DEVICE where that fails.
// What goes wrong while it runs shows when the stream is waited for.
template <typename... Parameters, typename... Arguments>
void launch(const LaunchShape& shape, void* stream, void (*kernel)(Parameters...),
            const Arguments&... arguments) {
  if (shape.blocks == 0) return;
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeCooperative;
  attribute.val.cooperative = shape.barriers ? 1 : 0;
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(shape.blocks));
  config.blockDim = dim3(static_cast<unsigned>(shape.threads));
  config.stream = static_cast<cudaStream_t>(stream);
  config.attrs = &attribute;
  config.numAttrs = 1;
  const cudaError_t status =
      cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...);
  if (status == cudaSuccess) return;
  cudaGetLastError();  // an error of one call must not surface in the next
  fail(ErrorCode::kDevice, "CUDA: starting ", shape.blocks, " blocks of ", shape.threads,
       " threads: ", cudaGetErrorString(status));
}

#else

// Runs kernel(arguments...) to its end, unless the stream records. On a stream of the emulated
// device, kernels alone reach that device's memory, and their arguments must not lead elsewhere;
// without a stream, memory is the host's.
template <typename Result, typename... Parameters, typename... Arguments>
void launch(const LaunchShape& shape, void* stream, Result (*kernel)(Parameters...),
            const Arguments&... arguments) {
  if (shape.blocks == 0) return;
  emulation::check_bound(shape.threads, emulation::bound_of_kernel<Result>());
  const auto run = [shape, kernel, arguments...] {
    emulation::run_grid(shape.blocks, shape.threads, shape.barriers, [&] { kernel(arguments...); });
  };
  if (stream == nullptr) return run();
  (emulation::check_argument(arguments), ...);
  emulation::queue_kernel(stream, run);
}

#endif

}  // namespace speccascade
