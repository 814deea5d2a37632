// Decodes the inputs of a plan (plan_file.h) by one method, through a session's engine, and tells
// how fast: what stands beside other programs, and what a pair of trained models gains.
//
//   gpu_decode PLAN [--device cuda|cpu] [--dtype bf16|f16|int8|f32] [--batch N] [--max-new N]
//              [--min-new N] [--repeats N] [--method none|chain|tree|cascade] [--widths N,N,...]
//              [--lengths N,N,...] [--copies yes|no] [--rule NAME] [--alpha X]
//              [--temperature X] [--outputs yes|no]
//
// `--widths`: candidates per node of a chain's or tree's levels. `--lengths`: of a cascade, row by
// row (test/laws/cs_draft_schedule.h); `--copies`: its last drafter is Max-Gram. Prints a line of
// JSON: tokens a second by the wall clock, the median of the repeats after a first run that is left
// out, and the seconds of the fastest and the slowest.
// Exit code 77: --device is cuda and there is no GPU, with the reason on standard error.
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <map>
#include <mutex>
#include <sstream>

#include "bench/options.h"
#include "bench/plan_file.h"
#include "engine/engine.h"

namespace {

using namespace speccascade;
using namespace speccascade::bench;
using Clock = std::chrono::steady_clock;

struct Options {
  std::string device = "cuda", dtype = "bf16", method = "none", widths, lengths, copies = "no";
  std::string rule = "lossless", alpha = "0", temperature = "0", outputs = "no";
  int batch = 1, max_new = 64, min_new = 0, repeats = 3;
};

bool flag(const char* name, const std::string& word) {
  if (word != "yes" && word != "no") {
    fail(ErrorCode::kInput, name, ": expected yes or no, got \"", word, "\"");
  }
  return word == "yes";
}

double number(const char* name, const std::string& word) {
  char* end = nullptr;
  const double value = std::strtod(word.c_str(), &end);
  if (word.empty() || *end != '\0') {
    fail(ErrorCode::kInput, name, ": expected a number, got \"", word, "\"");
  }
  return value;
}

std::vector<int32_t> integers(const char* name, const std::string& word) {
  std::vector<int32_t> values;
  std::istringstream parts(word);
  for (std::string part; std::getline(parts, part, ',');) {
    values.push_back(static_cast<int32_t>(number(name, part)));
  }
  return values;
}

RuleKind rule_named(const std::string& name) {
  constexpr std::pair<const char*, RuleKind> kinds[] = {
      {"lossless", RuleKind::kLossless}, {"chow", RuleKind::kChow},
      {"diff", RuleKind::kDiff},         {"opt", RuleKind::kOpt},
      {"tokenV1", RuleKind::kTokenV1},   {"tokenV2", RuleKind::kTokenV2},
      {"tokenV3", RuleKind::kTokenV3}};
  for (const auto& [known, kind] : kinds) {
    if (name == known) return kind;
  }
  fail(ErrorCode::kInput, "--rule: unknown name \"", name, "\"");
}

DraftPlan draft_plan(const Options& options) {
  DraftPlan plan;
  plan.widths = integers("--widths", options.widths);
  plan.lengths = integers("--lengths", options.lengths);
  plan.copies = flag("--copies", options.copies);
  if (options.method == "none") return plan;
  plan.kind = options.method == "cascade" ? DraftKind::kCascade : DraftKind::kLevels;
  if (options.method == "chain" || options.method == "tree" || options.method == "cascade") {
    return plan;
  }
  fail(ErrorCode::kInput, "--method: expected none, chain, tree or cascade, got \"", options.method,
       "\"");
}

std::shared_ptr<const Model> load(const PlannedModel& planned, const Options& options) {
  ModelOptions how;
  how.device = options.device;
  how.dtype = options.dtype;
  return load_model(planned.config, planned.source, how, {});
}

// What an engine made of all inputs.
class Outcome {
 public:
  // Before `inputs` are submitted.
  void begin(size_t inputs) {
    const std::lock_guard lock(mutex_);
    left_ = inputs;
    outputs_.clear();
    stats_ = {};
  }

  void take(const std::vector<Event>& events) {
    const std::lock_guard lock(mutex_);
    for (const Event& event : events) {
      auto& tokens = outputs_[event.request];
      tokens.insert(tokens.end(), event.tokens.begin(), event.tokens.end());
      if (event.end == Event::End::kNone) continue;
      if (event.end == Event::End::kFailed) message_ = event.message;
      stats_.add(event.stats);
      --left_;
    }
    if (left_ == 0) done_.notify_all();
  }

  // Throws what a sample failed with.
  void wait() {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return left_ == 0; });
    if (!message_.empty()) fail(ErrorCode::kNumeric, message_);
  }

  // By the order of submission. After wait().
  const std::map<uint64_t, std::vector<int32_t>>& outputs() const { return outputs_; }
  const DecodeStats& stats() const { return stats_; }
  int64_t tokens() const {
    int64_t count = 0;
    for (const auto& [id, tokens] : outputs_) count += static_cast<int64_t>(tokens.size());
    return count;
  }

 private:
  std::mutex mutex_;
  std::condition_variable done_;
  size_t left_ = 0;
  std::string message_;
  std::map<uint64_t, std::vector<int32_t>> outputs_;
  DecodeStats stats_;
};

