#include "model/encoder_pass.h"

#include <algorithm>

#include "base/error.h"
#include "model/blocks.h"

namespace speccascade {

namespace {

// On a device attention needs none.
size_t scratch_bytes(const Model& model, int max_rows) {
  const size_t products = product_scratch_bytes(model, max_rows);
  if (model.device) return products;
  return std::max(products,
                  encoder_attention_scratch_bytes(max_rows, model.config.d_kv, model.threads));
}

}  // namespace

EncoderPass::EncoderPass(const Model& model, PassMemory& memory, int max_rows, int max_sequences,
                         CrossCache* cross)
    : model_(model),
      memory_(memory),
      cross_(cross),
      max_rows_(max_rows),
      max_sequences_(max_sequences),
      num_rows_(memory, 1),
      tokens_(memory, static_cast<size_t>(max_rows)),
      row_sequence_(memory, static_cast<size_t>(max_rows)),
      offsets_(memory, static_cast<size_t>(max_sequences) + 1),
      cross_rows_(memory, static_cast<size_t>(max_rows)),
      hidden_(memory, area(max_rows, model.config.d_model)),
      normed_(memory, area(max_rows, model.config.d_model)),
      qkv_(memory, area(max_rows, 3 * model.config.inner())),
      attended_(memory, area(max_rows, model.config.inner())),
      feed_forward_(memory, area(max_rows, model.config.d_ff)),
      states_(memory, cross == nullptr ? area(max_rows, model.config.d_model) : 0,
              HostSide::kPageable),
      scratch_(memory, scratch_bytes(model, max_rows)) {}

size_t EncoderPass::bytes() const {
  return hidden_.bytes() + normed_.bytes() + qkv_.bytes() + attended_.bytes() +
         feed_forward_.bytes() + scratch_.bytes();
}

void EncoderPass::emit() {
  const T5Config& config = model_.config;
  const RowCount rows = {num_rows_.device(), max_rows_, scratch_.data(), true};
  program_.add(
      EmbedArgs{model_.weights.shared, tokens_.device(), hidden_.data(), rows.count, rows.max});
  for (const EncoderLayerWeights& layer : model_.weights.encoder) emit_layer(layer);
  float* last = cross_ == nullptr ? states_.device() : normed_.data();
  RmsNormArgs states = norm(hidden_.data(), model_.weights.encoder_final_norm, last, config, rows);
  states.for_products = false;
  program_.add(states);
  if (cross_ == nullptr) return;
  for (int i = 0; i < config.num_decoder_layers; ++i) {
    const Matrix& weight = model_.weights.decoder[static_cast<size_t>(i)].cross_key_value;
    program_.add(multiply_into(cross_->keys_values(), i, cross_rows_.device(), normed_.data(),
                               weight, rows));
  }
}

void EncoderPass::emit_layer(const EncoderLayerWeights& layer) {
  const T5Config& config = model_.config;
  const RowCount rows = {num_rows_.device(), max_rows_, scratch_.data(), true};
  program_.add(norm(hidden_.data(), layer.norm, normed_.data(), config, rows));
  program_.add(multiply(normed_.data(), layer.qkv, qkv_.data(), Epilogue::kStore, rows));
  // What rounds the inputs of products to bf16 rounds the softmax, too; f32 is for checking.
  const int parts = model_.dtype == DType::kF32 ? 0 : model_.dtype == DType::kF16 ? 2 : 1;
  program_.add(EncoderAttentionArgs{qkv_.data(), attended_.data(), layer.bias, config.max_distance,
                                    config.num_heads, config.d_kv, rows.count,
                                    row_sequence_.device(), offsets_.device(), max_rows_,
                                    scratch_.data(), max_sequences_, parts});
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
  run_program();
}

void EncoderPass::run_program() {
  if (program_.ops().empty()) emit();
  memory_.complete([this] {
    for (const auto* table : {&num_rows_, &tokens_, &row_sequence_, &offsets_, &cross_rows_}) {
      table->to_device();
    }
    memory_.repeat(graphs_,
                   [this] { model_.backend->run(program_, model_.threads, memory_.stream()); });
    if (cross_ == nullptr) states_.to_host(area(num_rows_[0], model_.config.d_model));
  });
}

}  // namespace speccascade
