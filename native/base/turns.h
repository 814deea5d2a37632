// One at a time, and nobody waits long: who asks while it is free takes it, also before those that
// wait, which costs them no wake-up between short turns of several threads; but who has waited for
// kPatience is next, in the order in which that came to pass.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace speccascade {

class Turns {
 public:
  // Lockable, for std::lock_guard.
  void lock() {
    std::unique_lock<std::mutex> lock(mutex_);
    if (!taken_ && !anyone_is_next()) {
      taken_ = true;
      return;
    }
    ++waiting_;
    const auto until = std::chrono::steady_clock::now() + kPatience;
    if (!free_.wait_until(lock, until, [this] { return !taken_ && !anyone_is_next(); })) {
      const uint64_t place = places_++;
      free_.wait(lock, [this, place] { return !taken_ && place == next_; });
      ++next_;
    }
    --waiting_;
    taken_ = true;
  }

  void unlock() {
    const std::lock_guard<std::mutex> lock(mutex_);
    taken_ = false;
    // All: who is next is among them.
    if (waiting_ > 0) free_.notify_all();
  }

 private:
  static constexpr std::chrono::milliseconds kPatience{1};

  bool anyone_is_next() const { return next_ != places_; }

  std::mutex mutex_;
  std::condition_variable free_;
  bool taken_ = false;
  int waiting_ = 0;
  uint64_t places_ = 0, next_ = 0;  // of those whose patience has ended
};

}  // namespace speccascade
