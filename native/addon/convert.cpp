#include "addon/convert.h"

#include <cstring>
#include <memory>
#include <utility>

namespace speccascade::addon {

namespace {

template <typename T = int>
T number(const Napi::Object& object, const char* key) {
  const double number = to_number(object, key);
  if constexpr (std::is_integral_v<T>) {
    if (!(number >= -2147483648.0 && number <= 2147483647.0)) {
      fail(ErrorCode::kInput, key, ": expected a 32-bit integer, got ", number);
    }
  }
  return static_cast<T>(number);
}

bool boolean(const Napi::Object& object, const char* key) {
  return object.Get(key).ToBoolean().Value();
}

std::string text(const Napi::Object& object, const char* key) {
  return object.Get(key).ToString().Utf8Value();
}

std::vector<int32_t> ints(const Napi::Value& value, const char* what) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_int32_array) {
    fail(ErrorCode::kInput, what, ": expected an Int32Array");
  }
  const Napi::Int32Array array = value.As<Napi::Int32Array>();
  return {array.Data(), array.Data() + array.ElementLength()};
}

// Byte offsets arrive as numbers: exact up to 2^53.
uint64_t offset(const Napi::Object& object, const char* key) {
  const double value = to_number(object, key);
  if (!(value >= 0 && value <= 9007199254740991.0)) {
    fail(ErrorCode::kCheckpoint, key, ": not a byte offset: ", value);
  }
  return static_cast<uint64_t>(value);
}

Activation to_activation(const std::string& name) {
  if (name == "relu") return Activation::kRelu;
  if (name == "gelu") return Activation::kGelu;
  if (name == "gelu_tanh") return Activation::kGeluTanh;
  if (name == "silu") return Activation::kSilu;
  fail(ErrorCode::kConfig, "activation: unknown name ", name);
}

DType to_dtype(const std::string& name) {
  if (name == "F32") return DType::kF32;
  if (name == "BF16") return DType::kBF16;
  if (name == "F16") return DType::kF16;
  fail(ErrorCode::kCheckpoint, "tensor dtype: expected F32, BF16 or F16, got ", name);
}

RuleKind to_rule_kind(const std::string& name) {
  constexpr std::pair<const char*, RuleKind> kinds[] = {{"lossless", RuleKind::kLossless},
                                                        {"lossy", RuleKind::kLossy},
                                                        {"lossyMatched", RuleKind::kLossyMatched},
                                                        {"chow", RuleKind::kChow},
                                                        {"diff", RuleKind::kDiff},
                                                        {"opt", RuleKind::kOpt},
                                                        {"chowLog", RuleKind::kChowLog},
                                                        {"diffLog", RuleKind::kDiffLog},
                                                        {"optLog", RuleKind::kOptLog},
                                                        {"tokenV1", RuleKind::kTokenV1},
                                                        {"tokenV2", RuleKind::kTokenV2},
                                                        {"tokenV3", RuleKind::kTokenV3},
                                                        {"bild", RuleKind::kBild}};
  for (const auto& [known, kind] : kinds) {
    if (name == known) return kind;
  }
  fail(ErrorCode::kInput, "rule: unknown name ", name);
}

const char* end_name(Event::End end) {
  switch (end) {
    case Event::End::kEos:
      return "eos";
    case Event::End::kStop:
      return "stop";
    case Event::End::kLength:
      return "length";
    default:
      return "aborted";
  }
}

}  // namespace

Instance& instance(Napi::Env env) { return *env.GetInstanceData<Instance>(); }

void set_error_class(const Napi::CallbackInfo& info) {
  instance(info.Env()).error_class = Napi::Persistent(info[0].As<Napi::Function>());
}

Napi::Value error_value(Napi::Env env, ErrorCode code, const std::string& message) {
  const Napi::FunctionReference& error_class = instance(env).error_class;
  if (error_class.IsEmpty()) return Napi::Error::New(env, message).Value();
  return error_class.Value().New(
      {Napi::String::New(env, error_name(code)), Napi::String::New(env, message)});
}

double to_number(const Napi::Object& object, const char* key) {
  const Napi::Value value = object.Get(key);
  if (!value.IsNumber()) fail(ErrorCode::kInput, key, ": expected a number");
  return value.As<Napi::Number>().DoubleValue();
}

