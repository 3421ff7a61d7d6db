#include "harness/core/value.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>

#define TOML_EXCEPTIONS 1
#include <toml++/toml.h>

#include "harness/core/error.h"
#include "harness/core/text.h"

namespace harness {
namespace {

std::string at_line(const std::string& file, const toml::source_region& region) {
  return region.begin.line > 0 ? fmt::format("{}:{}", file, region.begin.line) : file;
}

Value convert(const toml::node& node, const std::string& file) {
  Value value;
  if (const toml::table* table = node.as_table()) {
    // toml++ sorts keys; the file's own order is in their positions.
    std::vector<std::pair<const toml::key*, const toml::node*>> entries;
    for (const auto& [key, child] : *table) entries.emplace_back(&key, &child);
    auto position = [](const toml::key* key) {
      return std::pair(key->source().begin.line, key->source().begin.column);
    };
    std::stable_sort(entries.begin(), entries.end(), [&](const auto& a, const auto& b) {
      return position(a.first) < position(b.first);
    });
    Value::Table converted;
    for (const auto& [key, child] : entries)
      converted.emplace_back(std::string(key->str()), convert(*child, file));
    value = Value(std::move(converted));
  } else if (const toml::array* array = node.as_array()) {
    Value::Array converted;
    for (const toml::node& element : *array) converted.push_back(convert(element, file));
    value = Value(std::move(converted));
  } else if (const auto* text = node.as_string()) {
    value = Value(text->get());
  } else if (const auto* integer = node.as_integer()) {
    value = Value(integer->get());
  } else if (const auto* number = node.as_floating_point()) {
    value = Value(number->get());
  } else if (const auto* boolean = node.as_boolean()) {
    value = Value(boolean->get());
  } else {
    throw Error(at_line(file, node.source()), "a date or time",
                "a string, number, boolean, list or table");
  }
  value.set_where(at_line(file, node.source()));
  return value;
}

std::string quote_text(std::string_view text) {
  std::string result = "\"";
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\')
      result += fmt::format("\\{}", c);
    else if (c == '\n')
      result += "\\n";
    else if (c == '\t')
      result += "\\t";
    else if (byte < 0x20 || byte == 0x7f)
      result += fmt::format("\\u{:04x}", byte);
    else
      result += c;
  }
  return result + "\"";
}

std::string toml_key(const std::string& key) {
  bool bare = !key.empty() && std::all_of(key.begin(), key.end(), [](unsigned char c) {
    return std::isalnum(c) || c == '_' || c == '-';
  });
  return bare ? key : quote_text(key);
}

std::string inline_toml(const Value& value) {
  if (value.is_bool()) return value.as_bool() ? "true" : "false";
  if (value.is_int()) return fmt::format("{}", value.as_int());
  if (value.is_double()) {
    std::string text = shortest(value.as_double());
    return text.find_first_of(".enif") == std::string::npos ? text + ".0" : text;
  }
  if (value.is_string()) return quote_text(value.as_string());
  std::vector<std::string> parts;
  if (value.is_array()) {
    for (const Value& element : value.as_array()) parts.push_back(inline_toml(element));
    return fmt::format("[{}]", fmt::join(parts, ", "));
  }
  for (const auto& [key, element] : value.as_table())
    if (!element.is_null())
      parts.push_back(fmt::format("{} = {}", toml_key(key), inline_toml(element)));
  return parts.empty() ? "{}" : fmt::format("{{ {} }}", fmt::join(parts, ", "));
}

bool is_table_array(const Value& value) {
  return value.is_array() && !value.as_array().empty() &&
         std::all_of(value.as_array().begin(), value.as_array().end(),
                     [](const Value& element) { return element.is_table(); });
}

}  // namespace

const Value* Value::find(std::string_view key) const {
  for (const auto& [name, value] : as_table())
    if (name == key) return &value;
  return nullptr;
}

Value* Value::find(std::string_view key) {
  return const_cast<Value*>(std::as_const(*this).find(key));
}

