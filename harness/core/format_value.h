#pragma once

#include "harness/core/config.h"
#include "harness/core/format.h"

namespace harness {

/// How a format stands in an experiment file:
///   "none"                    nothing is quantized
///   "w4a4kv4", "w4a16g64"     W{w}A{a}KV{kv}, kv 16 when not given, g the weights' group (none:
///   per row) "w4a4kv4-released"        as the AAQ release runs it: the input of o in groups of
///   128, K untouched { w = 4, a = { bits = 4, group = 128 }, a_o = ..., a_down = ..., k = ..., v =
///   ..., overrides = [
///     { match = "layers 0-1", w = 8 } ] }
/// A site is an integer (its bits) or a table { bits, group, symmetric, clip }. a_o and a_down
/// follow a where they are not given.
template <>
struct ValueTraits<Format> {
  static Format read(const Value& value, Problems& problems);
  static Value write(const Format& format);
  static std::string type_name() { return "format (\"w4a4kv4\", \"none\" or a table of sites)"; }
};

}  // namespace harness
