#include "model/decoder_pass.h"

#include <algorithm>
#include <cmath>

#include "model/blocks.h"

namespace speccascade {

namespace {

size_t area(int rows, int columns) {
  return static_cast<size_t>(rows) * static_cast<size_t>(columns);
}

// One array holds the rows' fields.
DecoderRows carve(int32_t* data, int32_t* node_parent, const DecoderPass::Limits& limits) {
  const auto field = [&](int i) { return data + 2 + static_cast<ptrdiff_t>(i) * limits.max_rows; };
  return {data,     field(0), field(1),    field(2),        field(3),        field(4),
          data + 1, field(5), node_parent, limits.max_rows, limits.max_nodes};
}

}  // namespace

DecoderPass::DecoderPass(const Model& model, const Limits& limits, SelfCache& self,
                         CrossCache& cross)
    : model_(model),
      self_(self),
      cross_(cross),
      limits_(limits),
      row_data_(2 + 6 * static_cast<size_t>(limits.max_rows)),
      node_parent_(area(limits.slots, limits.max_nodes)),
      rows_(carve(row_data_.data(), node_parent_.data(), limits)),
      hidden_(area(limits.max_rows, model.config.d_model)),
      normed_(area(std::max(limits.max_rows, limits.max_logits), model.config.d_model)),
      query_(area(limits.max_rows, model.config.inner())),
      attended_(area(limits.max_rows, model.config.inner())),
      feed_forward_(area(limits.max_rows, model.config.d_ff)),
      logits_(area(limits.max_logits, model.config.vocab_size)),
      scratch_(std::max(product_scratch_bytes(model, std::max(limits.max_rows, limits.max_logits)),
                        attention_scratch_bytes(std::max(self.rows_per_slot(), cross.max_source()),
                                                model.threads))) {
  emit();
}

size_t DecoderPass::bytes() const {
  return hidden_.bytes() + normed_.bytes() + query_.bytes() + attended_.bytes() +
         feed_forward_.bytes() + logits_.bytes() + scratch_.bytes();
}

void DecoderPass::run() { model_.backend->run(program_, model_.threads); }

void DecoderPass::emit() {
  const T5Config& config = model_.config;
  const RowCount rows = {rows_.num_rows, limits_.max_rows, scratch_.data()};
  program_.add(ResolveCacheRowsArgs{rows_, self_.table()});
  program_.add(
      EmbedArgs{model_.weights.shared, rows_.tokens, hidden_.data(), rows.count, rows.max});
  for (int i = 0; i < config.num_decoder_layers; ++i) emit_layer(i);
  const RowCount wanted = {rows_.num_logits, limits_.max_logits, scratch_.data()};
  RmsNormArgs last =
      norm(hidden_.data(), model_.weights.decoder_final_norm, normed_.data(), config, wanted);
  last.in_rows = rows_.logit_rows;
  if (config.scale_decoder_outputs) {
    last.scale = 1.0f / std::sqrt(static_cast<float>(config.d_model));
  }
  program_.add(last);
  program_.add(
      multiply(normed_.data(), model_.weights.head, logits_.data(), Epilogue::kStore, wanted));
}

void DecoderPass::emit_layer(int index) {
  const T5Config& config = model_.config;
  const DecoderLayerWeights& layer = model_.weights.decoder[static_cast<size_t>(index)];
  const RowCount rows = {rows_.num_rows, limits_.max_rows, scratch_.data()};
  float* hidden = hidden_.data();
  float* normed = normed_.data();

  program_.add(norm(hidden, layer.self_norm, normed, config, rows));
  program_.add(multiply(normed, layer.self_query, query_.data(), Epilogue::kStore, rows));
  GemmArgs key_value =
      multiply(normed, layer.self_key_value, self_.layer(index), Epilogue::kStore, rows);
  key_value.out_rows = rows_.cache_row;
  program_.add(key_value);
  program_.add(SelfAttentionArgs{query_.data(), self_.layer(index), attended_.data(), layer.bias,
                                 config.max_distance, config.num_heads, config.d_kv, rows_,
                                 self_.table(), scratch_.data()});
  program_.add(multiply(attended_.data(), layer.self_out, hidden, Epilogue::kAdd, rows));

  program_.add(norm(hidden, layer.cross_norm, normed, config, rows));
  program_.add(multiply(normed, layer.cross_query, query_.data(), Epilogue::kStore, rows));
  program_.add(CrossAttentionArgs{query_.data(), cross_.layer(index), attended_.data(),
                                  config.num_heads, config.d_kv, cross_.max_source(), rows_,
                                  cross_.slot_source(), cross_.source_length(), scratch_.data()});
  program_.add(multiply(attended_.data(), layer.cross_out, hidden, Epilogue::kAdd, rows));

  add_feed_forward(program_, layer.feed_forward, config, hidden, normed, feed_forward_.data(),
                   rows);
}

}  // namespace speccascade
