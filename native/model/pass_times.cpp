#include "model/pass_times.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>

#include "base/error.h"
#include "model/decoder_pass.h"
#include "model/encoder_pass.h"

namespace speccascade {

namespace {

// Steps between two encoder passes: about those of a sentence.
constexpr int kStepsPerSource = 12;

void check(const char* name, int value, int min) {
  constexpr int kMost = 1 << 16;
  if (value >= min && value <= kMost) return;
  fail(ErrorCode::kInput, name, ": expected an integer from ", min, " to ", kMost, ", got ", value);
}

void check_sizes(const std::vector<int>& rows, int cached, int source, int repeats) {
  if (rows.empty()) fail(ErrorCode::kInput, "rows: expected at least one count");
  for (const int count : rows) check("rows", count, 1);
  check("cached", cached, 0);
  check("source", source, 1);
  check("repeats", repeats, 1);
}

// Distinct ids, so that no row of the embedding is served from a cache.
std::vector<int32_t> made_up_ids(const T5Config& config, int count) {
  std::vector<int32_t> ids;
  ids.reserve(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) {
    ids.push_back(static_cast<int32_t>((static_cast<int64_t>(i) * 7919 + 17) % config.vocab_size));
  }
  return ids;
}

struct Work {
  const Backend& backend;
  double bytes = 0.0, terms = 0.0;  // terms: multiply-adds per row
  void add(const Matrix& m) {
    bytes += static_cast<double>(backend.matrix_bytes(m.n, m.k, m.dtype, m.gated));
    terms += static_cast<double>(m.n) * m.k * (m.gated ? 2 : 1);
  }
};

Work decoder_work(const Model& model) {
  Work work = {*model.backend};
  for (const DecoderLayerWeights& layer : model.weights.decoder) {
    for (const Matrix* m :
         {&layer.self_query, &layer.self_key_value, &layer.self_out, &layer.cross_query,
          &layer.cross_out, &layer.feed_forward.in, &layer.feed_forward.out}) {
      work.add(*m);
    }
  }
  work.add(model.weights.head);
  return work;
}

Work encoder_work(const Model& model) {
  Work work = {*model.backend};
  for (const EncoderLayerWeights& layer : model.weights.encoder) {
    for (const Matrix* m :
         {&layer.qkv, &layer.out, &layer.feed_forward.in, &layer.feed_forward.out})
      work.add(*m);
  }
  return work;
}

template <typename Body>
double milliseconds(const Body& body) {
  const auto begin = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin)
      .count();
}

double median(std::vector<double>& values) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0.0 : values[values.size() / 2];
}

// Runs `pass(i)`, which gives milliseconds, for every i in turns, `repeats` times, after one turn
// that does not count.
void time_in_turns(size_t count, int repeats, const std::function<double(size_t)>& pass,
                   PassTimes& times) {
  std::vector<std::vector<double>> taken(count);
  for (int turn = -1; turn < repeats; ++turn) {
    for (size_t i = 0; i < count; ++i) {
      const double ms = pass(i);
      if (turn >= 0) taken[i].push_back(ms);
    }
  }
  for (std::vector<double>& all : taken) {
    times.median_ms.push_back(median(all));
    times.min_ms.push_back(all[0]);
  }
}

// `count` rows of each slot, chains after its committed positions.
void set_chains(const DecoderRows& rows, int slots, int committed, const std::vector<int32_t>& ids,
                int count) {
  for (int r = 0; r < slots * count; ++r) {
    const int slot = r / count, node = r % count;
    rows.tokens[r] = ids[static_cast<size_t>(r)];
    rows.slot[r] = slot;
    rows.position[r] = committed + node;
    rows.node[r] = node;
    rows.node_parent[slot * rows.max_nodes + node] = node - 1;
    rows.logit_rows[r] = r;
  }
  *rows.num_rows = slots * count;
  *rows.num_logits = slots * count;
}

// Sequences in the caches of a model: `cached` positions of each decoded over a source of `source`
// tokens. What run() adds is never committed.
class TimedDecoder {
 public:
  TimedDecoder(const Model& model, int most_rows, int cached, int source, int sequences = 1)
      : sequences_(sequences),
        memory_(model),
        cross_(memory_, model, sequences, sequences, source),
        self_(memory_, model, sequences, cached + most_rows),
        encoder_(model, memory_, source, 1, &cross_),
        decoder_(model, memory_,
                 {sequences, sequences * most_rows, sequences * most_rows, most_rows}, self_,
                 cross_),
        ids_(made_up_ids(model.config, std::max(sequences * most_rows, source))),
        input_(ids_.begin(), ids_.begin() + source) {
    memory_.allocate();
    for (int s = 0; s < sequences; ++s) cross_.slot_source()[s] = s;
    encode();
    // As many at once as what is timed: kernels are chosen by the rows that a pass is planned for.
    while (cached_ < cached) {
      const int rows = std::min(most_rows, cached - cached_);
      run(rows);
      cached_ += rows;
      for (int s = 0; s < sequences; ++s) self_.table().length[s] = cached_;
    }
  }

