#include "harness/core/format.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "harness/core/text.h"

namespace harness {
namespace {

/// What a spec says beyond its bits, as far as it differs from the site's usual one.
std::string spec_remarks(const QuantSpec& spec, const QuantSpec& usual) {
  std::string text;
  if (spec.group != usual.group) text += fmt::format("g{}", spec.group);
  if (spec.symmetric != usual.symmetric) text += spec.symmetric ? " sym" : " asym";
  if (spec.clip != usual.clip) text += " clip " + shortest(spec.clip);
  return text;
}

}  // namespace

const char* site_name(Site site) {
  switch (site) {
    case Site::w:
      return "w";
    case Site::a:
      return "a";
    case Site::a_o:
      return "a_o";
    case Site::a_down:
      return "a_down";
    case Site::k:
      return "k";
    case Site::v:
      return "v";
  }
  return "?";
}

bool FormatOverride::matches(int layer, const std::string& name) const {
  int first = 0, last = 0, read = 0;
  if (std::sscanf(match.c_str(), "layers %d-%d%n", &first, &last, &read) == 2 &&
      read == static_cast<int>(match.size()))
    return layer >= first && layer <= last;
  if (std::sscanf(match.c_str(), "layers %d%n", &first, &read) == 1 &&
      read == static_cast<int>(match.size()))
    return layer == first;
  return glob_match(match, name);
}

QuantSpec& Format::spec(Site site) {
  switch (site) {
    case Site::w:
      return w;
    case Site::a:
      return a;
    case Site::a_o:
      return a_o;
    case Site::a_down:
      return a_down;
    case Site::k:
      return k;
    case Site::v:
      break;
  }
  return v;
}

QuantSpec Format::at(Site site, int layer, const std::string& name) const {
  QuantSpec result = spec(site);
  for (const FormatOverride& override_ : overrides) {
    if (!override_.matches(layer, name)) continue;
    for (const auto& [overridden, its_spec] : override_.specs)
      if (overridden == site) result = its_spec;
  }
  return result;
}

bool Format::quantizes(Site site) const {
  if (spec(site).active()) return true;
  for (const FormatOverride& override_ : overrides)
    for (const auto& [overridden, its_spec] : override_.specs)
      if (overridden == site && its_spec.active()) return true;
  return false;
}

bool Format::quantizes_weights() const { return quantizes(Site::w); }

bool Format::quantizes_activations() const {
  for (Site site : {Site::a, Site::a_o, Site::a_down, Site::k, Site::v})
    if (quantizes(site)) return true;
  return false;
}

std::string Format::label() const {
  if (!quantizes_weights() && !quantizes_activations()) return "none";
  const Format usual;
  std::string text = fmt::format("w{}a{}", w.bits, a.bits);
  if (k.bits == v.bits && k.active()) text += fmt::format("kv{}", k.bits);
  text += spec_remarks(w, usual.w);
  std::vector<std::string> remarks;
  auto remark = [&](const char* name, const QuantSpec& spec, const QuantSpec& expected) {
    std::string more = spec_remarks(spec, expected);
    if (spec.bits != expected.bits)
      remarks.push_back(fmt::format("{}{}{}", name, spec.bits, more));
    else if (spec.active() && !more.empty())
      remarks.push_back(fmt::format("{} {}", name, more.substr(more.front() == ' ')));
  };
  remark("a", a, {a.bits, 0, false, 1.0});
  remark("a_o", a_o, a);
  remark("a_down", a_down, a);
  int expected_kv = k.bits == v.bits ? k.bits : 16;
  remark("k", k, {expected_kv, usual.k.group, false, 1.0});
  remark("v", v, {expected_kv, usual.v.group, false, 1.0});
  if (!overrides.empty()) remarks.push_back(fmt::format("{} overrides", overrides.size()));
  return remarks.empty() ? text : fmt::format("{} ({})", text, fmt::join(remarks, ", "));
}

}  // namespace harness
