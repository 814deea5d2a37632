// Carries an engine's events from its thread to a JavaScript callback, and keeps
// the process alive exactly while requests are under way.
#pragma once

#include <napi.h>

#include <memory>
#include <mutex>
#include <vector>

#include "engine/request.h"

namespace speccascade::addon {

class EventChannel {
 public:
  // The channel lives until release() was called and all events were delivered,
  // whoever else holds it.
  static std::shared_ptr<EventChannel> open(Napi::Env env, const Napi::Function& callback);

  // From the engine's thread.
  void send(std::vector<Event>&& events);
  // From the JavaScript thread, with the number of samples a request brings.
  void expect(Napi::Env env, int64_t samples);
  // No send() follows; events sent before still arrive. Idempotent.
  void release();

 private:
  using Keeper = std::shared_ptr<EventChannel>;
  static void deliver(Napi::Env env, Napi::Function callback, Keeper* keeper,
                      std::vector<Event>* events);
  using Function = Napi::TypedThreadSafeFunction<Keeper, std::vector<Event>, deliver>;

  std::mutex mutex_;
  Function function_;
  bool open_ = true;
  int64_t expected_ = 0;  // samples without an end; JavaScript thread only
};

}  // namespace speccascade::addon
