#include "harness/core/format.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

#include "harness/core/text.h"

namespace harness {
namespace {

constexpr Site kSites[] = {Site::w, Site::a, Site::a_o, Site::a_down, Site::k, Site::v};

const QuantSpec& spec_of(const Format& format, Site site) {
  switch (site) {
    case Site::w:
      return format.w;
    case Site::a:
      return format.a;
    case Site::a_o:
      return format.a_o;
    case Site::a_down:
      return format.a_down;
    case Site::k:
      return format.k;
    case Site::v:
      return format.v;
  }
  return format.w;
}

struct LayerRange {
  int first, last;
};

/// "layers 0-1" or "layers 3".
std::optional<LayerRange> layer_range(std::string_view pattern) {
  constexpr std::string_view kPrefix = "layers ";
  if (!pattern.starts_with(kPrefix)) return std::nullopt;
  const char* at = pattern.data() + kPrefix.size();
  const char* end = pattern.data() + pattern.size();
  LayerRange range{};
  auto first = std::from_chars(at, end, range.first);
  if (first.ec != std::errc()) return std::nullopt;
  range.last = range.first;
  if (first.ptr != end) {
    if (*first.ptr != '-') return std::nullopt;
    auto last = std::from_chars(first.ptr + 1, end, range.last);
    if (last.ec != std::errc() || last.ptr != end) return std::nullopt;
  }
  return range;
}

/// Whether two specs quantize alike: untouched is untouched, whatever the rest says.
bool alike(const QuantSpec& a, const QuantSpec& b) {
  return a == b || (!a.active() && !b.active());
}

/// "4", "4g128", "4g128 asymmetric clip 0.9".
std::string spec_label(Site site, const QuantSpec& spec) {
  if (!spec.active()) return "16";
  std::string text = std::to_string(spec.bits);
  if (spec.group > 0) text += fmt::format("g{}", spec.group);
  if (spec.symmetric && site != Site::w) text += " symmetric";
  if (!spec.symmetric && site == Site::w) text += " asymmetric";
  if (spec.clip != 1.0) text += " clip " + shortest(spec.clip);
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
  return "";
}

bool FormatOverride::matches(int layer, const std::string& name) const {
  if (std::optional<LayerRange> range = layer_range(match))
    return layer >= range->first && layer <= range->last;
  return glob_match(match, name);
}

QuantSpec Format::at(Site site, int layer, const std::string& name) const {
  QuantSpec spec = spec_of(*this, site);
  for (const FormatOverride& override_ : overrides) {
    if (!override_.matches(layer, name)) continue;
    for (const auto& [overridden, other] : override_.specs)
      if (overridden == site) spec = other;
  }
  return spec;
}

bool Format::quantizes(Site site) const {
  if (spec_of(*this, site).active()) return true;
  for (const FormatOverride& override_ : overrides)
    for (const auto& [overridden, spec] : override_.specs)
      if (overridden == site && spec.active()) return true;
  return false;
}

bool Format::quantizes_weights() const { return quantizes(Site::w); }

bool Format::quantizes_activations() const {
  return std::any_of(std::begin(kSites), std::end(kSites),
                     [&](Site site) { return site != Site::w && quantizes(site); });
}

std::string Format::label() const {
  if (!quantizes_weights() && !quantizes_activations()) return "none";

  // What the short form says; sites that differ from it are written out behind it.
  Format plain;
  plain.w.bits = w.bits;
  plain.w.group = w.active() ? w.group : 0;
  plain.a.bits = plain.a_o.bits = plain.a_down.bits = a.bits;
  plain.k.bits = plain.v.bits = v.bits;
  std::string text = fmt::format("w{}a{}", w.bits, a.bits);
  if (v.active()) text += fmt::format("kv{}", v.bits);
  if (plain.w.group > 0) text += fmt::format("g{}", plain.w.group);

  // The arrangement of AAQ's released code has a name of its own.
  Format released = plain;
  released.a_o.group = 128;
  released.k.bits = 16;
  auto same_as = [&](const Format& other) {
    return std::all_of(std::begin(kSites), std::end(kSites), [&](Site site) {
      return alike(spec_of(*this, site), spec_of(other, site));
    });
  };
  if (!same_as(plain) && same_as(released)) {
    text += "-released";
    plain = released;
  }
  for (Site site : kSites)
    if (!alike(spec_of(*this, site), spec_of(plain, site)))
      text += fmt::format(", {} {}", site_name(site), spec_label(site, spec_of(*this, site)));
  for (const FormatOverride& override_ : overrides) {
    text += fmt::format(", {}:", override_.match);
    for (const auto& [site, spec] : override_.specs)
      text += fmt::format(" {} {}", site_name(site), spec_label(site, spec));
  }
  return text;
}

}  // namespace harness
