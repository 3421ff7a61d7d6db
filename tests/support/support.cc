#include "tests/support/support.h"

#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "harness/core/paths.h"

namespace harness::test {
namespace fs = std::filesystem;

namespace {

fs::path existing(const fs::path& path) {
  if (!fs::exists(path)) throw std::runtime_error(path.string() + " is missing");
  return path;
}

}  // namespace

fs::path source_folder() { return HARNESS_SOURCE_DIR; }

fs::path golden(const std::string& name) {
  // Which golden files were opened, for tests/lint/golden_files.sh.
  if (const char* log = std::getenv("HARNESS_GOLDEN_LOG")) {
    fs::create_directories(fs::path(log).parent_path());
    std::ofstream(log, std::ios::app) << name << '\n';
  }
  return existing(fs::path(HARNESS_SOURCE_DIR) / "tests/golden" / name);
}

fs::path shared_data() {
  const char* named = std::getenv("HARNESS_SHARED_DATA");
  fs::path folder = named ? fs::path(named) : fs::path(HARNESS_SOURCE_DIR) / "../shared/data";
  return fs::is_directory(folder) ? folder : fs::path();
}

fs::path cached(const std::string& name) { return existing(cache_folder() / name); }

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read " + path.string());
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

void write_file(const fs::path& path, std::string_view text) {
  std::ofstream out(path, std::ios::binary);
  out.write(text.data(), static_cast<std::streamsize>(text.size()));
  if (!out) throw std::runtime_error("cannot write " + path.string());
}

TemporaryFolder::TemporaryFolder() {
  std::string name = (fs::temp_directory_path() / "harness-test-XXXXXX").string();
  if (!mkdtemp(name.data())) throw std::runtime_error("cannot make a temporary folder");
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

ScopedVariable::ScopedVariable(const char* name, const std::string& value) : name_(name) {
  if (const char* before = std::getenv(name)) before_ = before;
  setenv(name, value.c_str(), 1);
}

ScopedVariable::~ScopedVariable() {
  before_ ? setenv(name_, before_->c_str(), 1) : unsetenv(name_);
}

}  // namespace harness::test
