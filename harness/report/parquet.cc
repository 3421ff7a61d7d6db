#include "harness/report/parquet.h"

#include <arrow/api.h>
#include <arrow/io/file.h>
#include <parquet/arrow/writer.h>
#include <parquet/properties.h>

#include "harness/core/error.h"

namespace harness {
namespace {

void check(const arrow::Status& status, const std::filesystem::path& path) {
  if (!status.ok())
    throw Error(path.string(), "cannot be written: " + status.message(), "a place with room",
                "name another file with --out, or free space");
}

template <class T>
T value_of(arrow::Result<T> result, const std::filesystem::path& path) {
  check(result.status(), path);
  return std::move(result).ValueUnsafe();
}

std::shared_ptr<arrow::DataType> arrow_type(ExportColumn::Type type) {
  switch (type) {
    case ExportColumn::Type::integer:
      return arrow::int64();
    case ExportColumn::Type::real:
      return arrow::float64();
    case ExportColumn::Type::text:
      break;
  }
  return arrow::utf8();
}

std::shared_ptr<arrow::Schema> schema_of(const std::vector<ExportColumn>& columns) {
  arrow::FieldVector fields;
  for (const ExportColumn& column : columns)
    fields.push_back(arrow::field(column.name, arrow_type(column.type)));
  return arrow::schema(fields);
}

/// One column of some rows.
/// @param parse makes the builder's value of a cell's text
template <class Builder, class Parse>
std::shared_ptr<arrow::Array> column_of(const ExportRows& rows, std::size_t column, Parse parse,
                                        const std::filesystem::path& path) {
  Builder builder;
  for (const auto& row : rows)
    check(row[column] ? builder.Append(parse(*row[column])) : builder.AppendNull(), path);
  return value_of(builder.Finish(), path);
}

}  // namespace

struct ParquetWriter::State {
  std::filesystem::path path;
  std::vector<ExportColumn> columns;
  std::shared_ptr<arrow::Schema> schema;
  std::shared_ptr<arrow::io::FileOutputStream> file;
  std::unique_ptr<parquet::arrow::FileWriter> writer;
};

ParquetWriter::ParquetWriter(const std::filesystem::path& path, std::vector<ExportColumn> columns)
    : state_(std::make_unique<State>()) {
  state_->path = path;
  state_->columns = std::move(columns);
  state_->schema = schema_of(state_->columns);
  state_->file = value_of(arrow::io::FileOutputStream::Open(path.string()), path);
  const auto properties =
      parquet::WriterProperties::Builder().compression(parquet::Compression::ZSTD)->build();
  state_->writer =
      value_of(parquet::arrow::FileWriter::Open(*state_->schema, arrow::default_memory_pool(),
                                                state_->file, properties),
               path);
}

ParquetWriter::~ParquetWriter() = default;

void ParquetWriter::add(const ExportRows& rows) {
  arrow::ArrayVector arrays;
  for (std::size_t c = 0; c < state_->columns.size(); ++c) {
    const std::filesystem::path& path = state_->path;
    switch (state_->columns[c].type) {
      case ExportColumn::Type::text:
        arrays.push_back(column_of<arrow::StringBuilder>(
            rows, c, [](const std::string& text) -> const std::string& { return text; }, path));
        break;
      case ExportColumn::Type::integer:
        arrays.push_back(column_of<arrow::Int64Builder>(
            rows, c, [](const std::string& text) { return std::stoll(text); }, path));
        break;
      case ExportColumn::Type::real:
        arrays.push_back(column_of<arrow::DoubleBuilder>(
            rows, c, [](const std::string& text) { return std::stod(text); }, path));
        break;
    }
  }
  const auto count = static_cast<std::int64_t>(rows.size());
  check(state_->writer->WriteTable(*arrow::Table::Make(state_->schema, arrays, count), count),
        state_->path);
}

void ParquetWriter::close() {
  check(state_->writer->Close(), state_->path);
  check(state_->file->Close(), state_->path);
}

}  // namespace harness
