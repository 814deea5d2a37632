// A forward pass as data: a list of op descriptors, emitted once per session and
// executed many times. Everything that changes between runs (row counts, tokens,
// positions, cache rows) is read from the buffers the descriptors point to; the
// plain numbers in them are bounds and shapes. One executor exists for each way
// of running the list; all of them run the same list.
#pragma once

#include <cstdint>
#include <vector>

#include "ops/attention.h"
#include "ops/decoder_rows.h"
#include "ops/embed.h"
#include "ops/gemm.h"
#include "ops/rms_norm.h"

namespace speccascade {

enum class OpKind : uint8_t {
  kEmbed,
  kRmsNorm,
  kGemm,
  kEncoderAttention,
  kResolveCacheRows,
  kSelfAttention,
  kCrossAttention,
};

// Plain data, so that a device can hold the list as well.
struct Op {
  OpKind kind;
  union {
    EmbedArgs embed;
    RmsNormArgs rms_norm;
    GemmArgs gemm;
    EncoderAttentionArgs encoder_attention;
    ResolveCacheRowsArgs resolve_cache_rows;
    SelfAttentionArgs self_attention;
    CrossAttentionArgs cross_attention;
  };
};

class Program {
 public:
  void add(const EmbedArgs& args);
  void add(const RmsNormArgs& args);
  void add(const GemmArgs& args);
  void add(const EncoderAttentionArgs& args);
  void add(const ResolveCacheRowsArgs& args);
  void add(const SelfAttentionArgs& args);
  void add(const CrossAttentionArgs& args);
  const std::vector<Op>& ops() const { return ops_; }

 private:
  std::vector<Op> ops_;
};

}  // namespace speccascade
