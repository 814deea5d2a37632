// What fused verification costs on a GPU: drafts of a chain in every slot, all of which are
// accepted, the target's logits in f32. Temperature, filters, the rule, the walk and the residual
// draw are one launch of a graph, timed by the device's clock. Sums of the softmax are there as the
// output head leaves them, and serve at temperature 1 alone.
//
//   gpu_verify [--vocabulary N] [--sequences N] [--gamma N] [--repeats N]
//
// Prints a line of JSON per case: its temperature, median and minimum in microseconds, the bytes of
// target's logits and drafter's rows that it reads, and, of a case that did not accept its drafts,
// the problem. Exit code 1: a case has one; 77: there is no GPU, with the reason on standard error.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "base/cuda_device.h"
#include "base/error.h"
#include "bench/options.h"
#include "bench/uploads.h"
#include "decode/decode_cuda.h"
#include "engine/slot_tables.h"
#include "ops/ops_cuda.h"

namespace {

using namespace speccascade;
using namespace speccascade::bench;

struct Sizes {
  int vocabulary = 32128, sequences = 32, gamma = 8, repeats = 51;

  int rows() const { return sequences * (gamma + 1); }
  size_t entries() const { return entries_of(rows()); }
  // A drafter has no row after the last draft.
  size_t entries_of_drafts() const { return entries_of(sequences * gamma); }

 private:
  size_t entries_of(int count) const {
    return static_cast<size_t>(count) * static_cast<size_t>(vocabulary);
  }
};

struct Setting {
  const char* name;
  RuleKind rule;
  float top_p;
  Verifier verifier = Verifier::kToken;
  float temperature = 1.0f;
};

constexpr Setting kSettings[] = {
    {"lossless", RuleKind::kLossless, 1.0f},
    {"lossless, top-p 0.9", RuleKind::kLossless, 0.9f},
    {"chow", RuleKind::kChow, 1.0f},
    {"opt", RuleKind::kOpt, 1.0f},
    {"token V3", RuleKind::kTokenV3, 1.0f},
    {"lossy", RuleKind::kLossy, 1.0f},
    {"chow, top-p 0.9", RuleKind::kChow, 0.9f},
    {"lossless, block", RuleKind::kLossless, 1.0f, Verifier::kBlock},
    {"opt, block", RuleKind::kOpt, 1.0f, Verifier::kBlock},
    // The head's sums do not serve.
    {"lossless, temperature 0.7", RuleKind::kLossless, 1.0f, Verifier::kToken, 0.7f}};

SessionLimits limits_of(const Sizes& sizes) {
  SessionLimits limits;
  limits.max_batch = sizes.sequences;
  limits.max_new_tokens = 4 * sizes.gamma;
  limits.draft.kind = DraftKind::kLevels;
  limits.draft.widths.assign(static_cast<size_t>(sizes.gamma), 1);
  return limits;
}

// A step after drafting and the target's pass. The drafter's logits are the target's.
class Step {
 public:
  // Logits are spread evenly, or few of them are large.
  Step(const Sizes& sizes, bool peaked)
      : sizes_(sizes),
        limits_(limits_of(sizes)),
        tables_(limits_, sizes.vocabulary, device()),
        memory_(device()),
        device_tables_(memory_.reserve<char>(tables_.bytes())),
        views_(carve_tables(limits_, sizes.vocabulary, device_tables_)),
        logits_(memory_.reserve<float>(sizes.entries())),
        target_(rows_of()),
        drafter_(rows_of()) {
    const size_t rows = static_cast<size_t>(sizes.rows());
    std::vector<float> logits(sizes.entries());
    uint32_t state = 1;
    for (float& x : logits) {
      state = state * 1664525u + 1013904223u;
      const float uniform = static_cast<float>(state >> 8) * 0x1p-24f;
      x = 16.0f * (peaked ? std::pow(uniform, 64.0f) : uniform);
    }
    memory_.upload(logits_, logits);
    // As the product of the logits leaves them.
    std::vector<LeftPeak> peaks;
    for (size_t row = 0; row < rows; ++row) {
      const auto begin = logits.begin() + static_cast<ptrdiff_t>(row) * sizes.vocabulary;
      const auto largest = [&](int first, int end) {
        return static_cast<int32_t>(std::max_element(begin + first, begin + end) - begin);
      };
      best_.push_back(largest(0, sizes.vocabulary));
      for (int first = 0; first < sizes.vocabulary; first += kPeakOutputs) {
        const int end = std::min(first + kPeakOutputs, sizes.vocabulary);
        const int index = largest(first, end);
        float powers = 0.0f;
        for (int v = first; v < end; ++v) powers += std::exp(begin[v] - begin[index]);
        peaks.push_back({{begin[index], index}, powers});
      }
    }
    peaks_ = memory_.place(peaks);
    lay_out_rows();
  }

