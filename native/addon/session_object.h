// NativeSession of lib/native.ts: an engine, and the way of its events to
// JavaScript.
#pragma once

#include <napi.h>

#include <memory>

#include "addon/event_channel.h"
#include "engine/engine.h"

namespace speccascade::addon {

class SessionObject : public Napi::ObjectWrap<SessionObject> {
 public:
  static Napi::Function define(Napi::Env env);
  // createSession(target, drafters, options, onEvents)
  static Napi::Value create(const Napi::CallbackInfo& info);

  explicit SessionObject(const Napi::CallbackInfo& info);
  ~SessionObject() override;

 private:
  Napi::Value submit(const Napi::CallbackInfo& info);
  Napi::Value cancel(const Napi::CallbackInfo& info);
  Napi::Value stats(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  void release_engine();

  Napi::Env env_;
  std::shared_ptr<EventChannel> channel_;
  std::shared_ptr<Engine> engine_;  // null once closed
  SessionStats last_stats_;
  int64_t external_bytes_ = 0;  // as reported to V8
};

}  // namespace speccascade::addon
