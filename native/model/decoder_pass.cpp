#include "model/decoder_pass.h"

#include <algorithm>
#include <cmath>

#include "model/blocks.h"

namespace speccascade {

namespace {

// Bounds of the program as phases. A layer: nine operations, and seven products whose inputs may be
// prepared first. Around the layers: places, embedding, the last norm, logits with their inputs.
constexpr int kOpsOfLayer = 16;
constexpr int kOpsAround = 5;

// One array holds the rows' fields.
DecoderRows carve(int32_t* data, int32_t* node_parent, const DecoderPass::Limits& limits) {
  const auto field = [&](int i) { return data + 2 + static_cast<ptrdiff_t>(i) * limits.max_rows; };
  return {data,     field(0), field(1),    field(2),        field(3),        field(4),
          data + 1, field(5), node_parent, limits.max_rows, limits.max_nodes};
}

// On a device attention needs none.
size_t scratch_bytes(const Model& model, const DecoderPass::Limits& limits, const SelfCache& self,
                     const CrossCache& cross) {
  const size_t products =
      product_scratch_bytes(model, std::max(limits.max_rows, limits.max_logits));
  if (model.device) return products;
  const int keys = std::max(self.rows_per_slot(), cross.max_source());
  return std::max(products, attention_scratch_bytes(keys, model.threads));
}

}  // namespace

DecoderPass::DecoderPass(const Model& model, PassMemory& memory, const Limits& limits,
                         SelfCache& self, CrossCache& cross)
    : model_(model),
      memory_(memory),
      self_(self),
      cross_(cross),
      limits_(limits),
      row_data_(memory, 2 + 6 * static_cast<size_t>(limits.max_rows)),
      node_parent_(memory, area(limits.slots, limits.max_nodes)),
      rows_(carve(row_data_.host(), node_parent_.host(), limits)),
      device_rows_(rows_),
      hidden_(memory, area(limits.max_rows, model.config.d_model)),
      normed_(memory, area(std::max(limits.max_rows, limits.max_logits), model.config.d_model)),
      query_(memory, area(limits.max_rows, model.config.inner())),
      attended_(memory, area(limits.max_rows, model.config.inner())),
      feed_forward_(memory, area(limits.max_rows, model.config.d_ff)),
      logits_(memory, area(limits.max_logits, model.config.vocab_size), HostSide::kPageable),
      peaks_(memory, model.device ? area(limits.max_logits, peaks_of(model.config.vocab_size)) : 0),
      scratch_(memory, scratch_bytes(model, limits, self, cross)),
      persistent_(model, memory, kOpsAround + model.config.num_decoder_layers * kOpsOfLayer) {}

size_t DecoderPass::bytes() const {
  return hidden_.bytes() + normed_.bytes() + query_.bytes() + attended_.bytes() +
         feed_forward_.bytes() + logits_.bytes() + peaks_.bytes() + scratch_.bytes();
}

const DecoderRows& DecoderPass::device_rows() {
  if (program_.ops().empty()) emit();
  return device_rows_;
}

void DecoderPass::queue(DeviceStream& stream) {
  if (program_.ops().empty()) emit();
  if (persistent_.on()) return model_.backend->run_persistent(persistent_.pass(stream), &stream);
  model_.backend->run(program_, model_.threads, &stream);
}

const PersistentPass* DecoderPass::persistent(DeviceStream& stream) {
  if (program_.ops().empty()) emit();
  return persistent_.on() ? &persistent_.pass(stream) : nullptr;
}

void DecoderPass::run() {
  if (program_.ops().empty()) emit();
  memory_.complete([this] {
    row_data_.to_device();
    node_parent_.to_device();
    self_.to_device();
    cross_.to_device();
    memory_.repeat(graphs_, [this] {
      if (memory_.on_device()) return queue(*memory_.stream());
      model_.backend->run(program_, model_.threads, nullptr);
    });
    logits_.to_host(area(*rows_.num_logits, model_.config.vocab_size));
  });
}

void DecoderPass::emit() {
  const T5Config& config = model_.config;
  device_rows_ = carve(row_data_.device(), node_parent_.device(), limits_);
  const RowCount rows = {device_rows_.num_rows, limits_.max_rows, scratch_.data()};
  program_.add(ResolveCacheRowsArgs{device_rows_, self_.device_table()});
  program_.add(
      EmbedArgs{model_.weights.shared, device_rows_.tokens, hidden_.data(), rows.count, rows.max});
  for (int i = 0; i < config.num_decoder_layers; ++i) emit_layer(i);
  const RowCount wanted = {device_rows_.num_logits, limits_.max_logits, scratch_.data()};
  RmsNormArgs last =
      norm(hidden_.data(), model_.weights.decoder_final_norm, normed_.data(), config, wanted);
  last.in_rows = device_rows_.logit_rows;
  if (config.scale_decoder_outputs) {
    last.scale = 1.0f / std::sqrt(static_cast<float>(config.d_model));
  }
  program_.add(last);
  GemmArgs head =
      multiply(normed_.data(), model_.weights.head, logits_.device(), Epilogue::kStore, wanted);
  if (model_.device) head.peaks = peaks_.data();
  program_.add(head);
  persistent_.take(program_);
}

void DecoderPass::emit_layer(int index) {
  const T5Config& config = model_.config;
  const DecoderLayerWeights& layer = model_.weights.decoder[static_cast<size_t>(index)];
  const RowCount rows = {device_rows_.num_rows, limits_.max_rows, scratch_.data()};
  float* hidden = hidden_.data();
  float* normed = normed_.data();

  program_.add(norm(hidden, layer.self_norm, normed, config, rows));
  program_.add(multiply(normed, layer.self_query, query_.data(), Epilogue::kStore, rows));
  const KeysValues& own = self_.keys_values();
  program_.add(
      multiply_into(own, index, device_rows_.cache_row, normed, layer.self_key_value, rows));
  program_.add(SelfAttentionArgs{query_.data(), own.layer(index), own.dtype(), attended_.data(),
                                 layer.bias, config.max_distance, config.num_heads, config.d_kv,
                                 device_rows_, self_.device_table(), scratch_.data()});
  program_.add(multiply(attended_.data(), layer.self_out, hidden, Epilogue::kAdd, rows));

  program_.add(norm(hidden, layer.cross_norm, normed, config, rows));
  program_.add(multiply(normed, layer.cross_query, query_.data(), Epilogue::kStore, rows));
  const KeysValues& encoded = cross_.keys_values();
  program_.add(CrossAttentionArgs{query_.data(), encoded.layer(index), encoded.dtype(),
                                  attended_.data(), config.num_heads, config.d_kv,
                                  cross_.max_source(), device_rows_, cross_.device_slot_source(),
                                  cross_.device_source_length(), scratch_.data()});
  program_.add(multiply(attended_.data(), layer.cross_out, hidden, Epilogue::kAdd, rows));

  add_feed_forward(program_, layer.feed_forward, config, hidden, normed, feed_forward_.data(),
                   rows);
}

}  // namespace speccascade
