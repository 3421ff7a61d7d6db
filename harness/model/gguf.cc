#include "harness/model/gguf.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <set>

#include "harness/core/error.h"

namespace harness {
namespace {

// ggml.h's enum ggml_type with the block sizes of ggml-common.h. Numbers that are not here were
// removed.
constexpr std::array<GgmlType, 33> kTypes = {{
    {0, "F32", 1, 4},         {1, "F16", 1, 2},         {2, "Q4_0", 32, 18},
    {3, "Q4_1", 32, 20},      {6, "Q5_0", 32, 22},      {7, "Q5_1", 32, 24},
    {8, "Q8_0", 32, 34},      {9, "Q8_1", 32, 36},      {10, "Q2_K", 256, 84},
    {11, "Q3_K", 256, 110},   {12, "Q4_K", 256, 144},   {13, "Q5_K", 256, 176},
    {14, "Q6_K", 256, 210},   {15, "Q8_K", 256, 292},   {16, "IQ2_XXS", 256, 66},
    {17, "IQ2_XS", 256, 74},  {18, "IQ3_XXS", 256, 98}, {19, "IQ1_S", 256, 50},
    {20, "IQ4_NL", 32, 18},   {21, "IQ3_S", 256, 110},  {22, "IQ2_S", 256, 82},
    {23, "IQ4_XS", 256, 136}, {24, "I8", 1, 1},         {25, "I16", 1, 2},
    {26, "I32", 1, 4},        {27, "I64", 1, 8},        {28, "F64", 1, 8},
    {29, "IQ1_M", 256, 56},   {30, "BF16", 1, 2},       {34, "TQ1_0", 256, 54},
    {35, "TQ2_0", 256, 66},   {39, "MXFP4", 32, 17},    {40, "NVFP4", 64, 36},
}};

// Numbers of the metadata value types, as the file has them.
enum ValueType : std::uint32_t {
  kUint8 = 0,
  kInt8 = 1,
  kUint16 = 2,
  kInt16 = 3,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12,
};
constexpr std::array<std::uint8_t, 13> kLeastBytes = {1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8};

class HeaderReader {
 public:
  explicit HeaderReader(const MappedFile& file) : file_(file) {}

  std::uint64_t position() const { return position_; }
  std::uint64_t left() const { return file_.size() - position_; }

  [[noreturn]] void fail(const std::string& found, std::string_view expected) const {
    throw Error(file_.path().string(), found, expected,
                "the file is damaged or was not copied completely: fetch it again");
  }

  template <class T>
  T number(std::string_view what) {
    if (left() < sizeof(T)) truncated(what, sizeof(T));
    T value;
    std::memcpy(&value, file_.data() + position_, sizeof(T));
    position_ += sizeof(T);
    return value;
  }

  std::string text(std::string_view what) {
    auto size = number<std::uint64_t>(what);
    if (size > left()) truncated(what, size);
    std::string value(reinterpret_cast<const char*>(file_.data()) + position_, size);
    position_ += size;
    return value;
  }

  /// A number of things of which each takes at least `least` bytes.
  std::uint64_t count(std::string_view what, std::uint64_t least) {
    auto value = number<std::uint64_t>(what);
    check_count(value, what, least);
    return value;
  }
  void check_count(std::uint64_t value, std::string_view what, std::uint64_t least) const {
    if (value > left() / least)
      fail(fmt::format("the header claims {} {}, but {} bytes are left in the file", value, what,
                       left()),
           "a header that fits in the file");
  }

  GgufValue value(const std::string& key) {
    auto type = number<std::uint32_t>(key);
    switch (type) {
      case kBool:
        return number<std::uint8_t>(key) != 0;
      case kString:
        return text(key);
      case kArray:
        return array(key);
      case kFloat32:
      case kFloat64:
        return floating(type, key);
      default:
        return integer(type, key);
    }
  }

 private:
  [[noreturn]] void truncated(std::string_view what, std::uint64_t size) const {
    fail(fmt::format("the file ends in its header: {} at byte {} needs {} bytes, {} are left", what,
                     position_, size, left()),
         "a complete GGUF header");
  }

