// Small checkpoints on disk: tensors of any type in files of a temporary folder, and the list of
// all tensors that a model of a given shape consists of, by their published names.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/config.h"
#include "model/model.h"

namespace speccascade::test {

// A folder that is gone when the test is.
class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  std::string path(const std::string& name) const { return path_ + "/" + name; }
  // Writes a file and returns its path.
  std::string write(const std::string& name, const std::vector<uint8_t>& bytes) const;

 private:
  std::string path_;
};

struct Tensor {
  std::string name;
  std::vector<int64_t> shape;
  std::vector<float> values;
};

// The elements as a file holds them; f16 takes the nearest value.
std::vector<uint8_t> encode(const std::vector<float>& values, DType dtype);

// Every tensor of a model of this shape, filled from a seed like random_model's.
std::vector<Tensor> model_tensors(const T5Config& config, uint64_t seed);

Tensor& tensor_named(std::vector<Tensor>& tensors, const std::string& name);

// Writes the tensors, alternating between `files` files, with odd gaps between them.
ModelSource write_checkpoint(const TempFolder& folder, const std::vector<Tensor>& tensors,
                             DType dtype, int files = 1);

}  // namespace speccascade::test
