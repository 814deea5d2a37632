#include <cuda_runtime.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "base/cuda_device.h"
#include "base/cuda_launch.h"
#include "base/error.h"

namespace speccascade {

namespace {

// Built for the GPUs that all kernels are built for.
__global__ void probe_kernel() {}

std::atomic<bool> launches_overlap = true;
std::atomic<bool> graphs_overlap = true;  // false once one could not be made so

struct Recording {
  bool overlaps, has_early;  // launches may start early, and one does
};
thread_local Recording* recording = nullptr;

void check(cudaError_t status, const char* what) {
  if (status != cudaSuccess) fail_cuda(status, what);
}

DeviceInfo describe(int index) {
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, index), "reading device properties");
  DeviceInfo device;
  device.name = properties.name;
  device.kind = "cuda";
  device.memory_bytes = properties.totalGlobalMem;
  device.compute_capability =
      std::to_string(properties.major) + "." + std::to_string(properties.minor);
  device.features.push_back("multiprocessors:" + std::to_string(properties.multiProcessorCount));
  if (properties.major >= 8) device.features.push_back("bf16");
  if (properties.major < 8) {
    device.note = "compute capability below 8.0 is not supported";
    device.usable = false;
  }
  return device;
}

class CudaGraph final : public DeviceGraph {
 public:
  // Takes over the graph.
  CudaGraph(int device, cudaGraph_t graph) : device_(device) {
    const cudaError_t status = cudaGraphInstantiate(&executable_, graph, 0);
    cudaGraphDestroy(graph);
    check(status, "making a graph executable");
  }
  ~CudaGraph() override {
    cudaSetDevice(device_);
    cudaGraphExecDestroy(executable_);
  }
  cudaGraphExec_t executable() const { return executable_; }

 private:
  int device_;
  cudaGraphExec_t executable_ = nullptr;
};

class CudaStream final : public DeviceStream {
 public:
  explicit CudaStream(int device) : device_(device) {
    activate();
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "creating a stream");
  }
  ~CudaStream() override {
    cudaSetDevice(device_);
    for (cudaEvent_t event : marks_) cudaEventDestroy(event);
    cudaStreamDestroy(stream_);
  }

  void activate() override { check(cudaSetDevice(device_), "selecting the device"); }
  void copy_to_device(void* device_memory, const void* host, size_t bytes) override {
    check(cudaMemcpyAsync(device_memory, host, bytes, cudaMemcpyHostToDevice, stream_),
          "copying to the device");
  }
  void copy_to_host(void* host, const void* device_memory, size_t bytes) override {
    check(cudaMemcpyAsync(host, device_memory, bytes, cudaMemcpyDeviceToHost, stream_),
          "copying to the host");
  }
  void synchronize() override { check(cudaStreamSynchronize(stream_), "waiting for the device"); }
  void* handle() const override { return stream_; }

  void mark(size_t number) override {
    activate();  // events are of the current device
    while (marks_.size() <= number) {
      cudaEvent_t event = nullptr;
      check(cudaEventCreate(&event), "creating an event");
      marks_.push_back(event);
    }
    check(cudaEventRecord(marks_[number], stream_), "recording an event");
  }
  double milliseconds(size_t from, size_t to) override {
    float taken = 0.0f;
    check(cudaEventElapsedTime(&taken, marks_.at(from), marks_.at(to)), "reading events");
    return static_cast<double>(taken);
  }

  // Some drivers refuse kernels in graphs that start early: then it is recorded without.
  std::unique_ptr<DeviceGraph> record(const std::function<void()>& queue) override {
    Recording first = {graphs_overlap, false};
    try {
      return record_as(first, queue);
    } catch (const Error& error) {
      if (!first.has_early || error.code() != ErrorCode::kDevice) throw;
      Recording plain = {};
      std::unique_ptr<DeviceGraph> graph = record_as(plain, queue);
      if (graphs_overlap.exchange(false)) {
        std::fprintf(stderr, "speccascade: kernels in graphs do not overlap: %s\n", error.what());
      }
      return graph;
    }
  }
  void launch(DeviceGraph& graph) override {
    check(cudaGraphLaunch(static_cast<CudaGraph&>(graph).executable(), stream_),
          "launching a graph");
  }

 private:
  std::unique_ptr<DeviceGraph> record_as(Recording& how, const std::function<void()>& queue) {
    activate();
    // Of this thread's calls alone: other sessions allocate and launch meanwhile.
    check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "recording a graph");
    cudaGraph_t graph = nullptr;
    recording = &how;
    try {
      queue();
    } catch (...) {
      recording = nullptr;
      cudaStreamEndCapture(stream_, &graph);
      if (graph != nullptr) cudaGraphDestroy(graph);
      cudaGetLastError();
      throw;
    }
    recording = nullptr;
    check(cudaStreamEndCapture(stream_, &graph), "recording a graph");
    return std::make_unique<CudaGraph>(device_, graph);
  }

  int device_;
  cudaStream_t stream_ = nullptr;
  std::vector<cudaEvent_t> marks_;
};

