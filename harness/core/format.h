#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace harness {

/// How one site is quantized (methods.md section 2). The scale is per output row (weights), per
/// token (activations) or per head (K and V), or per `group` consecutive values of it.
struct QuantSpec {
  int bits = 16;  // 16: untouched, to the bit
  std::int64_t group =
      0;  // values a scale covers along the input or feature dimension; 0: the whole row
  bool symmetric = false;
  double clip = 1.0;  // the extremes are multiplied by this before the scale is taken

  bool active() const { return bits < 16; }
  bool operator==(const QuantSpec&) const = default;
};

/// The places where a LLaMA block quantizes.
enum class Site {
  w,       // the weights of the block's Linears
  a,       // input of q, k, v (after the input norm) and of up, gate (after the second norm)
  a_o,     // input of o
  a_down,  // input of down
  k,       // K after RoPE
  v,       // V after its projection
};
const char* site_name(Site site);

/// Overrides of a format where a pattern matches: "layers 0-1" (inclusive; also "layers 3") or a
/// glob over the Linear's full name ("model.layers.*.mlp.down_proj", "*.down_proj"). For
/// activations the name is that of the Linears which read the site. The later one wins.
struct FormatOverride {
  std::string match;
  std::vector<std::pair<Site, QuantSpec>> specs;
  bool matches(int layer, const std::string& name) const;
  bool operator==(const FormatOverride&) const = default;
};

/// The numeric format of a run: W{w}A{a}KV{kv} with a spec a site.
struct Format {
  QuantSpec w{16, 0, true, 1.0};
  QuantSpec a{};
  QuantSpec a_o{};
  QuantSpec a_down{};
  QuantSpec k{16, 128, false, 1.0};
  QuantSpec v{16, 128, false, 1.0};
  std::vector<FormatOverride> overrides;

  /// The spec of a site where no override matches.
  QuantSpec& spec(Site site);
  const QuantSpec& spec(Site site) const { return const_cast<Format*>(this)->spec(site); }
  /// The spec of a site in block `layer` for the Linear (or the reader of the activation) `name`,
  /// such as "model.layers.3.mlp.down_proj".
  QuantSpec at(Site site, int layer, const std::string& name) const;
  /// Whether a site is quantized anywhere, overrides included.
  bool quantizes(Site site) const;
  bool quantizes_weights() const;
  bool quantizes_activations() const;
  /// "w4a4kv4", "w4a16g64", "none": short text for tables; sites that the short form cannot say are
  /// written out.
  std::string label() const;
  bool operator==(const Format&) const = default;
};

}  // namespace harness
