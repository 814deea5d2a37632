// A file that is read at given places. It is not mapped: a file that another process cuts off
// meanwhile would end this one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace speccascade {

class FileReader {
 public:
  // Throws ERR_IO naming the file and the system's reason.
  explicit FileReader(const std::string& path);
  ~FileReader();
  FileReader(FileReader&& other) noexcept;
  FileReader& operator=(FileReader&&) = delete;
  FileReader(const FileReader&) = delete;

  // Its size when it was opened.
  uint64_t bytes() const { return bytes_; }
  const std::string& path() const { return path_; }
  // Bytes [begin, begin + count) into `out`. Thread-safe. Throws ERR_IO, also where the file has
  // become shorter.
  void read(uint64_t begin, size_t count, void* out) const;

 private:
  std::string path_;
  int file_;
  uint64_t bytes_ = 0;
};

}  // namespace speccascade
