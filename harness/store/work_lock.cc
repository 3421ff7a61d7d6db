#include "harness/store/work_lock.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "harness/core/error.h"

namespace harness {
namespace {

constexpr std::size_t kOffsetDigits = 15;  // of hexadecimal: 60 bits fit an off_t

[[noreturn]] void refuse(const std::string& path, int code) {
  throw Error(path, std::string("cannot be made or locked: ") + std::strerror(code),
              "a folder that can be written, on a file system with locks",
              "name another file with --db");
}

}  // namespace

std::unique_ptr<WorkLock> WorkLock::claim(const std::filesystem::path& database,
                                          const std::string& key) {
  const std::string path = database.string() + "-lock";
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (file < 0) refuse(path, errno);
  std::unique_ptr<WorkLock> lock(new WorkLock(file));
  struct flock byte {};
  byte.l_type = F_WRLCK;
  byte.l_whence = SEEK_SET;
  byte.l_start = static_cast<off_t>(std::stoull(key.substr(0, kOffsetDigits), nullptr, 16));
  byte.l_len = 1;
  if (fcntl(file, F_OFD_SETLK, &byte) == 0) return lock;
  if (errno != EAGAIN && errno != EACCES) refuse(path, errno);
  return nullptr;
}

WorkLock::~WorkLock() { ::close(file_); }

}  // namespace harness
