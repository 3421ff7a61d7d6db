#include "harness/model/safetensors_writer.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <system_error>

#include "harness/core/error.h"

namespace harness {
namespace {

namespace fs = std::filesystem;

const char* dtype_name(at::ScalarType type) {
  switch (type) {
    case at::kFloat:
      return "F32";
    case at::kHalf:
      return "F16";
    case at::kBFloat16:
      return "BF16";
    case at::kDouble:
      return "F64";
    case at::kLong:
      return "I64";
    case at::kInt:
      return "I32";
    case at::kShort:
      return "I16";
    case at::kChar:
      return "I8";
    case at::kByte:
      return "U8";
    case at::kBool:
      return "BOOL";
    case at::kFloat8_e4m3fn:
      return "F8_E4M3";
    default:
      assert(false && "a dtype that nothing here writes");
      return "";
  }
}

/// Writes a file beside `path` by `body` and renames it. Its name there is this process's own:
/// another may be writing the same.
void write_renamed(const fs::path& path, const std::function<void(std::ofstream&)>& body) {
  const fs::path partial = fmt::format("{}.{}.partial", path.string(), getpid());
  errno = 0;
  std::ofstream out(partial, std::ios::binary | std::ios::trunc);
  if (out) body(out);
  out.close();
  const int code = errno;
  std::error_code renamed;
  if (out) fs::rename(partial, path, renamed);
  if (out && !renamed) return;
  std::error_code ignored;
  fs::remove(partial, ignored);
  throw Error(path.string(),
              fmt::format("cannot be written ({})",
                          renamed ? renamed.message() : std::generic_category().message(code)),
              "a place that can be written to, with room", "choose another folder or free space");
}

}  // namespace

void write_safetensors(const fs::path& path, const std::map<std::string, at::Tensor>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  // Largest elements first, so that every tensor is aligned to its element.
  std::vector<std::pair<std::string, at::Tensor>> order(tensors.begin(), tensors.end());
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
    return a.second.element_size() > b.second.element_size();
  });
  nlohmann::ordered_json header;
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::size_t offset = 0;
  for (const auto& [name, tensor] : order) {
    header[name] = {{"dtype", dtype_name(tensor.scalar_type())},
                    {"shape", tensor.sizes().vec()},
                    {"data_offsets", {offset, offset + tensor.nbytes()}}};
    offset += tensor.nbytes();
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  write_renamed(path, [&](std::ofstream& out) {
    std::array<char, 8> length;
    const std::uint64_t size = text.size();
    std::memcpy(length.data(), &size, length.size());
    out.write(length.data(), length.size());
    out << text;
    for (const auto& [name, tensor] : order) {
      const at::Tensor flat = tensor.detach().cpu().contiguous();
      out.write(static_cast<const char*>(flat.data_ptr()),
                static_cast<std::streamsize>(flat.nbytes()));
    }
  });
}

void write_text_file(const fs::path& path, const std::string& text) {
  write_renamed(path, [&](std::ofstream& out) { out << text; });
}

}  // namespace harness
