#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "harness/core/config.h"

namespace harness {

/// A model of a pair that the harness trains itself on first use.
struct PairReference {
  std::string pair;  // "world"
  std::string role;  // "aligned" or "base"
  std::uint64_t seed = 0;

  template <class Visitor>
  void visit(Visitor&& v) {
    v("pair", pair, Field{.doc = "name of the pair", .required = true});
    v("role", role,
      Field{.doc = "which of its models", .choices = {"aligned", "base"}, .required = true});
    v("seed", seed, Field{.doc = "of its training", .min = 0});
  }
  /// "pair:world/aligned@0"
  std::string text() const;
};

/// A model as an experiment or a command names it: a folder, a .gguf file or org/name; or a model
/// of a pair, { pair = "world", role = "aligned", seed = 0 } or "pair:world/aligned@0" (seed 0
/// where
/// "@0" is left out).
struct ModelReference {
  ModelReference() = default;
  /// @throws Error on a malformed "pair:..."
  explicit ModelReference(const std::string& text);
  explicit ModelReference(PairReference reference);

  std::string text;
  std::optional<PairReference> pair;
};

template <>
struct ValueTraits<ModelReference> {
  static ModelReference read(const Value& value, Problems& problems);
  static Value write(const ModelReference& reference) { return Value(reference.text); }
  static std::string type_name() { return "a path, org/name or { pair, role, seed }"; }
};

}  // namespace harness
