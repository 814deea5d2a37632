#include "base/file_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace speccascade {

FileReader::FileReader(const std::string& path)
    : path_(path), file_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
  if (file_ < 0) fail(ErrorCode::kIo, "cannot open ", path, ": ", std::strerror(errno));
  struct stat info = {};
  if (fstat(file_, &info) != 0 || !S_ISREG(info.st_mode)) {
    close(file_);
    fail(ErrorCode::kIo, "cannot read ", path, ": not a regular file");
  }
  bytes_ = static_cast<uint64_t>(info.st_size);
}

FileReader::FileReader(FileReader&& other) noexcept
    : path_(std::move(other.path_)), file_(std::exchange(other.file_, -1)), bytes_(other.bytes_) {}

FileReader::~FileReader() {
  if (file_ >= 0) close(file_);
}

void FileReader::read(uint64_t begin, size_t count, void* out) const {
  auto* to = static_cast<char*>(out);
  while (count > 0) {
    const ssize_t got = pread(file_, to, count, static_cast<off_t>(begin));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(ErrorCode::kIo, "cannot read ", path_, ": ", std::strerror(errno));
    if (got == 0) {
      fail(ErrorCode::kIo, "cannot read ", path_, ": it ends at byte ", begin, " of ", bytes_,
           ": it has been changed since it was opened");
    }
    to += got;
    begin += static_cast<uint64_t>(got);
    count -= static_cast<size_t>(got);
  }
}

}  // namespace speccascade