  double bytes() const {
    return static_cast<double>((sizes_.entries() + sizes_.entries_of_drafts()) * sizeof(float));
  }

  Times time(const Setting& setting) {
    fill_tables(setting);
    DeviceStream& stream = memory_.stream();
    const auto send = [&] {
      stream.copy_to_device(device_tables_, tables_.memory(), tables_.bytes());
    };
    const auto verify = [&] {
      verify_cuda(distribution(target_, views_.sampling), verification(), stream.handle());
    };
    send();
    distribution_cuda(distribution(drafter_, views_.drafter_sampling()), stream.handle());
    verify();
    stream.synchronize();
    const auto graph = stream.record(verify);
    std::vector<double> us;
    for (int i = 0; i < sizes_.repeats; ++i) {
      // Once before, so that the host has queued what is timed while the device is busy.
      send();
      stream.launch(*graph);
      send();
      stream.mark(0);
      stream.launch(*graph);
      stream.mark(1);
      stream.synchronize();
      us.push_back(1000.0 * stream.milliseconds(0, 1));
    }
    stream.copy_to_host(tables_.memory(), device_tables_, tables_.bytes());
    stream.synchronize();
    return times_of(us);
  }

  // Of the case timed last: what a sequence did instead of accepting its drafts; else empty.
  std::string problem() const {
    const SequenceState& state = tables_.sequences();
    for (int slot = 0; slot < sizes_.sequences; ++slot) {
      if (state.accepted[slot] == sizes_.gamma && state.failure[slot] == 0) continue;
      return "sequence " + std::to_string(slot) + " accepted " +
             std::to_string(state.accepted[slot]) + " of " + std::to_string(sizes_.gamma) +
             ", failure " + std::to_string(state.failure[slot]);
    }
    return "";
  }

 private:
  // Distributions of rows, and what comes with them.
  struct Rows {
    float *probs, *unscaled, *log_sum;
    int32_t *best, *status;
  };

  static const std::shared_ptr<Device>& device() {
    static const std::shared_ptr<Device> device = open_cuda_device(0);
    return device;
  }

  Rows rows_of() {
    const size_t rows = static_cast<size_t>(sizes_.rows());
    return {memory_.reserve<float>(sizes_.entries()), memory_.reserve<float>(sizes_.entries()),
            memory_.reserve<float>(rows), memory_.reserve<int32_t>(rows),
            memory_.reserve<int32_t>(rows)};
  }

  void lay_out_rows() {
    const int per_slot = sizes_.gamma + 1;
    std::vector<int32_t> slot, node, out_row, first;
    std::vector<const float*> scaled, unscaled, proposal;
    for (int row = 0; row < sizes_.rows(); ++row) {
      const int at = row % per_slot;
      slot.push_back(row / per_slot);
      node.push_back(at - 1);
      out_row.push_back(row);
      if (at == 0) first.push_back(row);
      scaled.push_back(drafter_.probs + static_cast<int64_t>(row) * sizes_.vocabulary);
      unscaled.push_back(drafter_.unscaled + static_cast<int64_t>(row) * sizes_.vocabulary);
      if (at < sizes_.gamma) proposal.push_back(scaled.back());
    }
    // A row's place in its slot is the output that it predicts.
    std::vector<int32_t> output(node);
    for (int32_t& index : output) ++index;
    num_rows_ = memory_.place(std::vector<int32_t>{sizes_.rows()});
    logit_rows_ = {memory_.place(slot), memory_.place(node), memory_.place(output),
                   memory_.place(out_row), memory_.place(first)};
    drafts_ = {memory_.place(scaled), memory_.place(unscaled), memory_.place(proposal),
               Siblings::kWithoutReplacement, true};
    const size_t rows = static_cast<size_t>(sizes_.rows());
    const size_t slots = static_cast<size_t>(sizes_.sequences);
    const size_t columns = static_cast<size_t>(sizes_.vocabulary);
    verified_ = memory_.reserve<TargetRow>(rows);
    deferral_ = memory_.reserve<float>(rows);
    scratch_ = memory_.reserve<float>(2 * slots * columns);
    one_hot_ = memory_.reserve<float>(slots * columns);
  }