class CudaDevice final : public Device {
 public:
  explicit CudaDevice(int index) : index_(index), name_("cuda:" + std::to_string(index)) {
    check(cudaDeviceGetAttribute(&multiprocessors_, cudaDevAttrMultiProcessorCount, index),
          "counting multiprocessors");
  }

  const std::string& name() const override { return name_; }
  int multiprocessors() const override { return multiprocessors_; }

  void* allocate(size_t bytes) override {
    check(cudaSetDevice(index_), "selecting the device");
    void* memory = nullptr;
    const cudaError_t status = cudaMalloc(&memory, bytes);
    if (status == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      size_t free_bytes = 0, total_bytes = 0;
      cudaMemGetInfo(&free_bytes, &total_bytes);
      fail(ErrorCode::kOutOfMemory, "out of memory on ", name_, ": needed ", bytes, " bytes, free ",
           free_bytes);
    }
    check(status, "allocating device memory");
    const cudaError_t cleared = clear(memory, bytes);
    if (cleared != cudaSuccess) cudaFree(memory);
    check(cleared, "clearing device memory");
    return memory;
  }

  void release(void* memory, size_t) noexcept override {
    cudaSetDevice(index_);
    cudaFree(memory);
  }

  void* allocate_host(size_t bytes) override {
    check(cudaSetDevice(index_), "selecting the device");
    void* memory = nullptr;
    const cudaError_t status = cudaHostAlloc(&memory, bytes, cudaHostAllocDefault);
    if (status == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      fail(ErrorCode::kOutOfMemory, "out of page-locked memory for ", name_, ": needed ", bytes,
           " bytes");
    }
    check(status, "allocating page-locked memory");
    std::memset(memory, 0, bytes);
    return memory;
  }

  void release_host(void* memory, size_t) noexcept override {
    cudaSetDevice(index_);
    cudaFreeHost(memory);
  }

  std::unique_ptr<DeviceStream> open_stream() override {
    return std::make_unique<CudaStream>(index_);
  }

 private:
  // On a stream of its own: a wait for the whole device would break what another thread records.
  static cudaError_t clear(void* memory, size_t bytes) {
    cudaStream_t stream = nullptr;
    cudaError_t status = cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    if (status != cudaSuccess) return status;
    status = cudaMemsetAsync(memory, 0, bytes, stream);
    if (status == cudaSuccess) status = cudaStreamSynchronize(stream);
    cudaStreamDestroy(stream);
    return status;
  }

  int index_;
  int multiprocessors_ = 0;
  std::string name_;
};

}  // namespace

std::vector<DeviceInfo> cuda_devices(std::string* note) {
  std::vector<DeviceInfo> devices;
  int driver = 0;
  // 0 without a driver: tells that case from a driver older than the runtime.
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) {
    *note = "no CUDA device: no NVIDIA driver is installed";
    return devices;
  }
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) {
    cudaGetLastError();
    *note = std::string("no CUDA device: ") + cudaGetErrorString(status);
    return devices;
  }
  if (count == 0) *note = "no CUDA device: the driver lists none";
  for (int i = 0; i < count; ++i) devices.push_back(describe(i));
  return devices;
}

// Leaves the device as this thread's current one: to go back to another would open that one, too.
bool runs_on_cuda(int index) {
  cudaFuncAttributes code = {};
  const bool runs = cudaSetDevice(index) == cudaSuccess &&
                    cudaFuncGetAttributes(&code, probe_kernel) == cudaSuccess;
  cudaGetLastError();  // the answer is no, and no error of a later call
  return runs;
}