void Value::set(std::string_view key, Value value) {
  if (Value* found = find(key))
    *found = std::move(value);
  else
    as_table().emplace_back(std::string(key), std::move(value));
}

void Value::erase(std::string_view key) {
  std::erase_if(as_table(), [&](const auto& entry) { return entry.first == key; });
}

std::string Value::describe() const {
  if (is_null()) return "nothing";
  if (is_bool()) return as_bool() ? "true" : "false";
  if (is_int()) return fmt::format("the integer {}", as_int());
  if (is_double()) return fmt::format("the number {}", shortest(as_double()));
  if (is_string()) return fmt::format("the string {}", quote_text(as_string()));
  return is_array() ? "a list" : "a table";
}

Value parse_toml(std::string_view text, const std::string& name) {
  try {
    toml::table table = toml::parse(text, name);
    Value value = convert(table, name);
    value.set_where(name);
    return value;
  } catch (const toml::parse_error& error) {
    throw Error(at_line(name, error.source()), std::string(error.description()), "TOML");
  }
}

Value parse_toml_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in || std::filesystem::is_directory(path))
    throw Error(path.string(), "this file cannot be read", "a TOML file",
                "check the path (`harness run --help` shows an example)");
  std::ostringstream text;
  text << in.rdbuf();
  return parse_toml(text.str(), path.string());
}

Value parse_toml_value(std::string_view text, const std::string& where) {
  Value value;
  try {
    value = *parse_toml(fmt::format("v = {}", text), where).find("v");
  } catch (const Error&) {
    value = Value(std::string(text));
  }
  auto set_everywhere = [&](auto& self, Value& at) -> void {
    at.set_where(where);
    if (at.is_array())
      for (Value& element : at.as_array()) self(self, element);
    if (at.is_table())
      for (auto& [key, element] : at.as_table()) self(self, element);
  };
  set_everywhere(set_everywhere, value);
  return value;
}

std::string to_toml(const Value& table) {
  std::string text;
  for (const auto& [key, value] : table.as_table())
    if (!is_table_array(value) && !value.is_null())
      text += fmt::format("{} = {}\n", toml_key(key), inline_toml(value));
  // Only the outermost lists of tables get headers; what is in them is written inline.
  for (const auto& [key, value] : table.as_table()) {
    if (!is_table_array(value)) continue;
    for (const Value& element : value.as_array()) {
      text += fmt::format("\n[[{}]]\n", toml_key(key));
      for (const auto& [inner_key, inner] : element.as_table())
        if (!inner.is_null())
          text += fmt::format("{} = {}\n", toml_key(inner_key), inline_toml(inner));
    }
  }
  return text;
}

std::string canonical_text(const Value& value) {
  if (value.is_null()) return "null";
  if (value.is_double()) return shortest(value.as_double());
  if (value.is_array()) {
    std::vector<std::string> parts;
    for (const Value& element : value.as_array()) parts.push_back(canonical_text(element));
    return fmt::format("[{}]", fmt::join(parts, ","));
  }
  if (value.is_table()) {
    std::vector<std::pair<std::string, std::string>> parts;
    for (const auto& [key, element] : value.as_table())
      parts.emplace_back(key, canonical_text(element));
    std::sort(parts.begin(), parts.end());
    std::string text;
    for (const auto& [key, element] : parts)
      text += fmt::format("{}{}:{}", text.empty() ? "" : ",", quote_text(key), element);
    return "{" + text + "}";
  }
  return inline_toml(value);
}

namespace {

Value finite(Value value) {
  if (value.is_array())
    for (Value& element : value.as_array()) element = finite(std::move(element));
  if (value.is_table())
    for (auto& [key, element] : value.as_table()) element = finite(std::move(element));
  return value.is_double() && !std::isfinite(value.as_double()) ? Value() : value;
}

}  // namespace

std::string json_text(Value value) { return canonical_text(finite(std::move(value))); }

}  // namespace harness
