#pragma once

#include <string>
#include <string_view>

namespace harness {

/// Text as HTML and XML show it, also inside attributes.
std::string escaped_html(std::string_view text);

/// The id that a page gives a run, by the run's key.
std::string run_anchor(const std::string& run_key);

/// Text as LaTeX sets it.
std::string escaped_latex(std::string_view text);

}  // namespace harness
