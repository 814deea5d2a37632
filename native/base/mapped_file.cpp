#include "base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace speccascade {

MappedFile::MappedFile(const std::string& path) : path_(path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) fail(ErrorCode::kIo, "cannot open ", path, ": ", std::strerror(errno));
  struct stat info = {};
  if (fstat(file, &info) != 0 || !S_ISREG(info.st_mode)) {
    close(file);
    fail(ErrorCode::kIo, "cannot read ", path, ": not a regular file");
  }
  bytes_ = static_cast<size_t>(info.st_size);
  if (bytes_ > 0) {
    void* memory = mmap(nullptr, bytes_, PROT_READ, MAP_PRIVATE, file, 0);
    if (memory == MAP_FAILED) {
      const int reason = errno;
      close(file);
      fail(ErrorCode::kIo, "cannot map ", path, ": ", std::strerror(reason));
    }
    data_ = static_cast<const uint8_t*>(memory);
  }
  close(file);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)) {}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<uint8_t*>(data_), bytes_);
}

void MappedFile::release(size_t begin, size_t end) const {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t first = (begin + page - 1) / page * page;
  const size_t last = end / page * page;
  if (first < last) {
    madvise(const_cast<uint8_t*>(data_) + first, last - first, MADV_DONTNEED);
  }
}

}  // namespace speccascade
