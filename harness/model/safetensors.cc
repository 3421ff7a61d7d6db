#include "harness/model/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "harness/core/error.h"
#include "harness/model/json.h"
#include "harness/model/mapped_tensor.h"

namespace harness {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr const char* kFetchAgain =
    "the file is damaged or was not copied completely: fetch it again";
constexpr std::uint64_t kLargestHeader = 100'000'000;  // the limit of the safetensors library

struct Dtype {
  const char* name;
  at::ScalarType type;
};
constexpr std::array<Dtype, 14> kDtypes = {{
    {"F32", at::kFloat},
    {"F16", at::kHalf},
    {"BF16", at::kBFloat16},
    {"F64", at::kDouble},
    {"I64", at::kLong},
    {"I32", at::kInt},
    {"I16", at::kShort},
    {"I8", at::kChar},
    {"U8", at::kByte},
    {"U16", at::kUInt16},
    {"U32", at::kUInt32},
    {"BOOL", at::kBool},
    {"F8_E4M3", at::kFloat8_e4m3fn},
    {"F8_E5M2", at::kFloat8_e5m2},
}};

/// Reads what the header says of one tensor; whatever is malformed is an Error.
class EntryReader {
 public:
  EntryReader(std::string where, std::string name, const json& value)
      : where_(std::move(where)), name_(std::move(name)), value_(value) {
    if (!value.is_object()) fail("is not described by an object", "dtype, shape and data_offsets");
  }

  /// @param data_start   first byte after the header
  /// @param data_bytes   bytes from there to the end of the file
  SafetensorsEntry read(std::uint64_t data_start, std::uint64_t data_bytes) const {
    SafetensorsEntry entry;
    entry.dtype = dtype();
    std::uint64_t bytes = c10::elementSize(entry.dtype);
    for (std::uint64_t size : numbers("shape")) {
      if (size > std::uint64_t{1} << 62 || __builtin_mul_overflow(bytes, size, &bytes))
        fail(fmt::format("has a dimension of {}", size), "a size that fits in memory");
      entry.shape.push_back(static_cast<std::int64_t>(size));
    }
    std::vector<std::uint64_t> offsets = numbers("data_offsets");
    if (offsets.size() != 2 || offsets[0] > offsets[1])
      fail(fmt::format("has data_offsets [{}]", fmt::join(offsets, ", ")), "[begin, end]");
    if (offsets[1] > data_bytes)
      fail(fmt::format(
               "ends at byte {} of the data, but the file holds {} bytes of data (truncated)",
               offsets[1], data_bytes),
           "tensors inside the file");
    entry.bytes = offsets[1] - offsets[0];
    if (entry.bytes != bytes)
      fail(fmt::format("has {} bytes", entry.bytes),
           fmt::format("{} for {} [{}]", bytes, c10::toString(entry.dtype),
                       fmt::join(entry.shape, ", ")));
    entry.offset = data_start + offsets[0];
    return entry;
  }

 private:
  [[noreturn]] void fail(const std::string& found, const std::string& expected) const {
    throw Error(where_, fmt::format("tensor {} {}", name_, found), expected, kFetchAgain);
  }

  at::ScalarType dtype() const {
    auto found = value_.find("dtype");
    if (found == value_.end() || !found->is_string()) fail("has no dtype", "a dtype such as BF16");
    const auto& text = found->get_ref<const std::string&>();
    std::vector<std::string> names;
    for (const Dtype& dtype : kDtypes) {
      if (dtype.name == text) return dtype.type;
      names.push_back(dtype.name);
    }
    throw Error(where_, fmt::format("tensor {} has the unknown dtype {}", name_, text),
                fmt::format("one of {}", fmt::join(names, ", ")),
                "convert the checkpoint to one of them");
  }

