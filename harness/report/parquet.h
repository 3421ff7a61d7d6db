#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace harness {

/// A column of a file of rows; cells are texts, of numbers in decimal.
struct ExportColumn {
  enum class Type { text, integer, real };
  std::string name;
  Type type = Type::text;
};
using ExportRows = std::vector<std::vector<std::optional<std::string>>>;  // NULL is nullopt

/// Writes rows to a Parquet file (ZSTD): utf8, int64 and double columns, all of which may be null.
/// No Arrow type appears in this header.
class ParquetWriter {
 public:
  /// @throws Error when the file cannot be made, as the others where it cannot be written
  ParquetWriter(const std::filesystem::path& path, std::vector<ExportColumn> columns);
  ~ParquetWriter();
  /// A row group.
  void add(const ExportRows& rows);
  /// Writes the file's end, without which it is none.
  void close();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace harness