  void encode() {
    for (int s = 0; s < sequences_; ++s) encoder_.run({&input_}, {s});
  }

  void run(int rows) {
    set_chains(decoder_.rows(), sequences_, cached_, ids_, rows);
    decoder_.run();
  }

  int phases() const { return decoder_.phases(); }

  // On a device of the pass alone, by its clock: rows lie there, and one launch starts it all.
  double timed_run(int rows) {
    if (!memory_.on_device()) return milliseconds([&] { run(rows); });
    run(rows);
    DeviceStream& stream = *memory_.stream();
    stream.activate();
    if (!graph_) graph_ = stream.record([&] { decoder_.queue(stream); });
    // The second of two, queued while the first runs.
    memory_.complete([&] {
      stream.launch(*graph_);
      stream.mark(0);
      stream.launch(*graph_);
      stream.mark(1);
    });
    return stream.milliseconds(0, 1);
  }

 private:
  int sequences_;
  PassMemory memory_;
  CrossCache cross_;
  SelfCache self_;
  EncoderPass encoder_;
  DecoderPass decoder_;
  std::unique_ptr<DeviceGraph> graph_;
  std::vector<int32_t> ids_, input_;
  int cached_ = 0;
};

}  // namespace

PassTimes time_decoder(const Model& model, const std::vector<int>& rows, int cached, int source,
                       int repeats, int sequences) {
  check_sizes(rows, cached, source, repeats);
  check("sequences", sequences, 1);
  const T5Config& config = model.config;
  // Each in a pass of its own: kernels are chosen by the rows that one is planned for.
  std::vector<std::unique_ptr<TimedDecoder>> decoders;
  decoders.reserve(rows.size());
  for (const int count : rows) {
    decoders.push_back(std::make_unique<TimedDecoder>(model, count, cached, source, sequences));
  }
  PassTimes times;
  time_in_turns(
      rows.size(), repeats, [&](size_t i) { return decoders[i]->timed_run(rows[i]); }, times);
  times.phases = decoders[0]->phases();
  const Work work = decoder_work(model);
  const double per_key = 2.0 * config.inner() * config.num_decoder_layers;
  for (const int count : rows) {
    const double keys = cached + count + source;
    const auto entry = static_cast<double>(dtype_bytes(cache_dtype(model)));
    times.bytes.push_back(work.bytes + sequences * keys * per_key * entry);
    times.flops.push_back(2.0 * sequences * count * (work.terms + keys * per_key));
  }
  return times;
}

StepTimes time_steps(const Model& target, const Model* drafter, int drafts, int cached, int source,
                     int repeats) {
  check_sizes({std::min(drafts, 1 << 16) + 1}, cached, source, repeats);
  TimedDecoder verifier(target, drafts + 1, cached, source);
  std::optional<TimedDecoder> proposer;
  if (drafter != nullptr) proposer.emplace(*drafter, 1, cached, source);
  std::vector<double> target_ms, draft_ms;
  for (int turn = -1; turn < repeats; ++turn) {
    verifier.encode();
    if (proposer) proposer->encode();
    for (int step = 0; step < kStepsPerSource; ++step) {
      for (int i = 0; proposer && i < drafts; ++i) {
        const double ms = milliseconds([&] { proposer->run(1); });
        if (turn >= 0) draft_ms.push_back(ms);
      }
      const double ms = milliseconds([&] { verifier.run(drafts + 1); });
      if (turn >= 0) target_ms.push_back(ms);
    }
  }
  return {median(target_ms), median(draft_ms)};
}

PassTimes time_encoder(const Model& model, const std::vector<int>& rows, int repeats) {
  check_sizes(rows, 0, 1, repeats);
  const T5Config& config = model.config;
  const int most = *std::max_element(rows.begin(), rows.end());
  PassMemory memory(model);
  EncoderPass encoder(model, memory, most, 1, nullptr);
  memory.allocate();
  std::vector<std::vector<int32_t>> inputs;
  inputs.reserve(rows.size());
  for (const int count : rows) inputs.push_back(made_up_ids(config, count));
  PassTimes times;
  time_in_turns(
      rows.size(), repeats,
      [&](size_t i) { return milliseconds([&] { encoder.run({&inputs[i]}, {0}); }); }, times);
  const Work work = encoder_work(model);
  const double per_key = 2.0 * config.inner() * config.num_layers;
  for (const int count : rows) {
    times.bytes.push_back(work.bytes);
    times.flops.push_back(2.0 * count * (work.terms + count * per_key));
  }
  return times;
}

}  // namespace speccascade
