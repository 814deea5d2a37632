// What a session and its requests may ask for. The engine checks it again behind
// the typed layer, so that no caller can make it index out of bounds.
#pragma once

#include <memory>
#include <vector>

#include "engine/request.h"
#include "model/model.h"

namespace speccascade {

// The limits, if the models fit each other and the sizes can be planned for; else
// throws ERR_INPUT or ERR_VOCAB_MISMATCH naming the value.
SessionLimits checked_limits(const SessionLimits& limits, const Model& target,
                             const std::vector<std::shared_ptr<const Model>>& drafters);

// Throws ERR_INPUT naming the field and its value unless the request is sound.
void check_request(const Request& request, const SessionLimits& limits, int vocabulary);

// Throws ERR_INPUT unless the rule's parameters are in range.
void check_rule(const Rule& rule);

}  // namespace speccascade
