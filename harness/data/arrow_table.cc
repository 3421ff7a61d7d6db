#include "harness/data/arrow_table.h"

#include <arrow/api.h>
#include <arrow/config.h>
#include <arrow/io/file.h>
#include <arrow/ipc/reader.h>
#include <fmt/format.h>
#include <parquet/arrow/reader.h>

#include <array>
#include <fstream>
#include <memory>
#include <string_view>

#include "harness/core/error.h"
#include "harness/core/text.h"
#include "harness/data/arrow_result.h"

namespace harness {
namespace fs = std::filesystem;

namespace {

constexpr const char* kExpectedFile = "an Arrow file, an Arrow stream or a Parquet file";
constexpr const char* kFetchAgain = "it may be truncated: fetch or write it again";

enum class Container { arrow_file, arrow_stream, parquet };

Container container_of(const fs::path& path) {
  if (fs::is_directory(path)) throw Error(path.string(), "a folder", kExpectedFile);
  std::ifstream in(path, std::ios::binary);
  if (!in) throw Error(path.string(), "cannot be read", kExpectedFile, "check that it exists");
  std::array<char, 8> bytes{};
  in.read(bytes.data(), bytes.size());
  const std::string_view start(bytes.data(), static_cast<std::size_t>(in.gcount()));
  if (start.starts_with("PAR1")) return Container::parquet;
  if (start.starts_with("ARROW1")) return Container::arrow_file;
  // Each message of a stream follows four bytes of ones (Arrow columnar format, "Encapsulated
  // message").
  if (start.starts_with("\xff\xff\xff\xff")) return Container::arrow_stream;
  throw Error(path.string(), start.empty() ? "an empty file" : "unknown first bytes",
              kExpectedFile);
}

int index_of(const arrow::Schema& schema, const std::string& column, const fs::path& path) {
  const int index = schema.GetFieldIndex(column);
  if (index >= 0) return index;
  const std::vector<std::string> names = schema.field_names();
  throw Error(path.string(), fmt::format("no column \"{}\"", column),
              fmt::format("one of {}", fmt::join(names, ", ")), did_you_mean(column, names));
}

std::shared_ptr<arrow::ChunkedArray> read_parquet(
    const std::shared_ptr<arrow::io::RandomAccessFile>& file, const std::string& column,
    const fs::path& path) {
  const auto reader =
      value_of(parquet::arrow::OpenFile(file, arrow::default_memory_pool()), path, kExpectedFile);
  std::shared_ptr<arrow::Schema> schema;
  std::shared_ptr<arrow::ChunkedArray> chunks;
  arrow::Status status = reader->GetSchema(&schema);
  if (status.ok()) status = reader->ReadColumn(index_of(*schema, column, path), &chunks);
  if (!status.ok()) throw Error(path.string(), status.message(), kExpectedFile, kFetchAgain);
  return chunks;
}

std::shared_ptr<arrow::ChunkedArray> read_arrow_file(
    const std::shared_ptr<arrow::io::RandomAccessFile>& file, const std::string& column,
    const fs::path& path) {
  const auto reader = value_of(arrow::ipc::RecordBatchFileReader::Open(file), path, kExpectedFile);
  const auto schema = reader->schema();
  const int index = index_of(*schema, column, path);
  arrow::ArrayVector chunks;
  for (int i = 0; i < reader->num_record_batches(); ++i)
    chunks.push_back(value_of(reader->ReadRecordBatch(i), path, kExpectedFile)->column(index));
  return std::make_shared<arrow::ChunkedArray>(std::move(chunks), schema->field(index)->type());
}

std::shared_ptr<arrow::ChunkedArray> read_arrow_stream(
    const std::shared_ptr<arrow::io::RandomAccessFile>& file, const std::string& column,
    const fs::path& path) {
  const auto reader =
      value_of(arrow::ipc::RecordBatchStreamReader::Open(file), path, kExpectedFile);
  const auto schema = reader->schema();
  const int index = index_of(*schema, column, path);
  arrow::ArrayVector chunks;
  while (const auto batch = value_of(reader->Next(), path, kExpectedFile))
    chunks.push_back(batch->column(index));
  return std::make_shared<arrow::ChunkedArray>(std::move(chunks), schema->field(index)->type());
}

template <class Array>
void append(const arrow::Array& array, std::vector<std::string>& out) {
  const auto& strings = static_cast<const Array&>(array);
  for (std::int64_t i = 0; i < strings.length(); ++i)
    out.emplace_back(strings.IsNull(i) ? std::string_view() : strings.GetView(i));
}

/// Appends the array's strings; false when its type is not one of strings.
bool append_strings(const arrow::Array& array, std::vector<std::string>& out) {
  switch (array.type_id()) {
    case arrow::Type::STRING:
      append<arrow::StringArray>(array, out);
      return true;
    case arrow::Type::LARGE_STRING:
      append<arrow::LargeStringArray>(array, out);
      return true;
    case arrow::Type::STRING_VIEW:
      append<arrow::StringViewArray>(array, out);
      return true;
    case arrow::Type::DICTIONARY: {
      const auto& coded = static_cast<const arrow::DictionaryArray&>(array);
      std::vector<std::string> words;
      if (!append_strings(*coded.dictionary(), words)) return false;
      for (std::int64_t i = 0; i < coded.length(); ++i)
        out.push_back(coded.IsNull(i) ? std::string()
                                      : words.at(static_cast<std::size_t>(coded.GetValueIndex(i))));
      return true;
    }
    default:
      return false;
  }
}

std::shared_ptr<arrow::Table> read_table(const fs::path& path) {
  const Container container = container_of(path);
  const auto file = value_of(arrow::io::ReadableFile::Open(path.string()), path, kExpectedFile);
  if (container == Container::parquet) {
    const auto reader =
        value_of(parquet::arrow::OpenFile(file, arrow::default_memory_pool()), path, kExpectedFile);
    return value_of(reader->ReadTable(), path, kExpectedFile);
  }
  if (container == Container::arrow_file) {
    const auto reader =
        value_of(arrow::ipc::RecordBatchFileReader::Open(file), path, kExpectedFile);
    return value_of(reader->ToTable(), path, kExpectedFile);
  }
  const auto reader =
      value_of(arrow::ipc::RecordBatchStreamReader::Open(file), path, kExpectedFile);
  return value_of(reader->ToTable(), path, kExpectedFile);
}

Value value_at(const arrow::Array& array, std::int64_t i);

template <class Array>
Value number_at(const arrow::Array& array, std::int64_t i) {
  const auto value = static_cast<const Array&>(array).Value(i);
  if constexpr (std::is_floating_point_v<decltype(value)>)
    return Value(static_cast<double>(value));
  else
    return Value(static_cast<std::int64_t>(value));
}

template <class Array>
Value text_at(const arrow::Array& array, std::int64_t i) {
  return Value(std::string(static_cast<const Array&>(array).GetView(i)));
}

template <class Array>
Value list_at(const arrow::Array& array, std::int64_t i) {
  const auto elements = static_cast<const Array&>(array).value_slice(i);
  Value::Array values;
  for (std::int64_t k = 0; k < elements->length(); ++k) values.push_back(value_at(*elements, k));
  return Value(std::move(values));
}

/// One element of an array.
/// @throws Error with the type alone when it is none of ours
Value value_at(const arrow::Array& array, std::int64_t i) {
  if (array.IsNull(i)) return Value();
  switch (array.type_id()) {
    case arrow::Type::BOOL:
      return Value(static_cast<const arrow::BooleanArray&>(array).Value(i));
    case arrow::Type::INT8:
      return number_at<arrow::Int8Array>(array, i);
    case arrow::Type::INT16:
      return number_at<arrow::Int16Array>(array, i);
    case arrow::Type::INT32:
      return number_at<arrow::Int32Array>(array, i);
    case arrow::Type::INT64:
      return number_at<arrow::Int64Array>(array, i);
    case arrow::Type::UINT8:
      return number_at<arrow::UInt8Array>(array, i);
    case arrow::Type::UINT16:
      return number_at<arrow::UInt16Array>(array, i);
    case arrow::Type::UINT32:
      return number_at<arrow::UInt32Array>(array, i);
    case arrow::Type::FLOAT:
      return number_at<arrow::FloatArray>(array, i);
    case arrow::Type::DOUBLE:
      return number_at<arrow::DoubleArray>(array, i);
    case arrow::Type::STRING:
      return text_at<arrow::StringArray>(array, i);
    case arrow::Type::LARGE_STRING:
      return text_at<arrow::LargeStringArray>(array, i);
    case arrow::Type::STRING_VIEW:
      return text_at<arrow::StringViewArray>(array, i);
    case arrow::Type::LIST:
      return list_at<arrow::ListArray>(array, i);
    case arrow::Type::LARGE_LIST:
      return list_at<arrow::LargeListArray>(array, i);
    case arrow::Type::DICTIONARY: {
      const auto& coded = static_cast<const arrow::DictionaryArray&>(array);
      return value_at(*coded.dictionary(), coded.GetValueIndex(i));
    }
    case arrow::Type::STRUCT: {
      const auto& fields = static_cast<const arrow::StructArray&>(array);
      Value::Table table;
      for (int k = 0; k < fields.num_fields(); ++k)
        table.emplace_back(array.type()->field(k)->name(), value_at(*fields.field(k), i));
      return Value(std::move(table));
    }
    default:
      throw Error(array.type()->ToString());
  }
}

}  // namespace

std::string arrow_version() { return arrow::GetBuildInfo().version_string; }

std::vector<std::string> read_string_column(const fs::path& path, const std::string& column) {
  const Container container = container_of(path);
  const auto file = value_of(arrow::io::ReadableFile::Open(path.string()), path, kExpectedFile);
  const auto chunks = container == Container::parquet      ? read_parquet(file, column, path)
                      : container == Container::arrow_file ? read_arrow_file(file, column, path)
                                                           : read_arrow_stream(file, column, path);
  std::vector<std::string> result;
  result.reserve(static_cast<std::size_t>(chunks->length()));
  for (const auto& chunk : chunks->chunks()) {
    const arrow::Status status = chunk->Validate();
    if (!status.ok()) throw Error(path.string(), status.message(), kExpectedFile, kFetchAgain);
    if (!append_strings(*chunk, result))
      throw Error(path.string(),
                  fmt::format("column \"{}\" is of type {}", column, chunks->type()->ToString()),
                  "a column of strings");
  }
  return result;
}

std::vector<Value> read_table_rows(const fs::path& path) {
  const auto table = read_table(path);
  std::vector<Value> rows(static_cast<std::size_t>(table->num_rows()), Value(Value::Table()));
  for (std::size_t i = 0; i < rows.size(); ++i)
    rows[i].set_where(fmt::format("{}, row {}", path.string(), i + 1));
  for (int column = 0; column < table->num_columns(); ++column) {
    const std::string& name = table->field(column)->name();
    std::size_t row = 0;
    for (const auto& chunk : table->column(column)->chunks()) {
      const arrow::Status status = chunk->Validate();
      if (!status.ok()) throw Error(path.string(), status.message(), kExpectedFile, kFetchAgain);
      try {
        for (std::int64_t i = 0; i < chunk->length(); ++i)
          rows[row++].as_table().emplace_back(name, value_at(*chunk, i));
      } catch (const Error& type) {
        throw Error(path.string(), fmt::format("column \"{}\" holds {}", name, type.what()),
                    "strings, numbers, booleans, lists and structs");
      }
    }
  }
  return rows;
}

}  // namespace harness
