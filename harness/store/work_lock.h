#pragma once

#include <filesystem>
#include <memory>
#include <string>

namespace harness {

/// A claim on a piece of work, such as a run or a stage, among all processes that use one database.
/// The file DATABASE-lock beside it is empty: a claim locks one byte of it, at a place that the
/// key's digits say (Linux's open file description locks, fcntl(2)). The system drops it when the
/// process dies, so nothing is left to clean up.
class WorkLock {
 public:
  /// Null while another holder has claimed the key.
  /// @param key hexadecimal digits, at least 15
  /// @throws Error where the file cannot be made or locked
  static std::unique_ptr<WorkLock> claim(const std::filesystem::path& database,
                                         const std::string& key);
  ~WorkLock();
  WorkLock(const WorkLock&) = delete;
  WorkLock& operator=(const WorkLock&) = delete;

 private:
  explicit WorkLock(int file) : file_(file) {}
  int file_;
};

}  // namespace harness