std::vector<int32_t> to_ints(const Napi::Object& object, const char* key) {
  return ints(object.Get(key), key);
}

T5Config to_config(const Napi::Object& object) {
  T5Config config;
  config.vocab_size = number(object, "vocabSize");
  config.d_model = number(object, "dModel");
  config.d_kv = number(object, "dKv");
  config.d_ff = number(object, "dFf");
  config.num_heads = number(object, "numHeads");
  config.num_layers = number(object, "numLayers");
  config.num_decoder_layers = number(object, "numDecoderLayers");
  config.num_buckets = number(object, "relativeAttentionNumBuckets");
  config.max_distance = number(object, "relativeAttentionMaxDistance");
  config.relative_bias_every_layer = boolean(object, "relativeBiasEveryLayer");
  config.layer_norm_epsilon = number<float>(object, "layerNormEpsilon");
  config.activation = to_activation(text(object, "activation"));
  config.gated = boolean(object, "gated");
  config.scale_decoder_outputs = boolean(object, "scaleDecoderOutputs");
  config.tie_word_embeddings = boolean(object, "tieWordEmbeddings");
  return config;
}

ModelSource to_model_source(const Napi::Object& object) {
  ModelSource source;
  if (object.Has("seed")) {
    bool lossless = true;
    source.seed = object.Get("seed").As<Napi::BigInt>().Uint64Value(&lossless);
    return source;
  }
  const Napi::Array files = object.Get("files").As<Napi::Array>();
  for (uint32_t i = 0; i < files.Length(); ++i) {
    source.files.push_back(files.Get(i).ToString().Utf8Value());
  }
  const Napi::Array tensors = object.Get("tensors").As<Napi::Array>();
  for (uint32_t i = 0; i < tensors.Length(); ++i) {
    const Napi::HandleScope scope(object.Env());
    const Napi::Object from = tensors.Get(i).As<Napi::Object>();
    TensorEntry entry;
    entry.name = text(from, "name");
    entry.file = number(from, "file");
    entry.dtype = to_dtype(text(from, "dtype"));
    const Napi::Array shape = from.Get("shape").As<Napi::Array>();
    for (uint32_t d = 0; d < shape.Length(); ++d) {
      entry.shape.push_back(shape.Get(d).ToNumber().Int64Value());
    }
    entry.begin = offset(from, "begin");
    entry.end = offset(from, "end");
    source.tensors.push_back(std::move(entry));
  }
  return source;
}

ModelOptions to_model_options(const Napi::Object& object) {
  return {text(object, "device"), text(object, "dtype"), number(object, "threads")};
}

namespace {

DraftKind to_draft_kind(const std::string& name) {
  if (name == "none") return DraftKind::kNone;
  if (name == "levels") return DraftKind::kLevels;
  if (name == "dynamicTree") return DraftKind::kDynamicTree;
  if (name == "copy") return DraftKind::kCopy;
  if (name == "cascade") return DraftKind::kCascade;
  fail(ErrorCode::kInput, "draft: unknown kind ", name);
}

DraftPlan to_draft_plan(const Napi::Object& object) {
  DraftPlan plan;
  plan.kind = to_draft_kind(text(object, "kind"));
  plan.widths = to_ints(object, "widths");
  plan.replacement = boolean(object, "replacement");
  plan.nodes = number(object, "nodes");
  plan.depth = number(object, "depth");
  plan.lengths = to_ints(object, "lengths");
  plan.copies = boolean(object, "copies");
  plan.copy_length = number(object, "copyLength");
  plan.lenience = to_number(object, "lenience");
  plan.bigrams = to_ints(object, "bigrams");
  if (object.Get("adaptive").IsObject()) {
    const Napi::Object adaptive = object.Get("adaptive").As<Napi::Object>();
    plan.adaptive = {true, number(adaptive, "max"), number<float>(adaptive, "confidence")};
  }
  return plan;
}

Verifier to_verifier(const std::string& name) {
  if (name == "token") return Verifier::kToken;
  if (name == "block") return Verifier::kBlock;
  if (name == "k-seq") return Verifier::kKseq;
  if (name == "traversal") return Verifier::kTraversal;
  if (name == "trusted") return Verifier::kTrusted;
  fail(ErrorCode::kInput, "verifier: unknown name ", name);
}

}  // namespace