Request request_of(const std::vector<int32_t>& input, const Options& options) {
  Request request;
  request.input_ids = input;
  request.prefix = {0};
  request.eos_tokens = {1};
  request.max_new_tokens = options.max_new;
  request.min_new_tokens = options.min_new;
  request.temperature = static_cast<float>(number("--temperature", options.temperature));
  request.seeds = {1};
  request.rule = {rule_named(options.rule), number("--alpha", options.alpha), 1.0};
  return request;
}

void print(const Options& options, const Outcome& outcome, const Times& seconds) {
  const DecodeStats& stats = outcome.stats();
  const auto tokens = static_cast<double>(outcome.tokens());
  const auto share = [](int64_t part, int64_t whole) {
    return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0.0;
  };
  std::printf(
      "{\"method\": \"%s\", \"rule\": \"%s\", \"alpha\": %g, \"dtype\": \"%s\", \"batch\": %d, "
      "\"tokens\": %.0f, \"seconds\": %.6f, \"leastSeconds\": %.6f, \"mostSeconds\": %.6f, "
      "\"tokensPerSecond\": %.3f, \"tokensPerCall\": %.4f, "
      "\"acceptance\": %.4f, \"deferral\": %.4f",
      options.method.c_str(), options.rule.c_str(), number("--alpha", options.alpha),
      options.dtype.c_str(), options.batch, tokens, seconds.median, seconds.least, seconds.most,
      tokens / seconds.median, tokens / static_cast<double>(stats.target_calls),
      share(stats.accepted, stats.tested),
      stats.decided > 0 ? stats.deferred / static_cast<double>(stats.decided) : 0.0);
  if (flag("--outputs", options.outputs)) {
    std::printf(", \"outputs\": [");
    const char* between = "";
    for (const auto& [id, output] : outcome.outputs()) {
      std::printf("%s[", between);
      for (size_t i = 0; i < output.size(); ++i) std::printf(i == 0 ? "%d" : ", %d", output[i]);
      std::printf("]");
      between = ", ";
    }
    std::printf("]");
  }
  std::printf("}\n");
}

void decode(const Plan& plan, const Options& options) {
  SessionLimits limits;
  limits.draft = draft_plan(options);
  limits.max_batch = options.batch;
  limits.max_new_tokens = options.max_new;
  limits.max_input_tokens = 1;
  for (const std::vector<int32_t>& input : plan.inputs) {
    limits.max_input_tokens = std::max(limits.max_input_tokens, static_cast<int>(input.size()));
  }
  const auto target = load(plan.models[0], options);
  std::vector<std::shared_ptr<const Model>> drafters;
  for (int i = 1; i <= limits.draft.models(); ++i) {
    if (static_cast<size_t>(i) >= plan.models.size()) {
      fail(ErrorCode::kInput, "the method needs ", limits.draft.models(),
           " drafters, the plan has ", plan.models.size() - 1);
    }
    drafters.push_back(load(plan.models[static_cast<size_t>(i)], options));
  }
  Outcome outcome;
  Engine engine(target, drafters, limits,
                [&outcome](std::vector<Event>&& events) { outcome.take(events); });
  std::vector<double> seconds;
  for (int run = 0; run <= options.repeats; ++run) {
    outcome.begin(plan.inputs.size());
    const auto begin = Clock::now();
    for (const std::vector<int32_t>& input : plan.inputs) engine.submit(request_of(input, options));
    outcome.wait();
    const std::chrono::duration<double> taken = Clock::now() - begin;
    if (run > 0) seconds.push_back(taken.count());
  }
  engine.close();
  print(options, outcome, times_of(seconds));
}

int run(const std::vector<std::string>& words) {
  Options options;
  const std::vector<std::string> files =
      read_options(words, {{"--device", &options.device},
                           {"--dtype", &options.dtype},
                           {"--batch", &options.batch, 1024},
                           {"--max-new", &options.max_new, 4096},
                           {"--min-new", &options.min_new, 4096},
                           {"--repeats", &options.repeats, 4096},
                           {"--method", &options.method},
                           {"--widths", &options.widths},
                           {"--lengths", &options.lengths},
                           {"--copies", &options.copies},
                           {"--rule", &options.rule},
                           {"--alpha", &options.alpha},
                           {"--temperature", &options.temperature},
                           {"--outputs", &options.outputs}});
  if (files.size() != 1) fail(ErrorCode::kInput, "expected one plan, got ", files.size());
  decode(read_plan(files[0]), options);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  const bool on_cpu = std::adjacent_find(words.begin(), words.end(), [](auto& name, auto& value) {
                        return name == "--device" && value == "cpu";
                      }) != words.end();
  return on_cpu ? run_bench("gpu_decode", argc, argv, run)
                : run_on_gpu("gpu_decode", argc, argv, run);
}
