#include <cuda_runtime.h>

#include <cstdio>

#include "base/cuda_device.h"
#include "base/error.h"

namespace speccascade {

namespace {

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // an error of one call must not surface in the next
  fail(ErrorCode::kDevice, "CUDA: ", what, ": ", cudaGetErrorString(status));
}

cudaStream_t stream_of(void* handle) { return static_cast<cudaStream_t>(handle); }

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
  if (properties.major < 8) device.note = "compute capability below 8.0 is not supported";
  return device;
}

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

CudaBuffer::CudaBuffer(int device, size_t bytes) : device_(device), bytes_(bytes) {
  if (bytes == 0) return;
  check(cudaSetDevice(device), "selecting the device");
  const cudaError_t status = cudaMalloc(&data_, bytes);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    size_t free_bytes = 0, total_bytes = 0;
    cudaMemGetInfo(&free_bytes, &total_bytes);
    fail(ErrorCode::kOutOfMemory, "out of memory on cuda:", device, ": needed ", bytes,
         " bytes, free ", free_bytes);
  }
  check(status, "allocating device memory");
}

CudaBuffer::~CudaBuffer() {
  if (data_ == nullptr) return;
  cudaSetDevice(device_);
  cudaFree(data_);
}

CudaBuffer& CudaBuffer::operator=(CudaBuffer&& other) noexcept {
  std::swap(device_, other.device_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

CudaStream::CudaStream(int device) : device_(device) {
  check(cudaSetDevice(device), "selecting the device");
  cudaStream_t stream;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "creating a stream");
  handle_ = stream;
}

CudaStream::~CudaStream() {
  if (handle_ == nullptr) return;
  cudaSetDevice(device_);
  cudaStreamDestroy(stream_of(handle_));
}

void CudaStream::copy_to_device(void* device_memory, const void* host, size_t bytes) {
  check(cudaMemcpyAsync(device_memory, host, bytes, cudaMemcpyHostToDevice, stream_of(handle_)),
        "copying to the device");
}

void CudaStream::copy_to_host(void* host, const void* device_memory, size_t bytes) {
  check(cudaMemcpyAsync(host, device_memory, bytes, cudaMemcpyDeviceToHost, stream_of(handle_)),
        "copying to the host");
}

void CudaStream::synchronize() {
  check(cudaStreamSynchronize(stream_of(handle_)), "waiting for the device");
}

}  // namespace speccascade
