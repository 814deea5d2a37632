#include "model/encoder_pass.h"

#include <algorithm>

#include "base/error.h"
#include "model/blocks.h"

namespace speccascade {

namespace {

size_t area(int rows, int columns) {
  return static_cast<size_t>(rows) * static_cast<size_t>(columns);
}

}  // namespace

EncoderPass::EncoderPass(const Model& model, int max_rows, int max_sequences, CrossCache* cross)
    : model_(model),
      cross_(cross),
      max_rows_(max_rows),
      max_sequences_(max_sequences),
      num_rows_(1),
      tokens_(static_cast<size_t>(max_rows)),
      row_sequence_(static_cast<size_t>(max_rows)),
      offsets_(static_cast<size_t>(max_sequences) + 1),
      cross_rows_(static_cast<size_t>(max_rows)),
      hidden_(area(max_rows, model.config.d_model)),
      normed_(area(max_rows, model.config.d_model)),
      qkv_(area(max_rows, 3 * model.config.inner())),
      attended_(area(max_rows, model.config.inner())),
      feed_forward_(area(max_rows, model.config.d_ff)),
      scratch_(
          std::max(product_scratch_bytes(model, max_rows),
                   encoder_attention_scratch_bytes(max_rows, model.config.d_kv, model.threads))) {
  emit();
}

size_t EncoderPass::bytes() const {
  return hidden_.bytes() + normed_.bytes() + qkv_.bytes() + attended_.bytes() +
         feed_forward_.bytes() + scratch_.bytes();
}

void EncoderPass::emit() {
  const T5Config& config = model_.config;
  const RowCount rows = {num_rows_.data(), max_rows_, scratch_.data()};
  program_.add(
      EmbedArgs{model_.weights.shared, tokens_.data(), hidden_.data(), rows.count, rows.max});
  for (const EncoderLayerWeights& layer : model_.weights.encoder) emit_layer(layer);
  program_.add(
      norm(hidden_.data(), model_.weights.encoder_final_norm, normed_.data(), config, rows));
  if (cross_ == nullptr) return;
  for (int i = 0; i < config.num_decoder_layers; ++i) {
    const Matrix& weight = model_.weights.decoder[static_cast<size_t>(i)].cross_key_value;
    GemmArgs product = multiply(normed_.data(), weight, cross_->layer(i), Epilogue::kStore, rows);
    product.out_rows = cross_rows_.data();
    program_.add(product);
  }
}

void EncoderPass::emit_layer(const EncoderLayerWeights& layer) {
  const T5Config& config = model_.config;
  const RowCount rows = {num_rows_.data(), max_rows_, scratch_.data()};
  program_.add(norm(hidden_.data(), layer.norm, normed_.data(), config, rows));
  program_.add(multiply(normed_.data(), layer.qkv, qkv_.data(), Epilogue::kStore, rows));
  program_.add(EncoderAttentionArgs{qkv_.data(), attended_.data(), layer.bias, config.max_distance,
                                    config.num_heads, config.d_kv, rows.count, row_sequence_.data(),
                                    offsets_.data(), max_rows_, scratch_.data()});
  program_.add(multiply(attended_.data(), layer.out, hidden_.data(), Epilogue::kAdd, rows));
  add_feed_forward(program_, layer.feed_forward, config, hidden_.data(), normed_.data(),
                   feed_forward_.data(), rows);
}

void EncoderPass::run(const std::vector<const std::vector<int32_t>*>& sequences,
                      const std::vector<int>& sources) {
  int row = 0;
  for (size_t s = 0; s < sequences.size(); ++s) {
    const std::vector<int32_t>& ids = *sequences[s];
    const int length = static_cast<int>(ids.size());
    if (row + length > max_rows_ || static_cast<int>(s) >= max_sequences_) {
      fail(ErrorCode::kInput, "encoder pass: more than ", max_rows_, " rows or ", max_sequences_,
           " sequences");
    }
    offsets_[s] = row;
    for (int i = 0; i < length; ++i, ++row) {
      const size_t r = static_cast<size_t>(row);
      tokens_[r] = ids[static_cast<size_t>(i)];
      row_sequence_[r] = static_cast<int32_t>(s);
      if (cross_ != nullptr) cross_rows_[r] = sources[s] * cross_->max_source() + i;
    }
    if (cross_ != nullptr) cross_->source_length()[sources[s]] = length;
  }
  offsets_[sequences.size()] = row;
  num_rows_[0] = row;
  model_.backend->run(program_, model_.threads);
}

}  // namespace speccascade