SessionLimits to_limits(const Napi::Object& object) {
  SessionLimits limits;
  limits.draft = to_draft_plan(object.Get("draft").As<Napi::Object>());
  limits.max_batch = number(object, "maxBatch");
  limits.max_input_tokens = number(object, "maxInputTokens");
  limits.max_new_tokens = number(object, "maxNewTokens");
  limits.max_prefix_tokens = number(object, "maxPrefixTokens");
  limits.draft.follows_load = boolean(object, "followsLoad");
  limits.traversal = boolean(object, "traversal");
  limits.reproducible = boolean(object, "reproducible");
  limits.encoder_rows_per_step = number(object, "encoderTokensPerStep");
  return limits;
}

Rule to_rule(const Napi::Object& object) {
  return {to_rule_kind(text(object, "kind")), to_number(object, "alpha"),
          to_number(object, "beta")};
}

Request to_request(const Napi::Object& object) {
  Request request;
  request.input_ids = to_ints(object, "inputIds");
  request.prefix = to_ints(object, "prefix");
  request.eos_tokens = to_ints(object, "eosTokens");
  request.stop_tokens = to_ints(object, "stopTokens");
  request.suppress_tokens = to_ints(object, "suppressTokens");
  request.max_new_tokens = number(object, "maxNewTokens");
  request.min_new_tokens = number(object, "minNewTokens");
  request.temperature = number<float>(object, "temperature");
  request.top_k = number(object, "topK");
  request.top_p = number<float>(object, "topP");
  request.logprobs = boolean(object, "logprobs");
  request.by_step = boolean(object, "byStep");
  request.rule = to_rule(object.Get("rule").As<Napi::Object>());
  request.verifier = to_verifier(text(object, "verifier"));
  request.confidence_stop = number<float>(object, "confidenceStop");
  request.priority = number(object, "priority");
  request.waited_ms = to_number(object, "waitedMs");
  const Napi::Value seeds = object.Get("seeds");
  if (!seeds.IsTypedArray() ||
      seeds.As<Napi::TypedArray>().TypedArrayType() != napi_biguint64_array) {
    fail(ErrorCode::kInput, "seeds: expected a BigUint64Array");
  }
  const auto array = seeds.As<Napi::BigUint64Array>();
  request.seeds.assign(array.Data(), array.Data() + array.ElementLength());
  return request;
}

Sequences to_sequences(const Napi::Value& ids, const Napi::Value& lengths) {
  const std::vector<int32_t> packed = ints(ids, "ids");
  size_t at = 0;
  Sequences sequences;
  for (const int32_t length : ints(lengths, "lengths")) {
    if (length < 0 || packed.size() - at < static_cast<size_t>(length)) {
      fail(ErrorCode::kInput, "lengths do not add up to ", packed.size(), " ids");
    }
    const auto begin = packed.begin() + static_cast<ptrdiff_t>(at);
    sequences.emplace_back(begin, begin + length);
    at += static_cast<size_t>(length);
  }
  if (at != packed.size()) fail(ErrorCode::kInput, "lengths add up to ", at, " ids");
  return sequences;
}

Napi::Float32Array from_floats(Napi::Env env, const std::vector<float>& values) {
  Napi::Float32Array array = Napi::Float32Array::New(env, values.size());
  if (!values.empty()) std::memcpy(array.Data(), values.data(), values.size() * sizeof(float));
  return array;
}

Napi::Float32Array give_floats(Napi::Env env, std::vector<float>&& values) {
  if (values.empty()) return from_floats(env, values);
  auto kept = std::make_unique<std::vector<float>>(std::move(values));
  const auto drop = [](napi_env, void*, void* hint) {
    delete static_cast<std::vector<float>*>(hint);
  };
  napi_value buffer = nullptr;
  const napi_status status = napi_create_external_arraybuffer(
      env, kept->data(), kept->size() * sizeof(float), drop, kept.get(), &buffer);
  if (status != napi_ok) return from_floats(env, *kept);  // hosts that allow no such buffers
  const size_t count = kept.release()->size();
  return Napi::Float32Array::New(env, count, Napi::ArrayBuffer(env, buffer), 0);
}

