#include "harness/quant/sites.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <set>
#include <string>

namespace harness {
namespace {

constexpr std::int64_t kDefaultHeadGroup = 128;
const std::string kQuantizerName = "quantize ";  // with the format's site behind it

/// An activation that a block quantizes: where it stands in the forward pass, the format's site for
/// it, and the Linear that goes by for its name (the first that reads it; K and V: the one that
/// writes it).
struct Activation {
  ActivationSite place;
  Site site;
  const char* linear;
  const char* description;
};
constexpr Activation kActivations[] = {
    {ActivationSite::attention_in, Site::a, "self_attn.q_proj", "input of q, k, v"},
    {ActivationSite::o_in, Site::a_o, "self_attn.o_proj", "input of o"},
    {ActivationSite::mlp_in, Site::a, "mlp.gate_proj", "input of gate, up"},
    {ActivationSite::down_in, Site::a_down, "mlp.down_proj", "input of down"},
    {ActivationSite::k, Site::k, "self_attn.k_proj", "K"},
    {ActivationSite::v, Site::v, "self_attn.v_proj", "V"},
};

std::string full_name(std::int64_t layer, const std::string& linear) {
  return fmt::format("model.layers.{}.{}", layer, linear);
}

bool is_head_site(Site site) { return site == Site::k || site == Site::v; }

/// K and V: groups of 128 are the default, and mean the whole head where 128 does not divide it.
QuantSpec fitted(QuantSpec spec, Site site, std::int64_t head_dim) {
  if (is_head_site(site) && spec.group == kDefaultHeadGroup && head_dim % kDefaultHeadGroup != 0)
    spec.group = 0;
  return spec;
}

std::int64_t features_of(ActivationSite place, const LlamaConfig& config) {
  switch (place) {
    case ActivationSite::attention_in:
    case ActivationSite::mlp_in:
      return config.hidden_size;
    case ActivationSite::o_in:
      return config.num_attention_heads * config.head_dim;
    case ActivationSite::down_in:
      return config.intermediate_size;
    case ActivationSite::q:
    case ActivationSite::k:
    case ActivationSite::v:
      return config.head_dim;
  }
  return 0;
}

/// A place of a block where a spec of the format applies, over `features` values a row.
struct Place {
  Site site;
  std::string linear;
  std::int64_t features;
};

std::vector<Place> places_of_a_block(const LlamaConfig& config) {
  std::vector<Place> places;
  for (const Activation& activation : kActivations)
    places.push_back({activation.site, activation.linear, features_of(activation.place, config)});
  for (const char* linear :
       {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.gate_proj", "mlp.up_proj"})
    places.push_back({Site::w, linear, config.hidden_size});
  places.push_back({Site::w, "self_attn.o_proj", config.num_attention_heads * config.head_dim});
  places.push_back({Site::w, "mlp.down_proj", config.intermediate_size});
  return places;
}

void check_spec(const Place& place, const QuantSpec& spec, const LlamaConfig& config,
                std::set<std::string>& seen, Problems& problems) {
  if (!spec.active()) return;
  const std::string where = fmt::format("format, site {}", site_name(place.site));
  auto add = [&](const Error& error) {
    if (seen.insert(error.what()).second) problems.add(error);
  };
  if (spec.bits < 2 || spec.bits > 8)
    add(Error(where, fmt::format("{} bits", spec.bits), "2 to 8, or 16 for untouched"));
  if (!(spec.clip > 0 && spec.clip <= 1))
    add(Error(where, fmt::format("clip {}", spec.clip), "more than 0 and at most 1"));
  const std::int64_t group = fitted(spec, place.site, config.head_dim).group;
  if (group < 0 || (group > 0 && place.features % group != 0))
    add(Error(where,
              fmt::format("group {}, but {} {} of this model has {} features", group,
                          is_head_site(place.site) ? "a head of" : "the input of", place.linear,
                          place.features),
              "a group that divides them",
              "choose another group, 0 for the whole row, or override that Linear"));
}

void check_overrides(const Format& format, const LlamaConfig& config,
                     const std::vector<Place>& places, Problems& problems) {
  for (const FormatOverride& override_ : format.overrides) {
    for (const auto& [site, spec] : override_.specs) {
      bool matched = false;
      std::set<std::string> names;
      for (const Place& place : places) {
        if (place.site != site) continue;
        names.insert("*." + place.linear);
        for (std::int64_t layer = 0; layer < config.num_hidden_layers && !matched; ++layer)
          matched = override_.matches(static_cast<int>(layer), full_name(layer, place.linear));
      }
      if (!matched)
        problems.add(Error("format",
                           fmt::format("override \"{}\" matches no {} of this model",
                                       override_.match, site_name(site)),
                           fmt::format("\"layers 0-{}\" or parts of it, or a pattern over {}",
                                       config.num_hidden_layers - 1, fmt::join(names, ", "))));
    }
  }
}

}  // namespace

QuantSpec activation_spec(const Format& format, const LlamaConfig& config, ActivationSite place,
                          std::int64_t layer) {
  for (const Activation& activation : kActivations)
    if (activation.place == place)
      return fitted(
          format.at(activation.site, static_cast<int>(layer), full_name(layer, activation.linear)),
          activation.site, config.head_dim);
  return {};
}

std::string activation_name(ActivationSite place, std::int64_t layer) {
  for (const Activation& activation : kActivations)
    if (activation.place == place)
      return fmt::format("layer {}, {}", layer, activation.description);
  return fmt::format("layer {}, {}", layer, activation_site_name(place));
}

void install_quantizers(LlamaModel& model, const Format& format) {
  for (std::size_t layer = 0; layer < model.layers(); ++layer) {
    for (const Activation& activation : kActivations) {
      const auto number = static_cast<std::int64_t>(layer);
      const QuantSpec spec = activation_spec(format, model.config(), activation.place, number);
      if (!spec.active()) continue;
      const std::string what = activation_name(activation.place, number);
      model.steps(layer, activation.place)
          .push_back({kQuantizerName + site_name(activation.site), QuantizeRows{spec, what}});
    }
  }
}

bool is_quantizer(const SiteStep& step) { return step.name.starts_with(kQuantizerName); }

void check_format(const Format& format, const LlamaConfig& config, Problems& problems) {
  const std::vector<Place> places = places_of_a_block(config);
  std::set<std::string> seen;
  for (std::int64_t layer = 0; layer < config.num_hidden_layers; ++layer)
    for (const Place& place : places)
      check_spec(place,
                 format.at(place.site, static_cast<int>(layer), full_name(layer, place.linear)),
                 config, seen, problems);
  check_overrides(format, config, places, problems);
}

}  // namespace harness
