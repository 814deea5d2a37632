// Where weights come from: the files of a checkpoint, or a seed.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "base/file_reader.h"
#include "base/random_weight.h"

namespace speccascade {

// One tensor of a checkpoint: row-major elements at bytes [begin, end) of a file.
struct TensorEntry {
  std::string name;
  int file = 0;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  uint64_t begin = 0;
  uint64_t end = 0;
};

class WeightSource {
 public:
  virtual ~WeightSource() = default;
  virtual bool has(const std::string& name) const = 0;
  // Throws ERR_CHECKPOINT, naming file and tensor, unless the tensor is there
  // with rows x columns elements in that shape (columns 0: a vector of `rows`).
  virtual void require(const std::string& name, int64_t rows, int64_t columns) = 0;
  // Rows [begin, begin + count) of a required tensor as float. Thread-safe.
  virtual void read(const std::string& name, int64_t begin, int64_t count, int64_t columns,
                    float* out) const = 0;
  // The same rows as they are stored, if that is as `dtype`; else false. Thread-safe.
  virtual bool read_stored(const std::string& name, int64_t begin, int64_t count, int64_t columns,
                           DType dtype, void* out) const = 0;
  // How the elements of a matrix are made, where they are made rather than read.
  virtual std::optional<RandomTensor> random(const std::string&) const { return std::nullopt; }
};

class CheckpointSource : public WeightSource {
 public:
  // Opens the files and checks every entry against them; throws ERR_CHECKPOINT
  // naming the entry that does not fit.
  CheckpointSource(const std::vector<std::string>& paths, std::vector<TensorEntry> entries);

  bool has(const std::string& name) const override { return find(name) != nullptr; }
  void require(const std::string& name, int64_t rows, int64_t columns) override;
  void read(const std::string& name, int64_t begin, int64_t count, int64_t columns,
            float* out) const override;
  bool read_stored(const std::string& name, int64_t begin, int64_t count, int64_t columns,
                   DType dtype, void* out) const override;

  // Accepts `copy` as a second copy of `original`; throws ERR_CHECKPOINT if their
  // elements differ.
  void require_equal(const std::string& copy, const std::string& original);
  // Marks a tensor as known and not needed.
  void ignore(const std::string& name);
  // Names of the tensors that nothing asked for, in file order.
  std::vector<std::string> unused() const;

 private:
  const TensorEntry* find(const std::string& name) const;
  const TensorEntry& get(const std::string& name) const;
  void mark_used(const TensorEntry& entry);

  const FileReader& file_of(const TensorEntry& entry) const {
    return files_[static_cast<size_t>(entry.file)];
  }

  std::vector<FileReader> files_;
  std::vector<TensorEntry> entries_;
  std::vector<std::pair<std::string, size_t>> by_name_;  // sorted
  std::vector<bool> used_;
};

// Normal weights with the standard deviations that T5 initialises with (Raffel et
// al.'s Mesh TensorFlow code; factor 1), a function of seed, name and index.
class RandomSource : public WeightSource {
 public:
  RandomSource(uint64_t seed, int d_model, int d_kv, int d_ff, int inner, bool tied);
  bool has(const std::string& name) const override;
  void require(const std::string&, int64_t, int64_t) override {}
  void read(const std::string& name, int64_t begin, int64_t count, int64_t columns,
            float* out) const override;
  bool read_stored(const std::string&, int64_t, int64_t, int64_t, DType, void*) const override {
    return false;
  }
  std::optional<RandomTensor> random(const std::string& name) const override;

 private:
  float deviation(const std::string& name) const;

  uint64_t seed_;
  int d_model_, d_kv_, d_ff_, inner_;
  bool tied_;
};

}  // namespace speccascade
