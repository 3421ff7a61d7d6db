#include "harness/core/format_value.h"

#include <algorithm>
#include <regex>

namespace harness {
namespace {

/// The visited form of a QuantSpec.
struct SpecConfig {
  QuantSpec spec;
  template <class Visitor>
  void visit(Visitor&& v) {
    v("bits", spec.bits, Field{.doc = "2 to 8, or 16: untouched", .min = 2, .max = 16});
    v("group", spec.group, Field{.doc = "values a scale covers; 0: the whole row", .min = 0});
    v("symmetric", spec.symmetric, Field{.doc = "no zero point"});
    v("clip", spec.clip, Field{.doc = "factor on the extremes", .min = 1e-3, .max = 1});
  }
};

void check_bits(const Value& value, const std::string& site, int bits, Problems& problems) {
  if (bits == 16 || (bits >= 2 && bits <= 8)) return;
  problems.add(Error(value.where(), fmt::format("{} has {} bits", site, bits),
                     "2 to 8, or 16 for untouched"));
}

/// Reads one site's value over `spec`, which holds what is not given.
void read_spec(const Value& value, const std::string& site, Problems& problems, QuantSpec& spec) {
  if (value.is_int()) {
    spec.bits = static_cast<int>(std::clamp<std::int64_t>(value.as_int(), -1, 1000));
  } else {
    SpecConfig config{spec};
    read_config(value, "format site " + site, problems, config);
    spec = config.spec;
  }
  check_bits(value, site, spec.bits, problems);
}

constexpr Site kSites[] = {Site::w, Site::a, Site::a_o, Site::a_down, Site::k, Site::v};

Format read_short(const Value& value, Problems& problems) {
  static const std::regex pattern("w([0-9]+)a([0-9]+)(?:kv([0-9]+))?(?:g([0-9]+))?(-released)?");
  Format format;
  const std::string& text = value.as_string();
  if (text == "none") return format;
  std::smatch found;
  if (!std::regex_match(text, found, pattern) || text.size() > 40) {
    problems.add(Error(value.where(), fmt::format("format is \"{}\"", text),
                       "\"none\", \"w4a16\", \"w4a16g128\" or \"w4a4kv4\" (or a table of sites)"));
    return format;
  }
  auto number = [&](int i) {
    return found[i].matched ? std::stoll(found[i].str().substr(0, 9)) : 16;
  };
  format.w.bits = static_cast<int>(number(1));
  format.a.bits = format.a_o.bits = format.a_down.bits = static_cast<int>(number(2));
  format.k.bits = format.v.bits = static_cast<int>(number(3));
  if (found[4].matched) format.w.group = number(4);
  if (found[5].matched) {
    format.a_o.group = 128;
    format.k.bits = 16;
  }
  for (Site site : kSites) check_bits(value, site_name(site), format.spec(site).bits, problems);
  return format;
}

Value write_spec(const QuantSpec& spec) {
  SpecConfig config{spec};
  return to_value(config);
}

FormatOverride read_override(const Value& value, Format format, Problems& problems) {
  FormatOverride result;
  if (!value.is_table()) {
    problems.add(Error(value.where(), "an override is " + value.describe(), "a table"));
    return result;
  }
  const Value* match = value.find("match");
  if (!match || !match->is_string())
    problems.add(Error(value.where(), "an override has no match",
                       "match = \"layers 0-1\" or a name pattern such as \"*.down_proj\""));
  else
    result.match = match->as_string();
  std::vector<std::string> names = {"match"};
  for (Site site : kSites) {
    names.emplace_back(site_name(site));
    const Value* given = value.find(site_name(site));
    bool follows_a = site == Site::a_o || site == Site::a_down;
    if (!given && follows_a) given = value.find("a");
    if (!given) continue;
    QuantSpec spec = format.spec(site);
    read_spec(*given, site_name(site), problems, spec);
    result.specs.emplace_back(site, spec);
  }
  for (const auto& [key, inner] : value.as_table())
    if (std::find(names.begin(), names.end(), key) == names.end())
      problems.add(Error(inner.where(), fmt::format("unknown key \"{}\" of an override", key),
                         fmt::format("one of {}", fmt::join(names, ", ")),
                         did_you_mean(key, names)));
  return result;
}

}  // namespace

Format ValueTraits<Format>::read(const Value& value, Problems& problems) {
  if (value.is_string()) return read_short(value, problems);
  if (!value.is_table())
    throw Error(value.where(), "format is " + value.describe(),
                "a text such as \"w4a4kv4\" or a table");
  Format format;
  std::vector<std::string> names = {"overrides"};
  for (Site site : kSites) {
    names.emplace_back(site_name(site));
    if (site == Site::a_o || site == Site::a_down) format.spec(site) = format.a;
    if (const Value* given = value.find(site_name(site)))
      read_spec(*given, site_name(site), problems, format.spec(site));
  }
  for (const auto& [key, inner] : value.as_table())
    if (std::find(names.begin(), names.end(), key) == names.end())
      problems.add(Error(inner.where(), fmt::format("unknown key \"{}\" of format", key),
                         fmt::format("one of {}", fmt::join(names, ", ")),
                         did_you_mean(key, names)));
  if (const Value* overrides = value.find("overrides")) {
    if (!overrides->is_array())
      problems.add(Error(overrides->where(), "overrides is " + overrides->describe(), "a list"));
    else
      for (const Value& element : overrides->as_array())
        format.overrides.push_back(read_override(element, format, problems));
  }
  return format;
}

Value ValueTraits<Format>::write(const Format& format) {
  Value::Table table;
  for (Site site : kSites) table.emplace_back(site_name(site), write_spec(format.spec(site)));
  Value::Array overrides;
  for (const FormatOverride& override_ : format.overrides) {
    Value::Table entry;
    entry.emplace_back("match", override_.match);
    for (const auto& [site, spec] : override_.specs)
      entry.emplace_back(site_name(site), write_spec(spec));
    overrides.emplace_back(std::move(entry));
  }
  table.emplace_back("overrides", std::move(overrides));
  return Value(std::move(table));
}

}  // namespace harness