  void fill_tables(const Setting& setting) {
    const SequenceState& state = tables_.sequences();
    for (int slot = 0; slot < sizes_.sequences; ++slot) {
      Request request;
      request.prefix = {0};
      request.max_new_tokens = limits_.max_new_tokens;
      request.temperature = setting.temperature;
      request.top_p = setting.top_p;
      request.rule = {setting.rule, 0.3, 0.8};
      request.verifier = setting.verifier;
      tables_.assign(slot, request, static_cast<uint64_t>(slot));
      for (int node = 0; node < sizes_.gamma; ++node) {
        const int at = slot * state.max_nodes + node;
        const int row = slot * (sizes_.gamma + 1) + node;
        state.draft_tokens[at] = best_[static_cast<size_t>(row)];
        state.draft_parent[at] = node - 1;
        state.draft_depth[at] = node;
      }
      state.draft_count[slot] = sizes_.gamma;
    }
  }

  DistributionArgs distribution(const Rows& rows, const SlotSampling& sampling) const {
    return {logits_,
            sizes_.vocabulary,
            num_rows_,
            sizes_.rows(),
            logit_rows_.slot,
            logit_rows_.output,
            logit_rows_.out_row,
            sampling,
            rows.probs,
            rows.unscaled,
            rows.best,
            rows.log_sum,
            rows.status,
            peaks_};
  }

  VerifyArgs verification() const {
    return {views_.sequences, views_.sampling, drafts_,         sizes_.vocabulary,
            logit_rows_,      logits_,         nullptr,         nullptr,
            target_.best,     target_.status,  target_.log_sum, nullptr,
            deferral_,        scratch_,        one_hot_,        verified_};
  }

  Sizes sizes_;
  SessionLimits limits_;
  SlotTables tables_;
  Uploads memory_;
  char* device_tables_;
  TableViews views_;
  float* logits_;
  const LeftPeak* peaks_ = nullptr;
  Rows target_, drafter_;
  std::vector<int32_t> best_;
  const int32_t* num_rows_ = nullptr;
  LogitRows logit_rows_ = {};
  DraftRows drafts_ = {};
  TargetRow* verified_ = nullptr;
  float *deferral_ = nullptr, *scratch_ = nullptr, *one_hot_ = nullptr;
};

void print(const Setting& setting, bool peaked, const Sizes& sizes, const Times& times,
           const Step& step, const std::string& problem) {
  const std::string note = problem.empty() ? "" : ", \"problem\": \"" + problem + "\"";
  std::printf(
      "{\"case\": \"%s%s\", \"logits\": \"f32\", \"vocabulary\": %d, \"sequences\": %d, "
      "\"gamma\": %d, \"temperature\": %.2f, \"medianUs\": %.3f, \"minUs\": %.3f, \"bytes\": %.0f"
      "%s}\n",
      setting.name, peaked ? ", few large" : "", sizes.vocabulary, sizes.sequences, sizes.gamma,
      setting.temperature, times.median, times.least, step.bytes(), note.c_str());
  std::fflush(stdout);
}

int run(const std::vector<std::string>& words) {
  Sizes sizes;
  const std::vector<std::string> others =
      read_options(words, {{"--vocabulary", &sizes.vocabulary, 1 << 18},
                           {"--sequences", &sizes.sequences, 1024},
                           {"--gamma", &sizes.gamma, 64},
                           {"--repeats", &sizes.repeats, 4096}});
  if (!others.empty()) fail(ErrorCode::kInput, "unknown word ", others[0]);
  int failed = 0;
  for (const bool peaked : {false, true}) {
    Step step(sizes, peaked);
    for (const Setting& setting : kSettings) {
      const Times times = step.time(setting);
      // One case that is wrong does not cost the others.
      const std::string problem = step.problem();
      print(setting, peaked, sizes, times, step, problem);
      if (problem.empty()) continue;
      std::fprintf(stderr, "%s%s: %s\n", setting.name, peaked ? ", few large" : "",
                   problem.c_str());
      ++failed;
    }
  }
  return failed == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) { return run_on_gpu("gpu_verify", argc, argv, run); }
