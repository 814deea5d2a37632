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

// Whether the request itself takes tokens away; if not, a row without any is the model's own.
bool suppresses(const Request& request) {
  return !request.suppress_tokens.empty() || request.min_new_tokens > 0;
}

std::string failure_message(Failure failure, bool asked_for, uint64_t request) {
  const std::string which = " (request " + std::to_string(request) + ")";
  if (asked_for) return "every token is suppressed" + which;
  switch (failure) {
    case Failure::kTargetNotFinite:
      return "the target gave logits that are not finite" + which;
    case Failure::kDrafterNotFinite:
      return "the drafter gave logits that are not finite" + which;
    default:
      return "a model gave no token a finite logit" + which;
  }
}

}  // namespace

void set_failure(Event& event, const Request& request, Failure failure) {
  const bool asked_for = failure == Failure::kNoTokenLeft && suppresses(request);
  event.end = Event::End::kFailed;
  event.error = asked_for ? ErrorCode::kInput : ErrorCode::kNumeric;
  event.message = failure_message(failure, asked_for, event.request);
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
