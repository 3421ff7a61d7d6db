#include "harness/model/npy.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cerrno>
#include <fstream>
#include <system_error>

#include "harness/core/error.h"

namespace harness {
namespace {

/// Magic, version, length and the Python dictionary that NumPy reads (numpy.lib.format).
std::string npy_header(at::IntArrayRef shape) {
  std::string sizes;
  for (std::int64_t size : shape) sizes += fmt::format("{}, ", size);
  if (shape.size() > 1) sizes.resize(sizes.size() - 2);
  if (shape.size() == 1) sizes.resize(sizes.size() - 1);  // a tuple of one keeps its comma
  std::string text =
      fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}), }}", sizes);
  constexpr std::size_t kPrefix = 10, kAlignment = 64;
  std::size_t total = (kPrefix + text.size() + 1 + kAlignment - 1) / kAlignment * kAlignment;
  text.append(total - kPrefix - text.size() - 1, ' ');
  text += '\n';
  std::string header("\x93NUMPY\x01\x00", 8);
  header += static_cast<char>(text.size() & 255);
  header += static_cast<char>(text.size() >> 8);
  return header + text;
}

}  // namespace

void write_npy(const std::filesystem::path& path, const at::Tensor& values) {
  at::Tensor floats = values.detach().to(at::kCPU, at::kFloat).contiguous();
  std::filesystem::path partial = path.string() + ".partial";
  errno = 0;
  std::ofstream out(partial, std::ios::binary);
  out << npy_header(floats.sizes());
  out.write(static_cast<const char*>(floats.data_ptr()),
            static_cast<std::streamsize>(floats.nbytes()));
  out.close();
  std::error_code renamed;
  int code = errno;
  if (out) std::filesystem::rename(partial, path, renamed);
  if (out && !renamed) return;
  std::error_code ignored;
  std::filesystem::remove(partial, ignored);
  std::string reason = renamed ? renamed.message() : std::generic_category().message(code);
  throw Error(path.string(), fmt::format("cannot be written ({})", reason),
              fmt::format("room for {} bytes in a folder that can be written to", floats.nbytes()),
              "choose another file");
}

}  // namespace harness
