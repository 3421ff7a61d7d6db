#include "harness/report/markup.h"

namespace harness {

std::string escaped_html(std::string_view text) {
  std::string result;
  for (char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

std::string run_anchor(const std::string& run_key) {
  constexpr std::size_t kDigits = 12;
  return "run-" + run_key.substr(0, kDigits);
}

std::string escaped_latex(std::string_view text) {
  using Pair = std::pair<std::string_view, const char*>;
  static const Pair special[] = {{"\\", "\\textbackslash{}"},
                                 {"~", "\\textasciitilde{}"},
                                 {"^", "\\textasciicircum{}"},
                                 {"<", "$<$"},
                                 {">", "$>$"},
                                 {"|", "$|$"},
                                 {"&", "\\&"},
                                 {"%", "\\%"},
                                 {"$", "\\$"},
                                 {"#", "\\#"},
                                 {"_", "\\_"},
                                 {"{", "\\{"},
                                 {"}", "\\}"},
                                 {"\n", " "},
                                 {"\r", " "},
                                 {"±", "$\\pm$"},
                                 {"–", "--"},
                                 {"∞", "$\\infty$"},
                                 {"★", "$\\star$"},
                                 {"†", "$\\dagger$"},
                                 {"…", "\\ldots{}"},
                                 {"→", "$\\to$"}};
  std::string result;
  while (!text.empty()) {
    std::size_t taken = 1;
    const char* replacement = nullptr;
    for (const auto& [found, with] : special)
      if (text.starts_with(found)) {
        taken = found.size();
        replacement = with;
        break;
      }
    if (replacement)
      result += replacement;
    else
      result += text.front();
    text.remove_prefix(taken);
  }
  return result;
}

}  // namespace harness
