// The CUDA execution model on the CPU, for tests: what base/cuda_intrinsics.h turns into where the
// kernels are compiled as plain C++.
//
// One block at a time; its threads are fibres that run until they meet others. It is stricter than
// a GPU where a GPU is silent about mistakes:
//
//   schedule     threads and blocks run forward, in reverse or in a seeded random order: a kernel
//                whose results depend on it lacks a barrier
//   bounds       a block has at most the threads that its kernel was compiled for
//   shared       memory starts as NaN (every byte 0xff), in an allocation of exactly its size; a
//                block has at most 48 KiB, or what its launch asks for in dynamic memory
//   collectives  a lane that the mask names and that cannot come is an error, and so are lanes that
//                meet in different operations
//   barriers     every thread of the block must come
//   memory       device memory faults when the host touches it, and kernels of a stream must not be
//                given addresses of the host's; copies to the host land when the stream is waited
//                for
//   copies       asynchronous ones poison their destination and land at their wait; page-locked
//                memory that is on its way down stays as it is until the stream is waited for
//   overlap      a kernel that may begin before the one before it has ended does so, as far as it
//                can, and every thread of it must wait
//   graphs       what a stream records is not run but kept with its arguments; waits and
//                allocations meanwhile are errors, and so are copies of memory that is not
//                page-locked
//
// A kernel that breaks a rule ends; ERR_DEVICE is thrown with block, thread and reason.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

namespace speccascade::emulation {

constexpr int kWarp = 32;

// As many blocks as may wait for each other.
constexpr int kMaxLiveBlocks = 8;
// As many as kernels that plan for the device have: each costs the fibres of a block.
constexpr int kMultiprocessors = 2;
inline std::atomic<int> largest_block = 1024;  // that one has room for

enum class Order { kForward, kReverse, kRandom };

struct Schedule {
  Order order = Order::kForward;
  uint64_t seed = 0;  // of kRandom
};

// For the launches of the calling thread from now on.
void set_schedule(const Schedule& schedule);

// What a block may have of `__shared__` variables on any GPU, and with dynamic memory on the
// largest.
constexpr size_t kMaxSharedBytes = size_t{48} << 10;
constexpr size_t kMaxDynamicBytes = size_t{227} << 10;

// Throws ERR_DEVICE if a block of so many threads is above its kernel's launch bound.
void check_bound(int threads, int bound);

// body() of every thread of a grid.
struct Kernel {
  int blocks, threads;
  bool barriers;  // all blocks are alive together
  bool waits;     // begins with wait_for_previous(), maybe before the previous kernel has ended
  size_t shared;  // bytes of dynamic shared memory
  std::function<void()> body;
};

struct Machine;

// A kernel under way. One that is destroyed before its end is abandoned.
class Launch {
 public:
  // `after_previous`: there is no kernel before it that may be under way.
  Launch(Kernel kernel, bool after_previous);
  ~Launch();
  Launch(const Launch&) = delete;
  Launch& operator=(const Launch&) = delete;

  // Runs the first blocks until their threads wait for the previous kernel, or to their end.
  void begin();
  // The previous kernel has ended: runs to the end.
  void finish();

 private:
  std::unique_ptr<Machine> machine_;
};

// --- The device's memory and streams (device_memory_emulated.cpp, device_stream_emulated.cpp) ---

// While one lives, all threads reach the device's memory; otherwise touching it is a fault.
class DeviceAccess {
 public:
  explicit DeviceAccess(bool to_device_memory);
  ~DeviceAccess();
  DeviceAccess(const DeviceAccess&) = delete;
  DeviceAccess& operator=(const DeviceAccess&) = delete;

 private:
  bool opens_;
};

// Throws ERR_DEVICE if these bytes hold an address of host memory.
void check_addresses(const void* bytes, size_t count);

// Padding may hold half of an old pointer: compilers that cannot clear it cannot check.
#if __has_builtin(__builtin_clear_padding)
constexpr bool kChecksArguments = true;
#else
constexpr bool kChecksArguments = false;
#endif

// The same of what a kernel is given by value.
template <typename T>
void check_argument([[maybe_unused]] T argument) {
#if __has_builtin(__builtin_clear_padding)
  __builtin_clear_padding(&argument);
  check_addresses(&argument, sizeof(argument));
#endif
}

// How much the device has; 1 GiB at first. Not less than what is in use.
void set_device_memory(size_t bytes);
size_t used_device_memory();
// The same of page-locked memory.
void set_host_memory(size_t bytes);
size_t used_host_memory();
// The next recordings of streams, so many, fail.
void fail_recordings(int count);

// What was asked of the device since the process began.
struct DeviceCounts {
  int64_t launches;  // of kernels, and of graphs whatever they hold
  int64_t graphs;    // that were recorded
  int64_t copies_down, copies_up;
  int64_t bytes_up;
  int64_t waits;
};
DeviceCounts device_counts();
// Runs a kernel, with the device's memory open, or keeps it for the graph that is recorded.
void queue_kernel(void* stream, const Kernel& kernel);

// --- Called by kernels ------------------------------------------------------------------------

struct Place {
  int thread, block, threads, blocks;
};
const Place& place();

void sync_block();
void sync_grid();
void wait_for_previous();

// Waits until every lane of `mask` has come with the same `combine`; then combine(offers, mask)
// sees what each brought (null for other lanes) and leaves results there.
using Combine = void (*)(void* const* offers, uint32_t mask);
void meet(uint32_t mask, Combine combine, void* offer);

// The block's shared memory named by `tag`.
void* shared_memory(const void* tag, size_t bytes, size_t alignment);

// That of the launch, of which `bytes` are used.
void* dynamic_memory(size_t bytes);

// cp.async: `bytes` of `shared`, of which the first `used` come from `global` and the rest are
// zero.
void copy_async(void* shared, const void* global, int bytes, int used);
void commit_copies();
void wait_copies(int groups_left);

// Ends the kernel with an error.
[[noreturn]] void stop(const char* reason, long long value);

// --- Collectives over fragments (matrix_model.cpp): PTX ISA, "Matrix multiply-accumulate" ------

enum class Element { kBF16, kF16 };

struct MmaOffer {
  float* sums;        // [4]
  const uint32_t* a;  // [4]
  const uint32_t* b;  // [2]
};
void mma(Element element, const MmaOffer& offer);

// wgmma.mma_async.m64nNk16 in bf16, done at once, of the calling warp's 16 rows: `rows` [N] in
// shared memory with the swizzle of 128 bytes (base/cuda_intrinsics_sm90.h).
struct WarpgroupOffer {
  float* sums;        // [rows / 2]
  const uint32_t* a;  // [4]
  const char* b;
  int rows;
};
void warpgroup_mma(const WarpgroupOffer& offer);

// Four 8 x 8 matrices of 2-byte elements; lane l gives row l % 8 of matrix l / 8.
void load_matrices(const void* row, uint32_t* out, bool transposed);

}  // namespace speccascade::emulation
