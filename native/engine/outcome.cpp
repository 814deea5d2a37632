#include "engine/outcome.h"

namespace speccascade {

Event::End end_of(Finish finish) {
  switch (finish) {
    case Finish::kNone:
      return Event::End::kNone;
    case Finish::kEos:
      return Event::End::kEos;
    case Finish::kStop:
      return Event::End::kStop;
    case Finish::kLength:
      return Event::End::kLength;
  }
  return Event::End::kNone;
}

namespace {

// The options by which the request itself takes tokens away; without any, a row that has none left
// is the model's own.
std::string suppressing_options(const Request& request) {
  const bool suppresses = !request.suppress_tokens.empty(), delays = request.min_new_tokens > 0;
  if (suppresses && delays) return "suppressTokens and minNewTokens";
  return suppresses ? "suppressTokens" : delays ? "minNewTokens" : "";
}

std::string failure_message(Failure failure) {
  switch (failure) {
    case Failure::kTargetNotFinite:
      return "the target gave logits that are not finite";
    case Failure::kDrafterNotFinite:
      return "the drafter gave logits that are not finite";
    default:
      return "a model gave no token a finite logit";
  }
}

}  // namespace

void set_failure(Event& event, const Request& request, Failure failure) {
  const std::string options =
      failure == Failure::kNoTokenLeft ? suppressing_options(request) : std::string();
  event.end = Event::End::kFailed;
  event.error = options.empty() ? ErrorCode::kNumeric : ErrorCode::kInput;
  event.message =
      options.empty() ? failure_message(failure) : options + ": every token is suppressed";
}

Event end_event(uint64_t request, int sample, Event::End end, const DecodeStats& stats) {
  Event event;
  event.request = request;
  event.sample = sample;
  event.end = end;
  event.stats = stats;
  return event;
}

}  // namespace speccascade
