#pragma once

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include "harness/core/error.h"
#include "harness/core/text.h"
#include "harness/core/value.h"

// One visit() lists a config's fields; parsing, defaults, `harness describe`, the canonical text
// and so the hash all come from it. The idea is gemma.cpp's (util/args.h).
//
//   struct RtnConfig {
//     bool mse_clip = false;
//     template <class V> void visit(V& v) { v("mse_clip", mse_clip, {.doc = "search the clip
//     ratio"}); }
//   };

namespace harness {

/// What `harness describe` says of a field, and which values it takes.
struct Field {
  std::string doc;
  std::vector<std::string> choices = {};  // of a string; empty: any
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  bool required = false;
};

/// Types with a syntax of their own (Format, ModelRef) specialise this.
///   static T read(const Value&, Problems&);   static Value write(const T&);
///   static std::string type_name();
template <class T>
struct ValueTraits;

template <class T>
concept Visitable = requires(T& t) {
  t.visit([](const char*, auto&, const Field&) {});
};
template <class T>
concept HasValueTraits = requires {
  ValueTraits<T>::type_name();
};
template <class T>
struct is_optional : std::false_type {};
template <class T>
struct is_optional<std::optional<T>> : std::true_type {};
template <class T>
struct is_vector : std::false_type {};
template <class T>
struct is_vector<std::vector<T>> : std::true_type {};

template <class T>
Value to_value(const T& value);
template <class T>
void read_value(const Value& value, const std::string& name, const Field& field, Problems& problems,
                T& out);

template <class T>
std::string type_name() {
  if constexpr (std::is_same_v<T, bool>)
    return "true or false";
  else if constexpr (std::is_same_v<T, Value>)
    return "any";
  else if constexpr (std::is_integral_v<T>)
    return "integer";
  else if constexpr (std::is_floating_point_v<T>)
    return "number";
  else if constexpr (std::is_same_v<T, std::string>)
    return "string";
  else if constexpr (is_optional<T>::value)
    return type_name<typename T::value_type>();
  else if constexpr (is_vector<T>::value)
    return "list of " + type_name<typename T::value_type>();
  else if constexpr (HasValueTraits<T>)
    return ValueTraits<T>::type_name();
  else
    return "table";
}

/// Reads `table` into `config`. Every problem (unknown key with the nearest valid one, wrong type,
/// value out of range, missing required key) is added to `problems`; fields not given keep their
/// defaults.
/// @param ignored keys that the caller reads itself, such as a plugin's `name`
template <class Config>
void read_config(const Value& table, const std::string& what, Problems& problems, Config& config,
                 const std::set<std::string>& ignored = {}) {
  if (!table.is_table()) {
    problems.add(Error(table.where(), what + " is " + table.describe(), "a table"));
    return;
  }
  std::vector<std::string> names;
  config.visit([&](const char* name, auto& field, const Field& about) {
    names.emplace_back(name);
    const Value* found = table.find(name);
    if (found)
      read_value(*found, name, about, problems, field);
    else if (about.required)
      problems.add(
          Error(table.where(), fmt::format("{} has no key \"{}\"", what, name), about.doc));
  });
  for (const auto& [key, value] : table.as_table()) {
    if (ignored.count(key)) continue;
    bool known = false;
    for (const std::string& name : names) known = known || name == key;
    if (known) continue;
    std::vector<std::string> candidates = names;
    candidates.insert(candidates.end(), ignored.begin(), ignored.end());
    problems.add(Error(value.where(), fmt::format("unknown key \"{}\" of {}", key, what),
                       fmt::format("one of {}", fmt::join(candidates, ", ")),
                       did_you_mean(key, candidates)));
  }
}

template <class T>
void read_value(const Value& value, const std::string& name, const Field& field, Problems& problems,
                T& out) {
  auto mismatch = [&] {
    problems.add(
        Error(value.where(), fmt::format("{} is {}", name, value.describe()), type_name<T>()));
  };
  auto check_range = [&](double number) {
    if (number < field.min || number > field.max || std::isnan(number)) {
      std::string range = std::isinf(field.max) ? fmt::format("at least {}", shortest(field.min))
                          : std::isinf(field.min)
                              ? fmt::format("at most {}", shortest(field.max))
                              : fmt::format("{} to {}", shortest(field.min), shortest(field.max));
      problems.add(Error(value.where(), fmt::format("{} is {}", name, shortest(number)), range));
      return false;
    }
    return true;
  };
  if constexpr (std::is_same_v<T, Value>) {
    out = value;
  } else if constexpr (std::is_same_v<T, bool>) {
    if (!value.is_bool()) return mismatch();
    out = value.as_bool();
  } else if constexpr (std::is_integral_v<T>) {
    if (!value.is_int()) return mismatch();
    if (check_range(static_cast<double>(value.as_int()))) out = static_cast<T>(value.as_int());
  } else if constexpr (std::is_floating_point_v<T>) {
    if (!value.is_number()) return mismatch();
    if (check_range(value.as_double())) out = static_cast<T>(value.as_double());
  } else if constexpr (std::is_same_v<T, std::string>) {
    if (!value.is_string()) return mismatch();
    if (!field.choices.empty()) {
      bool known = false;
      for (const std::string& choice : field.choices) known = known || choice == value.as_string();
      if (!known) {
        problems.add(Error(value.where(), fmt::format("{} is \"{}\"", name, value.as_string()),
                           fmt::format("one of {}", fmt::join(field.choices, ", ")),
                           did_you_mean(value.as_string(), field.choices)));
        return;
      }
    }
    out = value.as_string();
  } else if constexpr (is_optional<T>::value) {
    typename T::value_type inner{};
    read_value(value, name, field, problems, inner);
    out = std::move(inner);
  } else if constexpr (is_vector<T>::value) {
    if (!value.is_array()) return mismatch();
    out.clear();
    for (const Value& element : value.as_array()) {
      typename T::value_type inner{};
      read_value(element, name, field, problems, inner);
      out.push_back(std::move(inner));
    }
  } else if constexpr (HasValueTraits<T>) {
    problems.collect([&] { out = ValueTraits<T>::read(value, problems); });
  } else {
    read_config(value, name, problems, out);
  }
}

/// The whole config, defaults included.
template <class T>
Value to_value(const T& value) {
  if constexpr (std::is_same_v<T, Value> || std::is_same_v<T, bool> ||
                std::is_same_v<T, std::string>) {
    return Value(value);
  } else if constexpr (std::is_integral_v<T>) {
    return Value(static_cast<std::int64_t>(value));
  } else if constexpr (std::is_floating_point_v<T>) {
    return Value(static_cast<double>(value));
  } else if constexpr (is_optional<T>::value) {
    return value ? to_value(*value) : Value();
  } else if constexpr (is_vector<T>::value) {
    Value::Array array;
    for (const auto& element : value) array.push_back(to_value(element));
    return Value(std::move(array));
  } else if constexpr (HasValueTraits<T>) {
    return ValueTraits<T>::write(value);
  } else {
    Value::Table table;
    const_cast<T&>(value).visit([&](const char* name, auto& field, const Field&) {
      table.emplace_back(name, to_value(field));
    });
    return Value(std::move(table));
  }
}

/// One line of `harness describe`.
struct FieldDescription {
  std::string name, type, default_text, doc;
};
template <class Config>
std::vector<FieldDescription> describe_config() {
  std::vector<FieldDescription> result;
  Config config{};
  config.visit([&](const char* name, auto& field, const Field& about) {
    using T = std::decay_t<decltype(field)>;
    std::string type =
        about.choices.empty() ? type_name<T>() : fmt::format("{}", fmt::join(about.choices, " | "));
    std::string text = about.required ? "required" : canonical_text(to_value(field));
    result.push_back({name, type, text == "null" ? "" : text, about.doc});
  });
  return result;
}

}  // namespace harness
