#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <variant>
#include <vector>

namespace harness {

/// A TOML value with the place it stands at, so that any later error can name file and line. Dates
/// are not among them: no key of ours takes one. Null marks "not given" in canonical text only.
class Value {
 public:
  using Array = std::vector<Value>;
  /// Keys keep their order in the file.
  using Table = std::vector<std::pair<std::string, Value>>;

  Value() = default;
  Value(bool value) : data_(value) {}
  Value(int value) : data_(std::int64_t{value}) {}
  Value(std::int64_t value) : data_(value) {}
  Value(double value) : data_(value) {}
  Value(const char* value) : data_(std::string(value)) {}
  Value(std::string value) : data_(std::move(value)) {}
  Value(Array value) : data_(std::move(value)) {}
  Value(Table value) : data_(std::move(value)) {}

  bool is_null() const { return std::holds_alternative<std::monostate>(data_); }
  bool is_bool() const { return std::holds_alternative<bool>(data_); }
  bool is_int() const { return std::holds_alternative<std::int64_t>(data_); }
  bool is_double() const { return std::holds_alternative<double>(data_); }
  bool is_number() const { return is_int() || is_double(); }
  bool is_string() const { return std::holds_alternative<std::string>(data_); }
  bool is_array() const { return std::holds_alternative<Array>(data_); }
  bool is_table() const { return std::holds_alternative<Table>(data_); }

  bool as_bool() const { return std::get<bool>(data_); }
  std::int64_t as_int() const { return std::get<std::int64_t>(data_); }
  double as_double() const {
    return is_int() ? static_cast<double>(as_int()) : std::get<double>(data_);
  }
  const std::string& as_string() const { return std::get<std::string>(data_); }
  const Array& as_array() const { return std::get<Array>(data_); }
  Array& as_array() { return std::get<Array>(data_); }
  const Table& as_table() const { return std::get<Table>(data_); }
  Table& as_table() { return std::get<Table>(data_); }

  /// The value under `key` of a table, or nullptr.
  const Value* find(std::string_view key) const;
  Value* find(std::string_view key);
  /// Sets `key` of a table, replacing what stood there.
  void set(std::string_view key, Value value);
  void erase(std::string_view key);

  /// "a table", "the string \"x\"", "the integer 3": for messages.
  std::string describe() const;

  /// "file.toml:12" or "--set seed=3"; empty when it came from no file.
  const std::string& where() const { return where_; }
  void set_where(std::string where) { where_ = std::move(where); }

  /// Equality of content; the place does not count.
  bool operator==(const Value& other) const { return data_ == other.data_; }

 private:
  std::variant<std::monostate, bool, std::int64_t, double, std::string, Array, Table> data_;
  std::string where_;
};

/// Reads TOML. Throws Error with file and line.
Value parse_toml_file(const std::filesystem::path& path);
Value parse_toml(std::string_view text, const std::string& name);
/// Reads one TOML value, as `--set key=VALUE` has it; what is no TOML value is taken as a string.
Value parse_toml_value(std::string_view text, const std::string& where);

/// Writes a table as a TOML document.
std::string to_toml(const Value& table);
/// One text for one content: keys sorted, floats in shortest round-trip form. This is what is
/// hashed.
std::string canonical_text(const Value& value);
/// The same as JSON, which has no NaN and no infinities: null stands for them.
std::string json_text(Value value);

}  // namespace harness