  std::vector<std::uint64_t> numbers(const char* key) const {
    auto found = value_.find(key);
    if (found == value_.end() || !found->is_array())
      fail(fmt::format("has no list {}", key), "a list of integers");
    std::vector<std::uint64_t> result;
    for (const json& item : *found) {
      if (!item.is_number_unsigned())
        fail(fmt::format("has something else than a natural number in {}", key), "natural numbers");
      result.push_back(item.get<std::uint64_t>());
    }
    return result;
  }

  std::string where_;
  std::string name_;
  const json& value_;
};

/// The tensors must cover the data exactly, in whatever order the header lists them.
void check_cover(const std::map<std::string, SafetensorsEntry>& entries, const std::string& where,
                 std::uint64_t data_start, std::uint64_t file_bytes) {
  std::vector<std::pair<std::string, SafetensorsEntry>> sorted(entries.begin(), entries.end());
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
    return std::pair(a.second.offset, a.second.bytes) < std::pair(b.second.offset, b.second.bytes);
  });
  std::uint64_t end = data_start;
  std::string before = "the header";
  for (const auto& [name, entry] : sorted) {
    if (entry.offset < end)
      throw Error(where, fmt::format("tensors {} and {} overlap", before, name),
                  "tensors apart from each other", kFetchAgain);
    if (entry.offset > end)
      throw Error(where,
                  fmt::format("{} bytes between {} and tensor {} belong to no tensor",
                              entry.offset - end, before, name),
                  "tensors that follow each other", kFetchAgain);
    end = entry.offset + entry.bytes;
    before = name;
  }
  if (end != file_bytes)
    throw Error(where, fmt::format("{} bytes at the end belong to no tensor", file_bytes - end),
                fmt::format("a file of {} bytes", end), kFetchAgain);
}

}  // namespace

SafetensorsFile::SafetensorsFile(const fs::path& path) : file_(std::make_shared<MappedFile>(path)) {
  std::string where = path.string();
  std::uint64_t header_bytes = 0;
  if (file_->size() < sizeof header_bytes)
    throw Error(where, fmt::format("has {} bytes (truncated)", file_->size()),
                "a safetensors file, of at least 8", kFetchAgain);
  std::memcpy(&header_bytes, file_->data(), sizeof header_bytes);
  if (header_bytes > file_->size() - sizeof header_bytes || header_bytes > kLargestHeader)
    throw Error(
        where,
        fmt::format("claims a header of {} bytes, but has {} bytes", header_bytes, file_->size()),
        fmt::format("a header inside the file, of at most {} bytes", kLargestHeader),
        "check that it is a safetensors file and was copied completely");
  std::string_view text(reinterpret_cast<const char*>(file_->data()) + sizeof header_bytes,
                        header_bytes);
  std::uint64_t data_start = sizeof header_bytes + header_bytes;
  json header = parse_json(text, where + " (header)");
  if (!header.is_object())
    throw Error(where, "the header is no JSON object", "names of tensors with dtype and shape",
                kFetchAgain);
  for (const auto& [name, value] : header.items()) {
    if (name != "__metadata__") {
      entries_.emplace(
          name, EntryReader(where, name, value).read(data_start, file_->size() - data_start));
      continue;
    }
    if (!value.is_object())
      throw Error(where, "__metadata__ is no JSON object", "strings by name", kFetchAgain);
    for (const auto& [key, item] : value.items()) {
      if (!item.is_string())
        throw Error(where, fmt::format("__metadata__.{} is no string", key), "a string");
      metadata_.emplace(key, item.get<std::string>());
    }
  }
  check_cover(entries_, where, data_start, file_->size());
}

at::Tensor SafetensorsFile::load(const std::string& name) const {
  auto found = entries_.find(name);
  if (found == entries_.end())
    throw Error(file_->path().string(), fmt::format("has no tensor {}", name));
  const SafetensorsEntry& entry = found->second;
  return mapped_tensor(file_, entry.offset, entry.shape, entry.dtype);
}

}  // namespace harness
