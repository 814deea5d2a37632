#include <algorithm>
#include <array>
#include <cstring>

#include "base/error.h"
#include "model/weight_source.h"

namespace speccascade {

namespace {

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    text += (i ? ", " : "") + std::to_string(shape[i]);
  }
  return text + "]";
}

// Elements of a shape, or -1 if a size is negative or the product overflows.
int64_t element_count(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (const int64_t size : shape) {
    if (size < 0 || __builtin_mul_overflow(count, size, &count)) return -1;
  }
  return count;
}

// Elements that are read at once to be converted or compared.
constexpr int64_t kBlock = 4096;

}  // namespace

CheckpointSource::CheckpointSource(const std::vector<std::string>& paths,
                                   std::vector<TensorEntry> entries)
    : entries_(std::move(entries)), used_(entries_.size(), false) {
  files_.reserve(paths.size());
  for (const std::string& path : paths) files_.emplace_back(path);
  by_name_.reserve(entries_.size());
  for (size_t i = 0; i < entries_.size(); ++i) {
    const TensorEntry& entry = entries_[i];
    if (entry.file < 0 || static_cast<size_t>(entry.file) >= files_.size()) {
      fail(ErrorCode::kCheckpoint, "tensor ", entry.name, ": file index ", entry.file, " of ",
           files_.size());
    }
    const FileReader& file = file_of(entry);
    if (entry.begin > entry.end || entry.end > file.bytes()) {
      fail(ErrorCode::kCheckpoint, file.path(), ": tensor ", entry.name, ": bytes ", entry.begin,
           " to ", entry.end, " lie outside the file of ", file.bytes());
    }
    const int64_t count = element_count(entry.shape);
    const uint64_t available = (entry.end - entry.begin) / dtype_bytes(entry.dtype);
    if (count < 0 || static_cast<uint64_t>(count) != available ||
        (entry.end - entry.begin) % dtype_bytes(entry.dtype) != 0) {
      fail(ErrorCode::kCheckpoint, file.path(), ": tensor ", entry.name, ": shape ",
           shape_text(entry.shape), " of ", dtype_name(entry.dtype), " does not fill ",
           entry.end - entry.begin, " bytes");
    }
    by_name_.emplace_back(entry.name, i);
  }
  std::sort(by_name_.begin(), by_name_.end());
  for (size_t i = 1; i < by_name_.size(); ++i) {
    if (by_name_[i].first == by_name_[i - 1].first) {
      fail(ErrorCode::kCheckpoint, "tensor ", by_name_[i].first, " is listed twice");
    }
  }
}

const TensorEntry* CheckpointSource::find(const std::string& name) const {
  const auto at = std::lower_bound(by_name_.begin(), by_name_.end(), name,
                                   [](const auto& a, const std::string& b) { return a.first < b; });
  return at != by_name_.end() && at->first == name ? &entries_[at->second] : nullptr;
}

const TensorEntry& CheckpointSource::get(const std::string& name) const {
  const TensorEntry* entry = find(name);
  if (entry == nullptr) {
    fail(ErrorCode::kCheckpoint, files_.empty() ? "checkpoint" : files_[0].path().c_str(),
         ": tensor ", name, " is missing");
  }
  return *entry;
}

void CheckpointSource::mark_used(const TensorEntry& entry) {
  used_[static_cast<size_t>(&entry - entries_.data())] = true;
}

void CheckpointSource::require(const std::string& name, int64_t rows, int64_t columns) {
  const TensorEntry& entry = get(name);
  std::vector<int64_t> expected = {rows};
  if (columns > 0) expected.push_back(columns);
  if (entry.shape != expected) {
    fail(ErrorCode::kCheckpoint, file_of(entry).path(), ": tensor ", name, ": expected shape ",
         shape_text(expected), ", got ", shape_text(entry.shape));
  }
  mark_used(entry);
}

void CheckpointSource::read(const std::string& name, int64_t begin, int64_t count, int64_t columns,
                            float* out) const {
  const TensorEntry& entry = get(name);
  const int64_t width = std::max<int64_t>(columns, 1);
  if (read_stored(name, begin, count, width, DType::kF32, out)) return;
  std::array<uint16_t, kBlock> bits;
  for (int64_t at = begin * width, left = count * width; left > 0;) {
    const int64_t n = std::min(left, kBlock);
    read_stored(name, at, n, 1, entry.dtype, bits.data());
    for (int64_t i = 0; i < n; ++i) {
      const uint16_t own = bits[static_cast<size_t>(i)];
      *out++ = entry.dtype == DType::kBF16 ? bf16_to_float(own) : f16_to_float(own);
    }
    at += n;
    left -= n;
  }
}

bool CheckpointSource::read_stored(const std::string& name, int64_t begin, int64_t count,
                                   int64_t columns, DType dtype, void* out) const {
  const TensorEntry& entry = get(name);
  if (entry.dtype != dtype) return false;
  const uint64_t size = dtype_bytes(dtype);
  file_of(entry).read(entry.begin + static_cast<uint64_t>(begin * columns) * size,
                      static_cast<size_t>(count * columns) * size, out);
  return true;
}

void CheckpointSource::require_equal(const std::string& copy, const std::string& original) {
  const TensorEntry& a = get(copy);
  const TensorEntry& b = get(original);
  bool equal = a.shape == b.shape;
  const int64_t count = equal ? element_count(a.shape) : 0;
  std::vector<float> x(kBlock), y(kBlock);
  for (int64_t i = 0; equal && i < count; i += kBlock) {
    const int64_t n = std::min(kBlock, count - i);
    read(copy, i, n, 1, x.data());
    read(original, i, n, 1, y.data());
    equal = std::memcmp(x.data(), y.data(), static_cast<size_t>(n) * sizeof(float)) == 0;
  }
  if (!equal) {
    fail(ErrorCode::kCheckpoint, file_of(a).path(), ": tensor ", copy, " differs from ", original,
         ", of which it must be a copy");
  }
  mark_used(a);
}

void CheckpointSource::ignore(const std::string& name) { mark_used(get(name)); }

std::vector<std::string> CheckpointSource::unused() const {
  std::vector<std::string> names;
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (!used_[i]) names.push_back(entries_[i].name);
  }
  return names;
}

}  // namespace speccascade
