// One way to run core work off the JavaScript thread: work on a pool thread of
// Node, then convert its result, or its failure, into a promise's.
#pragma once

#include <napi.h>

#include <functional>
#include <optional>
#include <utility>

#include "addon/convert.h"

namespace speccascade::addon {

template <typename Result>
class AsyncWork : public Napi::AsyncWorker {
 public:
  using Work = std::function<Result()>;
  using Convert = std::function<Napi::Value(Napi::Env, Result&&)>;

  // `owner` is kept alive until the work is done.
  static Napi::Promise start(Napi::Env env, const Napi::Value& owner, Work work, Convert convert) {
    auto* worker = new AsyncWork(env, owner, std::move(work), std::move(convert));
    const Napi::Promise promise = worker->deferred_.Promise();
    worker->Queue();
    return promise;
  }

 protected:
  void Execute() override {
    try {
      result_ = work_();
    } catch (const std::exception&) {
      const Error error = caught_error();
      code_ = error.code();
      SetError(error.what());
    }
  }

  void OnOK() override {
    const Napi::HandleScope scope(Env());
    try {
      deferred_.Resolve(convert_(Env(), std::move(*result_)));
    } catch (const Napi::Error& error) {
      deferred_.Reject(error.Value());
    }
  }

  void OnError(const Napi::Error& error) override {
    const Napi::HandleScope scope(Env());
    deferred_.Reject(error_value(Env(), code_, error.Message()));
  }

 private:
  AsyncWork(Napi::Env env, const Napi::Value& owner, Work work, Convert convert)
      : Napi::AsyncWorker(env, "speccascade"),
        deferred_(env),
        work_(std::move(work)),
        convert_(std::move(convert)) {
    if (owner.IsObject()) owner_ = Napi::Persistent(owner.As<Napi::Object>());
  }

  Napi::Promise::Deferred deferred_;
  Napi::ObjectReference owner_;
  Work work_;
  Convert convert_;
  std::optional<Result> result_;
  ErrorCode code_ = ErrorCode::kInput;
};

}  // namespace speccascade::addon
