// How a sample's end is told.
#pragma once

#include "engine/request.h"

namespace speccascade {

Event::End end_of(Finish finish);

// The event that ends a sample, without tokens.
Event end_event(uint64_t request, int sample, Event::End end, const DecodeStats& stats);

// Makes an event of `request` one of a failure: ERR_NUMERIC, or ERR_INPUT where the request
// itself left no token.
void set_failure(Event& event, const Request& request, Failure failure);

}  // namespace speccascade
