// What the benches of the GPU share: options, medians, and what they say where there is no GPU.
#pragma once

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/cuda_device.h"
#include "base/error.h"

namespace speccascade::bench {

// An integer from 1 to `most`, or a word.
struct Option {
  Option(const char* option, int* integer, int limit) : name(option), value(integer), most(limit) {}
  Option(const char* option, std::string* text) : name(option), word(text) {}

  const char* name;
  int* value = nullptr;
  int most = 0;
  std::string* word = nullptr;
};

// Returns the words that belong to no option.
inline std::vector<std::string> read_options(const std::vector<std::string>& words,
                                             const std::vector<Option>& known) {
  std::vector<std::string> others;
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i].rfind("--", 0) != 0) {
      others.push_back(words[i]);
      continue;
    }
    const auto option = std::find_if(known.begin(), known.end(),
                                     [&](const Option& one) { return words[i] == one.name; });
    if (option == known.end()) fail(ErrorCode::kInput, "unknown option ", words[i]);
    const std::string text = ++i < words.size() ? words[i] : "";
    if (option->word != nullptr) {
      *option->word = text;
      continue;
    }
    char* end = nullptr;
    const long value = std::strtol(text.c_str(), &end, 10);
    if (text.empty() || *end != '\0' || value < 1 || value > option->most) {
      fail(ErrorCode::kInput, option->name, ": expected an integer from 1 to ", option->most,
           ", got \"", text, "\"");
    }
    *option->value = static_cast<int>(value);
  }
  return others;
}

struct Times {
  double median, least, most;
};

inline Times times_of(std::vector<double> times) {
  std::sort(times.begin(), times.end());
  return {times[times.size() / 2], times.front(), times.back()};
}

// run(words) of a program; its exit code.
template <typename Run>
int run_bench(const char* program, int argc, char** argv, const Run& run) {
  try {
    return run(std::vector<std::string>(argv + 1, argv + argc));
  } catch (const Error& error) {
    std::fprintf(stderr, "%s: %s: %s\n", program, error_name(error.code()), error.what());
    return 1;
  }
}

// The same; 77 without a GPU.
template <typename Run>
int run_on_gpu(const char* program, int argc, char** argv, const Run& run) {
  std::string note;
  if (cuda_devices(&note).empty()) {
    std::fprintf(stderr, "skipped: %s\n", note.c_str());
    return 77;
  }
  return run_bench(program, argc, argv, run);
}

}  // namespace speccascade::bench
