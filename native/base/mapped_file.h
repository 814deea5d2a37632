// A file mapped read-only, for reading weights without a copy in between.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace speccascade {

class MappedFile {
 public:
  // Throws ERR_IO naming the file and the system's reason.
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;
  MappedFile(const MappedFile&) = delete;

  const uint8_t* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  const std::string& path() const { return path_; }
  // Tells the system that [begin, end) will not be read again.
  void release(size_t begin, size_t end) const;

 private:
  std::string path_;
  const uint8_t* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace speccascade