  std::int64_t integer(std::uint32_t type, const std::string& key) {
    switch (type) {
      case kUint8:
      case kBool:
        return number<std::uint8_t>(key);
      case kInt8:
        return number<std::int8_t>(key);
      case kUint16:
        return number<std::uint16_t>(key);
      case kInt16:
        return number<std::int16_t>(key);
      case kUint32:
        return number<std::uint32_t>(key);
      case kInt32:
        return number<std::int32_t>(key);
      case kInt64:
        return number<std::int64_t>(key);
      case kUint64: {
        auto value = number<std::uint64_t>(key);
        if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
          fail(fmt::format("{} is {}", key, value), "less than 2^63");
        return static_cast<std::int64_t>(value);
      }
      default:
        fail(fmt::format("the value type of {} is {}", key, type), "0 to 12");
    }
  }

  double floating(std::uint32_t type, const std::string& key) {
    return type == kFloat32 ? number<float>(key) : number<double>(key);
  }

  GgufValue array(const std::string& key) {
    auto type = number<std::uint32_t>(key);
    if (type >= kLeastBytes.size() || type == kArray)
      fail(fmt::format("the element type of {} is {}", key,
                       type == kArray ? "array" : std::to_string(type)),
           "numbers, booleans or strings");
    std::uint64_t size = count("elements of " + key, kLeastBytes[type]);
    if (type == kString) {
      std::vector<std::string> values(size);
      for (std::string& value : values) value = text(key);
      return values;
    }
    if (type == kFloat32 || type == kFloat64) {
      std::vector<double> values(size);
      for (double& value : values) value = floating(type, key);
      return values;
    }
    std::vector<std::int64_t> values(size);
    for (std::int64_t& value : values) value = integer(type, key);
    return values;
  }