std::shared_ptr<Device> open_cuda_device(int index) {
  std::string note;
  const std::vector<DeviceInfo> devices = cuda_devices(&note);
  if (devices.empty()) fail(ErrorCode::kDevice, "device cuda:", index, ": ", note);
  if (index < 0 || index >= static_cast<int>(devices.size())) {
    fail(ErrorCode::kDevice, "device cuda:", index, ": the driver lists ", devices.size(),
         " CUDA device(s), numbered from 0");
  }
  const DeviceInfo& device = devices[static_cast<size_t>(index)];
  if (!device.note.empty()) {
    fail(ErrorCode::kDevice, "device cuda:", index, " (", device.name, ", compute capability ",
         device.compute_capability, "): ", device.note);
  }
  return std::make_shared<CudaDevice>(index);
}

void overlap_launches(bool overlap) { launches_overlap = overlap; }

void fail_cuda(cudaError_t status, const std::string& what) {
  cudaGetLastError();  // an error of one call must not surface in the next
  // From then on every call of the process fails.
  const bool lasting =
      (status >= cudaErrorHardwareStackError && status <= cudaErrorLaunchFailure) ||
      status == cudaErrorIllegalAddress || status == cudaErrorLaunchTimeout ||
      status == cudaErrorAssert || status == cudaErrorECCUncorrectable ||
      status == cudaErrorMpsClientTerminated;
  const bool full = status == cudaErrorMemoryAllocation;
  fail(full ? ErrorCode::kOutOfMemory : ErrorCode::kDevice, "CUDA: ", what, ": ",
       cudaGetErrorString(status),
       lasting ? "; this process cannot use the device any longer: restart it" : "");
}

namespace {

int current_device() {
  int device = 0;
  check(cudaGetDevice(&device), "asking for the current device");
  return device;
}

}  // namespace

// Asked of the driver once a kernel and GPU, as below. These tables are never destroyed: threads
// that launch may outlive every static object.
void allow_shared(const void* kernel, size_t bytes) {
  static std::mutex mutex;
  static auto& allowed = *new std::map<std::pair<int, const void*>, size_t>;
  const int device = current_device();
  const std::lock_guard<std::mutex> lock(mutex);
  size_t& most = allowed[{device, kernel}];
  if (bytes <= most) return;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(bytes)),
        "asking for shared memory");
  most = bytes;
}

bool takes_block(const void* kernel, int threads) {
  static std::mutex mutex;
  static auto& known = *new std::map<std::pair<int, const void*>, int>;
  const int device = current_device();
  const std::lock_guard<std::mutex> lock(mutex);
  const auto [found, is_new] = known.try_emplace({device, kernel});
  if (is_new) {
    cudaFuncAttributes code = {};
    if (cudaFuncGetAttributes(&code, kernel) != cudaSuccess) cudaGetLastError();
    found->second = code.maxThreadsPerBlock;
  }
  return threads <= found->second;
}

int current_multiprocessors() {
  int count = 0;
  check(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, current_device()),
        "counting multiprocessors");
  return count;
}

// Asked of the driver once a kernel and GPU: launches are many, and some are being recorded.
bool may_start_early(const void* kernel) {
  if (!launches_overlap || (recording != nullptr && !recording->overlaps)) return false;
  static std::mutex mutex;
  static auto& known = *new std::map<std::pair<int, const void*>, bool>;
  int device = 0, driver = 0;
  if (cudaGetDevice(&device) != cudaSuccess) {
    cudaGetLastError();
    return false;
  }
  const std::lock_guard<std::mutex> lock(mutex);
  const auto [found, is_new] = known.try_emplace({device, kernel});
  bool& early = found->second;
  if (is_new) {
    cudaFuncAttributes code = {};
    const bool asked = cudaDriverGetVersion(&driver) == cudaSuccess &&
                       cudaFuncGetAttributes(&code, kernel) == cudaSuccess;
    if (!asked) cudaGetLastError();
    // griddepcontrol is of 9.0, also where 9.0 runs code for less; CUDA 12.3 has it in graphs.
    early = asked && driver >= 12030 && code.binaryVersion >= 90 && code.ptxVersion >= 90;
  }
  if (early && recording != nullptr) recording->has_early = true;
  return early;
}

}  // namespace speccascade