Napi::Array from_strings(Napi::Env env, const std::vector<std::string>& values) {
  Napi::Array array = Napi::Array::New(env, values.size());
  for (uint32_t i = 0; i < values.size(); ++i) array.Set(i, Napi::String::New(env, values[i]));
  return array;
}

Napi::Object from_stats(Napi::Env env, const DecodeStats& stats) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("tokens", static_cast<double>(stats.tokens));
  object.Set("targetCalls", static_cast<double>(stats.target_calls));
  Napi::Array calls = Napi::Array::New(env, stats.draft_calls.size());
  for (uint32_t i = 0; i < stats.draft_calls.size(); ++i) {
    calls.Set(i, static_cast<double>(stats.draft_calls[i]));
  }
  object.Set("draftCalls", calls);
  object.Set("proposed", static_cast<double>(stats.proposed));
  object.Set("tested", static_cast<double>(stats.tested));
  object.Set("accepted", static_cast<double>(stats.accepted));
  object.Set("decided", static_cast<double>(stats.decided));
  object.Set("deferred", stats.deferred);
  object.Set("encodeMs", stats.encode_ms);
  object.Set("decodeMs", stats.decode_ms);
  return object;
}

namespace {

Napi::Object from_latencies(Napi::Env env, const LatencyCounts& latencies) {
  Napi::Array bounds = Napi::Array::New(env, LatencyCounts::kBoundsMs.size());
  for (uint32_t i = 0; i < LatencyCounts::kBoundsMs.size(); ++i) {
    bounds.Set(i, LatencyCounts::kBoundsMs[i]);
  }
  Napi::Array counts = Napi::Array::New(env, latencies.counts.size());
  for (uint32_t i = 0; i < latencies.counts.size(); ++i) {
    counts.Set(i, static_cast<double>(latencies.counts[i]));
  }
  Napi::Object object = Napi::Object::New(env);
  object.Set("boundsMs", bounds);
  object.Set("counts", counts);
  object.Set("count", static_cast<double>(latencies.count));
  object.Set("sumMs", latencies.sum_ms);
  return object;
}

}  // namespace

Napi::Object from_session_stats(Napi::Env env, const SessionStats& stats) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("queued", static_cast<double>(stats.queued));
  object.Set("active", static_cast<double>(stats.active));
  object.Set("steps", static_cast<double>(stats.steps));
  object.Set("slotSteps", static_cast<double>(stats.slot_steps));
  object.Set("encodeMs", stats.encode_ms);
  object.Set("decodeMs", stats.decode_ms);
  object.Set("inQueue", from_latencies(env, stats.in_queue));
  object.Set("firstToken", from_latencies(env, stats.first_token));
  object.Set("betweenTokens", from_latencies(env, stats.between_tokens));
  object.Set("cacheBytes", static_cast<double>(stats.cache_bytes));
  Napi::Object totals = from_stats(env, stats.totals);
  totals.Set("requests", static_cast<double>(stats.requests));
  object.Set("tokens", static_cast<double>(stats.tokens));
  object.Set("totals", totals);
  return object;
}

Napi::Object from_event(Napi::Env env, const Event& event) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("request", static_cast<double>(event.request));
  object.Set("sample", event.sample);
  object.Set("samples", event.samples);
  Napi::Int32Array tokens = Napi::Int32Array::New(env, event.tokens.size());
  for (size_t i = 0; i < event.tokens.size(); ++i) tokens[i] = event.tokens[i];
  object.Set("tokens", tokens);
  object.Set("accepted", event.accepted);
  object.Set("logprobs",
             event.logprobs.empty() ? env.Null() : Napi::Value(from_floats(env, event.logprobs)));
  const bool failed = event.end == Event::End::kFailed;
  const bool ended = event.end != Event::End::kNone;
  object.Set("finish", ended && !failed ? Napi::Value(Napi::String::New(env, end_name(event.end)))
                                        : env.Null());
  object.Set("stats", ended ? Napi::Value(from_stats(env, event.stats)) : env.Null());
  object.Set("error", failed ? error_value(env, event.error, event.message) : env.Null());
  return object;
}

}  // namespace speccascade::addon