  const MappedFile& file_;
  std::uint64_t position_ = 0;
};

GgufTensor read_tensor_info(HeaderReader& in) {
  GgufTensor tensor;
  tensor.name = in.text("a tensor's name");
  auto dimensions = in.number<std::uint32_t>("number of dimensions of " + tensor.name);
  if (dimensions < 1 || dimensions > 4)
    in.fail(fmt::format("tensor {} has {} dimensions", tensor.name, dimensions), "1 to 4");
  std::uint64_t elements = 1;
  for (std::uint32_t i = 0; i < dimensions; ++i) {
    auto size = in.number<std::uint64_t>("shape of " + tensor.name);
    if (size == 0 || __builtin_mul_overflow(elements, size, &elements) || elements >> 56)
      in.fail(fmt::format("dimension {} of tensor {} is {}", i, tensor.name, size),
              "sizes whose product fits in memory");
    tensor.shape.insert(tensor.shape.begin(), static_cast<std::int64_t>(size));
  }
  auto type = in.number<std::uint32_t>("type of " + tensor.name);
  tensor.type = ggml_type(type);
  if (!tensor.type)
    in.fail(fmt::format("tensor {} has the unknown GGUF type {}", tensor.name, type),
            "a type of ggml such as F32 (0), F16 (1), Q8_0 (8) or BF16 (30)");
  if (tensor.shape.back() % tensor.type->elements != 0)
    in.fail(fmt::format("tensor {} of type {} has rows of {} values", tensor.name,
                        tensor.type->name, tensor.shape.back()),
            fmt::format("a multiple of {}", tensor.type->elements));
  tensor.bytes = elements / static_cast<std::uint64_t>(tensor.type->elements) *
                 static_cast<std::uint64_t>(tensor.type->bytes);
  tensor.offset = in.number<std::uint64_t>("offset of " + tensor.name);
  return tensor;
}

void check_placement(const GgufFile& gguf, std::uint64_t alignment, const HeaderReader& in) {
  std::vector<const GgufTensor*> sorted;
  std::set<std::string_view> names;
  for (const GgufTensor& tensor : gguf.tensors) {
    if (!names.insert(tensor.name).second)
      in.fail(fmt::format("tensor {} stands twice in the header", tensor.name), "distinct names");
    if ((tensor.offset - gguf.data_start) % alignment != 0)
      in.fail(fmt::format("tensor {} starts at byte {}", tensor.name, tensor.offset),
              fmt::format("a multiple of {} from byte {}", alignment, gguf.data_start));
    if (tensor.offset > gguf.file->size() || tensor.bytes > gguf.file->size() - tensor.offset)
      in.fail(fmt::format(
                  "tensor {} takes {} bytes from byte {}, but the file has {} bytes (truncated)",
                  tensor.name, tensor.bytes, tensor.offset, gguf.file->size()),
              "tensors inside the file");
    sorted.push_back(&tensor);
  }
  std::sort(sorted.begin(), sorted.end(),
            [](const GgufTensor* a, const GgufTensor* b) { return a->offset < b->offset; });
  for (std::size_t i = 1; i < sorted.size(); ++i) {
    const GgufTensor &before = *sorted[i - 1], &after = *sorted[i];
    if (before.offset + before.bytes > after.offset)
      in.fail(fmt::format("tensors {} and {} overlap at byte {}", before.name, after.name,
                          after.offset),
              "tensors apart from each other");
  }
}

}  // namespace

const GgmlType* ggml_type(std::uint32_t id) {
  for (const GgmlType& type : kTypes) {
    if (type.id == id) return &type;
  }
  return nullptr;
}

const GgufTensor* GgufFile::find_tensor(std::string_view name) const {
  for (const GgufTensor& tensor : tensors) {
    if (tensor.name == name) return &tensor;
  }
  return nullptr;
}

const GgufValue* GgufFile::find_value(const std::string& key) const {
  auto found = metadata.find(key);
  return found == metadata.end() ? nullptr : &found->second;
}

void GgufFile::wrong_type(const std::string& key, const GgufValue& found,
                          const GgufValue& wanted) const {
  constexpr std::array<const char*, 7> kNames = {
      "a boolean",          "an integer",       "a float",          "a string",
      "a list of integers", "a list of floats", "a list of strings"};
  throw Error(file->path().string(), fmt::format("{} is {}", key, kNames.at(found.index())),
              kNames.at(wanted.index()));
}

void GgufFile::missing(const std::string& key) const {
  throw Error(file->path().string(), fmt::format("the metadata has no {}", key),
              "a GGUF file with that key", "convert the model again with llama.cpp's script");
}

GgufFile read_gguf(const std::filesystem::path& path) {
  GgufFile gguf;
  gguf.file = std::make_shared<MappedFile>(path);
  HeaderReader in(*gguf.file);

  if (gguf.file->size() < 4 || std::memcmp(gguf.file->data(), "GGUF", 4) != 0)
    throw Error(path.string(), "does not begin with \"GGUF\"", "a GGUF file",
                "check that the file is what its name says");
  in.number<std::uint32_t>("magic");
  auto version = in.number<std::uint32_t>("version");
  if (version != 2 && version != 3)
    throw Error(path.string(),
                version > 0xffff ? std::string("the GGUF file is big-endian")
                                 : fmt::format("GGUF version {}", version),
                "version 2 or 3, little-endian", "convert the model again");
  auto tensor_count = in.number<std::uint64_t>("number of tensors");
  // A key's length, one byte of it, a type and a value; a name's length, dimensions, shape, type,
  // offset.
  std::uint64_t metadata_count = in.count("metadata entries", 8 + 1 + 4 + 1);
  in.check_count(tensor_count, "tensors", 8 + 4 + 8 + 4 + 8);

  for (std::uint64_t i = 0; i < metadata_count; ++i) {
    std::string key = in.text("a metadata key");
    GgufValue value = in.value(key);
    if (!gguf.metadata.emplace(key, std::move(value)).second)
      in.fail(fmt::format("{} stands twice in the metadata", key), "distinct keys");
  }
  for (std::uint64_t i = 0; i < tensor_count; ++i) gguf.tensors.push_back(read_tensor_info(in));

  const auto* stated = gguf.find<std::int64_t>("general.alignment");
  std::int64_t alignment = stated ? *stated : 32;
  if (alignment < 1 || alignment > 1 << 20 || (alignment & (alignment - 1)) != 0)
    in.fail(fmt::format("general.alignment is {}", alignment), "a power of two");
  auto step = static_cast<std::uint64_t>(alignment);
  gguf.data_start = (in.position() + step - 1) / step * step;
  for (GgufTensor& tensor : gguf.tensors) {
    if (__builtin_add_overflow(tensor.offset, gguf.data_start, &tensor.offset))
      in.fail(fmt::format("the offset of tensor {} is beyond every file", tensor.name),
              "tensors inside the file");
  }
  check_placement(gguf, step, in);
  return gguf;
}

}  // namespace harness
