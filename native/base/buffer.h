// Memory that a session or model owns. Allocated when it is created, never in a
// decode step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

namespace speccascade {

// Zero-filled, 64-byte aligned host memory. Pages are committed when first
// written, so a buffer sized for the longest input costs what is used of it.
class Buffer {
 public:
  Buffer() = default;
  // Throws ERR_OUT_OF_MEMORY with the bytes needed and free.
  explicit Buffer(size_t bytes);
  ~Buffer();
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

// The largest size there is where the product overflows, so that it is refused.
template <typename T>
size_t bytes_of(size_t count) {
  return count > SIZE_MAX / sizeof(T) ? SIZE_MAX : count * sizeof(T);
}

inline size_t area(int64_t rows, int64_t columns) {
  return static_cast<size_t>(rows) * static_cast<size_t>(columns);
}

// A typed array in a Buffer of its own.
template <typename T>
class Array {
 public:
  Array() = default;
  explicit Array(size_t count) : buffer_(bytes_of<T>(count)), count_(count) {}
  T* data() const { return static_cast<T*>(buffer_.data()); }
  size_t size() const { return count_; }
  size_t bytes() const { return buffer_.bytes(); }
  T& operator[](size_t i) const { return data()[i]; }
  // Its memory, for who keeps it; the array is empty then.
  Buffer release() {
    count_ = 0;
    return std::move(buffer_);
  }

 private:
  Buffer buffer_;
  size_t count_ = 0;
};

// Bytes of memory the system could still hand out (cgroup limits not counted).
size_t free_memory_bytes();
size_t total_memory_bytes();

}  // namespace speccascade
