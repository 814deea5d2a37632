// Checkpoints and inputs for a bench that has no reader of JSON: a text file, one word and its
// values a line, which scripts/gpu_check/plan.py writes.
//
//   model                              begins a model: the target, then drafters, largest first
//   config NAME VALUE                  a size of config.json under its name there
//   file PATH                          of weights; numbered from 0
//   tensor NAME FILE DTYPE BEGIN END SIZE...
//   input TOKEN...                     what the encoder reads
#pragma once

#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "model/model.h"

namespace speccascade::bench {

struct PlannedModel {
  T5Config config;
  ModelSource source;
};

struct Plan {
  std::vector<PlannedModel> models;
  std::vector<std::vector<int32_t>> inputs;
};

// Takes a line's words one by one, and says which line has one that does not fit.
class PlanLine {
 public:
  PlanLine(const std::string& text, int number) : words_(text), number_(number) {}

  template <typename T>
  T take(const char* what) {
    T value;
    if (!(words_ >> value)) fail(ErrorCode::kInput, "plan, line ", number_, ": no ", what);
    return value;
  }
  template <typename T>
  std::vector<T> rest() {
    std::vector<T> values;
    for (T value; words_ >> value;) values.push_back(value);
    if (!words_.eof()) fail(ErrorCode::kInput, "plan, line ", number_, ": not a number");
    return values;
  }
  std::string path() {
    std::string text;
    std::getline(words_ >> std::ws, text);
    return text;
  }
  template <typename T>
  T one_of(const char* what, const std::vector<std::pair<std::string, T>>& known) {
    const auto name = take<std::string>(what);
    for (const auto& [word, value] : known) {
      if (word == name) return value;
    }
    fail(ErrorCode::kInput, "plan, line ", number_, ": unknown ", what, " \"", name, "\"");
  }

 private:
  std::istringstream words_;
  int number_;
};

inline void read_config(PlanLine& line, T5Config& config) {
  const std::vector<std::pair<std::string, int*>> integers = {
      {"vocab_size", &config.vocab_size},
      {"d_model", &config.d_model},
      {"d_kv", &config.d_kv},
      {"d_ff", &config.d_ff},
      {"num_heads", &config.num_heads},
      {"num_layers", &config.num_layers},
      {"num_decoder_layers", &config.num_decoder_layers},
      {"relative_attention_num_buckets", &config.num_buckets},
      {"relative_attention_max_distance", &config.max_distance}};
  const std::vector<std::pair<std::string, bool*>> flags = {
      {"is_gated_act", &config.gated},
      {"scale_decoder_outputs", &config.scale_decoder_outputs},
      {"tie_word_embeddings", &config.tie_word_embeddings}};
  const auto name = line.take<std::string>("name");
  for (const auto& [known, value] : integers) {
    if (name == known) return void(*value = line.take<int>("value"));
  }
  for (const auto& [known, value] : flags) {
    if (name == known) return void(*value = line.take<int>("value") != 0);
  }
  if (name == "layer_norm_epsilon") {
    config.layer_norm_epsilon = line.take<float>("value");
    return;
  }
  if (name == "dense_act_fn") {
    config.activation = line.one_of<Activation>("activation", {{"relu", Activation::kRelu},
                                                               {"gelu", Activation::kGelu},
                                                               {"gelu_new", Activation::kGeluTanh},
                                                               {"silu", Activation::kSilu}});
    return;
  }
  fail(ErrorCode::kInput, "plan: unknown size \"", name, "\"");
}

inline TensorEntry read_tensor(PlanLine& line) {
  TensorEntry entry;
  entry.name = line.take<std::string>("name");
  entry.file = line.take<int>("file");
  entry.dtype = line.one_of<DType>(
      "dtype", {{"F32", DType::kF32}, {"BF16", DType::kBF16}, {"F16", DType::kF16}});
  entry.begin = line.take<uint64_t>("begin");
  entry.end = line.take<uint64_t>("end");
  entry.shape = line.rest<int64_t>();
  return entry;
}

// Throws ERR_IO or ERR_INPUT.
inline Plan read_plan(const std::string& path) {
  std::ifstream file(path);
  if (!file) fail(ErrorCode::kIo, "cannot read ", path);
  Plan plan;
  std::string text;
  for (int number = 1; std::getline(file, text); ++number) {
    PlanLine line(text, number);
    const auto word = line.take<std::string>("word");
    if (word == "model") {
      plan.models.emplace_back();
      continue;
    }
    if (word == "input") {
      plan.inputs.push_back(line.rest<int32_t>());
      continue;
    }
    if (plan.models.empty()) fail(ErrorCode::kInput, path, ": \"", word, "\" before any model");
    PlannedModel& model = plan.models.back();
    if (word == "config") {
      read_config(line, model.config);
    } else if (word == "file") {
      model.source.files.push_back(line.path());
    } else if (word == "tensor") {
      model.source.tensors.push_back(read_tensor(line));
    } else {
      fail(ErrorCode::kInput, path, ": unknown word \"", word, "\"");
    }
  }
  if (plan.models.empty()) fail(ErrorCode::kInput, path, ": no model");
  if (plan.inputs.empty()) fail(ErrorCode::kInput, path, ": no input");
  return plan;
}

}  // namespace speccascade::bench
