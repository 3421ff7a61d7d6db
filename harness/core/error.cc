#include "harness/core/error.h"

#include <fmt/format.h>

#include <algorithm>

namespace harness {
namespace {

std::string compose(std::string_view where, std::string_view found, std::string_view expected,
                    std::string_view remedy) {
  std::string text;
  if (!where.empty()) text += fmt::format("{}: ", where);
  text += found;
  if (!expected.empty()) text += fmt::format("; expected {}", expected);
  if (!remedy.empty()) text += fmt::format("; {}", remedy);
  return text;
}

}  // namespace

Error::Error(std::string_view where, std::string_view found, std::string_view expected,
             std::string_view remedy)
    : std::runtime_error(compose(where, found, expected, remedy)) {}

void Problems::throw_if_any() const {
  std::vector<std::string> distinct;
  for (const std::string& text : texts_) {
    if (std::find(distinct.begin(), distinct.end(), text) == distinct.end())
      distinct.push_back(text);
  }
  if (distinct.empty()) return;
  if (distinct.size() == 1) throw Error(distinct.front());
  throw Error(fmt::format("{} errors:\n  {}", distinct.size(), fmt::join(distinct, "\n  ")));
}

}  // namespace harness
