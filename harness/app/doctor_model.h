#pragma once

#include <optional>
#include <string>

#include "harness/model/chat.h"

namespace harness {

/// Prints what a model is, what runs of it take, and whether everything needed is there.
/// @param reference as the person named it; place: what open_checkpoint takes
/// @return whether nothing is missing
bool report_model(const std::string& reference, const std::string& place,
                  const std::optional<ChatTemplate>& chat_template);

}  // namespace harness
