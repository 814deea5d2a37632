#include "addon/session_object.h"

#include "addon/async_work.h"
#include "addon/convert.h"
#include "addon/model_object.h"

namespace speccascade::addon {

namespace {

// Ends the engine's thread before the environment is torn down, if nobody else did. By the
// plain C interface: node-addon-api's hook frees itself when it has run, and could not be
// removed safely then.
void close_at_exit(void* engine) { static_cast<Engine*>(engine)->close(); }

}  // namespace

Napi::Function SessionObject::define(Napi::Env env) {
  return DefineClass(env, "NativeSession",
                     {InstanceMethod<&SessionObject::submit>("submit"),
                      InstanceMethod<&SessionObject::cancel>("cancel"),
                      InstanceMethod<&SessionObject::stats>("stats"),
                      InstanceMethod<&SessionObject::close>("close")});
}

Napi::Value SessionObject::create(const Napi::CallbackInfo& info) {
  return instance(info.Env()).session_class.Value().New({info[0], info[1], info[2], info[3]});
}

SessionObject::SessionObject(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<SessionObject>(info), env_(info.Env()) {
  translate(env_, [&] {
    const auto model_of = [](const Napi::Value& value) {
      return ModelObject::Unwrap(value.As<Napi::Object>())->model();
    };
    const auto target = model_of(info[0]);
    const Napi::Array given = info[1].As<Napi::Array>();
    std::vector<std::shared_ptr<const Model>> drafters;
    for (uint32_t i = 0; i < given.Length(); ++i) drafters.push_back(model_of(given.Get(i)));
    const SessionLimits limits = to_limits(info[2].As<Napi::Object>());
    channel_ = EventChannel::open(env_, info[3].As<Napi::Function>());
    try {
      engine_ = std::make_shared<Engine>(
          target, std::move(drafters), limits,
          [channel = channel_](std::vector<Event>&& events) { channel->send(std::move(events)); });
    } catch (...) {
      channel_->release();
      throw;
    }
    napi_add_env_cleanup_hook(env_, close_at_exit, engine_.get());
    // What V8's collector should know of; given back with the engine.
    external_bytes_ = static_cast<int64_t>(engine_->stats().cache_bytes);
    Napi::MemoryManagement::AdjustExternalMemory(env_, external_bytes_);
  });
}

SessionObject::~SessionObject() {
  release_engine();
  if (channel_) channel_->release();
}

// Ends the engine and gives its memory back.
void SessionObject::release_engine() {
  if (!engine_) return;
  napi_remove_env_cleanup_hook(env_, close_at_exit, engine_.get());
  engine_->close();
  last_stats_ = engine_->stats();
  last_stats_.cache_bytes = 0;
  engine_.reset();
  Napi::MemoryManagement::AdjustExternalMemory(env_, -external_bytes_);
  external_bytes_ = 0;
}

Napi::Value SessionObject::submit(const Napi::CallbackInfo& info) {
  return translate(env_, [&]() -> Napi::Value {
    Request request = to_request(info[0].As<Napi::Object>());
    const int64_t samples = static_cast<int64_t>(request.seeds.size());
    if (!engine_) fail(ErrorCode::kClosed, "the session is closed");
    const uint64_t id = engine_->submit(std::move(request));
    channel_->expect(env_, samples);
    return Napi::Number::New(env_, static_cast<double>(id));
  });
}

Napi::Value SessionObject::cancel(const Napi::CallbackInfo& info) {
  if (engine_) engine_->cancel(static_cast<uint64_t>(info[0].ToNumber().Int64Value()));
  return env_.Undefined();
}

Napi::Value SessionObject::stats(const Napi::CallbackInfo&) {
  const SessionStats stats = engine_ ? engine_->stats() : last_stats_;
  return from_session_stats(env_, stats);
}

Napi::Value SessionObject::close(const Napi::CallbackInfo& info) {
  // Now: the threads of Node's that wait for its end may all be loading or scoring.
  if (engine_) engine_->begin_close();
  // Waits off this thread for the step under way; the rest is quick.
  return AsyncWork<bool>::start(
      env_, info.This(),
      [engine = engine_, channel = channel_] {
        if (engine) engine->close();
        channel->release();
        return true;
      },
      [this](Napi::Env env, bool&&) -> Napi::Value {
        release_engine();
        return env.Undefined();
      });
}

}  // namespace speccascade::addon
