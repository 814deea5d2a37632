#include "addon/model_object.h"

#include "addon/async_work.h"
#include "addon/convert.h"
#include "addon/lowlevel_convert.h"
#include "model/pass_times.h"

namespace speccascade::addon {

namespace {

using ModelPointer = std::shared_ptr<const Model>;

struct Progress {
  LoadPhase phase;
  double done, total;
};

void report_progress(Napi::Env env, Napi::Function callback, std::nullptr_t*, Progress* progress) {
  const std::unique_ptr<Progress> owned(progress);
  if (env == nullptr || callback.IsEmpty()) return;
  const char* phase = owned->phase == LoadPhase::kUpload ? "upload" : "read";
  callback.Call({Napi::String::New(env, phase), Napi::Number::New(env, owned->done),
                 Napi::Number::New(env, owned->total)});
}

using ProgressFunction = Napi::TypedThreadSafeFunction<std::nullptr_t, Progress, report_progress>;

// Memory outside V8's heap that its collector should count.
void adjust_memory(Napi::BasicEnv env, int64_t bytes) {
  Napi::MemoryManagement::AdjustExternalMemory(env, bytes);
}

}  // namespace

Napi::Function ModelObject::define(Napi::Env env) {
  return DefineClass(
      env, "NativeModel",
      {InstanceAccessor<&ModelObject::device>("device"),
       InstanceAccessor<&ModelObject::dtype>("dtype"),
       InstanceAccessor<&ModelObject::parameters>("parameters"),
       InstanceAccessor<&ModelObject::memory_bytes>("memoryBytes"),
       InstanceAccessor<&ModelObject::report>("report"),
       InstanceMethod<&ModelObject::encode>("encode"),
       InstanceMethod<&ModelObject::logits>("logits"), InstanceMethod<&ModelObject::score>("score"),
       InstanceMethod<&ModelObject::time_passes>("timePasses"),
       InstanceMethod<&ModelObject::time_steps>("timeSteps"),
       InstanceMethod<&ModelObject::dispose>("dispose")});
}

ModelObject::ModelObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ModelObject>(info) {
  if (!info[0].IsExternal()) {
    throw Napi::TypeError::New(info.Env(), "NativeModel is made by loadModel()");
  }
  model_ = *info[0].As<Napi::External<ModelPointer>>().Data();
  adjust_memory(info.Env(), static_cast<int64_t>(model_->memory_bytes()));
}

void ModelObject::Finalize(Napi::BasicEnv env) {
  if (model_) adjust_memory(env, -static_cast<int64_t>(model_->memory_bytes()));
}

std::shared_ptr<const Model> ModelObject::model() const {
  if (!model_) fail(ErrorCode::kClosed, "the model was disposed");
  return model_;
}

Napi::Value ModelObject::load(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return translate(env, [&] {
    const T5Config config = to_config(info[0].As<Napi::Object>());
    const ModelSource source = to_model_source(info[1].As<Napi::Object>());
    const ModelOptions options = to_model_options(info[2].As<Napi::Object>());
    std::shared_ptr<ProgressFunction> progress;
    if (info[3].IsFunction()) {
      progress = std::make_shared<ProgressFunction>(ProgressFunction::New(
          env, info[3].As<Napi::Function>(), "speccascade load progress", 0, 1));
    }
    // A flag that both threads see; the array is kept alive as the work's owner.
    const int32_t* cancelled = info[4].As<Napi::Int32Array>().Data();
    const auto work = [=] {
      const auto report = [&](LoadPhase phase, uint64_t done, uint64_t total) {
        if (__atomic_load_n(cancelled, __ATOMIC_RELAXED) != 0) {
          fail(ErrorCode::kAborted, "loading was aborted");
        }
        if (!progress) return;
        auto* values = new Progress{phase, static_cast<double>(done), static_cast<double>(total)};
        if (progress->NonBlockingCall(values) != napi_ok) delete values;
      };
      struct Release {
        ProgressFunction* function;
        ~Release() {
          if (function != nullptr) function->Release();
        }
      } release{progress.get()};
      return load_model(config, source, options, report);
    };
    const auto convert = [](Napi::Env js, ModelPointer&& model) -> Napi::Value {
      return instance(js).model_class.Value().New({Napi::External<ModelPointer>::New(js, &model)});
    };
    return Napi::Value(AsyncWork<ModelPointer>::start(env, info[4], work, convert));
  });
}

Napi::Value ModelObject::device(const Napi::CallbackInfo& info) {
  return translate(info.Env(), [&]() -> Napi::Value {
    return Napi::String::New(info.Env(), model()->device_name());
  });
}

Napi::Value ModelObject::dtype(const Napi::CallbackInfo& info) {
  return translate(info.Env(), [&]() -> Napi::Value {
    return Napi::String::New(info.Env(), dtype_name(model()->dtype));
  });
}

Napi::Value ModelObject::parameters(const Napi::CallbackInfo& info) {
  return translate(info.Env(), [&]() -> Napi::Value {
    return Napi::Number::New(info.Env(), static_cast<double>(model()->weights.parameters));
  });
}

Napi::Value ModelObject::memory_bytes(const Napi::CallbackInfo& info) {
  return translate(info.Env(), [&]() -> Napi::Value {
    return Napi::Number::New(info.Env(), static_cast<double>(model()->memory_bytes()));
  });
}

Napi::Value ModelObject::report(const Napi::CallbackInfo& info) {
  return translate(info.Env(), [&]() -> Napi::Value {
    const LoadReport& report = model()->report;
    Napi::Object object = Napi::Object::New(info.Env());
    object.Set("duplicates", from_strings(info.Env(), report.duplicates));
    object.Set("leftovers", from_strings(info.Env(), report.leftovers));
    object.Set("unused", from_strings(info.Env(), report.unused));
    return object;
  });
}

namespace {

Napi::Value to_array(Napi::Env env, std::vector<float>&& values) {
  return give_floats(env, std::move(values));
}

}  // namespace

Napi::Value ModelObject::encode(const Napi::CallbackInfo& info) {
  return translate(info.Env(), [&]() -> Napi::Value {
    const auto shared = model();
    const Sequences inputs = to_sequences(info[0], info[1]);
    return AsyncWork<std::vector<float>>::start(
        info.Env(), info.This(), [=] { return encode_states(*shared, inputs); }, to_array);
  });
}

Napi::Value ModelObject::logits(const Napi::CallbackInfo& info) {
  return translate(info.Env(), [&]() -> Napi::Value {
    const auto shared = model();
    const Sequences inputs = to_sequences(info[0], info[1]);
    const Sequences outputs = to_sequences(info[2], info[3]);
    return AsyncWork<std::vector<float>>::start(
        info.Env(), info.This(), [=] { return teacher_forced_logits(*shared, inputs, outputs); },
        to_array);
  });
}

Napi::Value ModelObject::score(const Napi::CallbackInfo& info) {
  return translate(info.Env(), [&]() -> Napi::Value {
    const auto shared = model();
    const Sequences inputs = to_sequences(info[0], info[1]);
    const Sequences outputs = to_sequences(info[2], info[3]);
    const int start = info[4].ToNumber().Int32Value();
    return AsyncWork<std::vector<float>>::start(
        info.Env(), info.This(), [=] { return score_outputs(*shared, inputs, outputs, start); },
        to_array);
  });
}

Napi::Value ModelObject::time_passes(const Napi::CallbackInfo& info) {
  return translate(info.Env(), [&]() -> Napi::Value {
    const auto shared = model();
    const bool decoder = info[0].ToString().Utf8Value() == "decoder";
    const auto rows = info[1].As<Napi::Int32Array>();
    const std::vector<int> counts(rows.Data(), rows.Data() + rows.ElementLength());
    const int cached = info[2].ToNumber().Int32Value();
    const int source = info[3].ToNumber().Int32Value();
    const int repeats = info[4].ToNumber().Int32Value();
    const auto convert = [](Napi::Env env, PassTimes&& times) -> Napi::Value {
      Napi::Object object = Napi::Object::New(env);
      object.Set("msMedian", from_doubles(env, times.median_ms));
      object.Set("msMin", from_doubles(env, times.min_ms));
      object.Set("bytes", from_doubles(env, times.bytes));
      object.Set("flops", from_doubles(env, times.flops));
      return object;
    };
    return AsyncWork<PassTimes>::start(
        info.Env(), info.This(),
        [=] {
          return decoder ? time_decoder(*shared, counts, cached, source, repeats)
                         : time_encoder(*shared, counts, repeats);
        },
        convert);
  });
}

Napi::Value ModelObject::time_steps(const Napi::CallbackInfo& info) {
  return translate(info.Env(), [&]() -> Napi::Value {
    const auto target = model();
    std::shared_ptr<const Model> drafter;
    if (!info[0].IsNull()) drafter = Unwrap(info[0].As<Napi::Object>())->model();
    const int drafts = info[1].ToNumber().Int32Value();
    const int cached = info[2].ToNumber().Int32Value();
    const int source = info[3].ToNumber().Int32Value();
    const int repeats = info[4].ToNumber().Int32Value();
    return AsyncWork<StepTimes>::start(
        info.Env(), info.This(),
        [=] {
          return speccascade::time_steps(*target, drafter.get(), drafts, cached, source, repeats);
        },
        [](Napi::Env env, StepTimes&& times) -> Napi::Value {
          Napi::Object object = Napi::Object::New(env);
          object.Set("target", times.target);
          object.Set("draft", times.draft);
          return object;
        });
  });
}

Napi::Value ModelObject::dispose(const Napi::CallbackInfo& info) {
  if (model_) adjust_memory(info.Env(), -static_cast<int64_t>(model_->memory_bytes()));
  model_.reset();
  return info.Env().Undefined();
}

}  // namespace speccascade::addon
