#include "addon/event_channel.h"

#include <algorithm>

#include "addon/convert.h"

namespace speccascade::addon {

std::shared_ptr<EventChannel> EventChannel::open(Napi::Env env, const Napi::Function& callback) {
  auto channel = std::make_shared<EventChannel>();
  auto* keeper = new Keeper(channel);
  // On teardown the environment finalizes the function first, while the session still holds it, and
  // then the session: to release the function from there would wait forever. Hence the keeper.
  channel->function_ = Function::New(
      env, callback, Napi::Object(), "speccascade events", 0, 1, keeper,
      [](Napi::Env, std::nullptr_t*, Keeper* kept) {
        (*kept)->release();
        delete kept;
      },
      static_cast<std::nullptr_t*>(nullptr));
  channel->function_.Unref(env);
  return channel;
}

void EventChannel::send(std::vector<Event>&& events) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!open_) return;
  auto owned = std::make_unique<std::vector<Event>>(std::move(events));
  if (function_.NonBlockingCall(owned.get()) == napi_ok) {
    (void)owned.release();
  } else {
    // The environment is going down and has taken the function back.
    open_ = false;
  }
}

void EventChannel::expect(Napi::Env env, int64_t samples) {
  if (expected_ == 0) function_.Ref(env);
  expected_ += samples;
}

void EventChannel::release() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (open_) function_.Release();
  open_ = false;
}

void EventChannel::deliver(Napi::Env env, Napi::Function callback, Keeper* keeper,
                           std::vector<Event>* events) {
  const std::unique_ptr<std::vector<Event>> owned(events);
  if (env == nullptr) return;
  const Napi::HandleScope scope(env);
  EventChannel& channel = **keeper;
  Napi::Array array = Napi::Array::New(env, owned->size());
  for (uint32_t i = 0; i < owned->size(); ++i) {
    const Event& event = (*owned)[i];
    if (event.end != Event::End::kNone) {
      channel.expected_ -= event.samples;
      if (channel.expected_ == 0) channel.function_.Unref(env);
    }
    array.Set(i, from_event(env, event));
  }
  callback.Call({array});
}

}  // namespace speccascade::addon
