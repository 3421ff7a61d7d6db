#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "harness/core/rng.h"
#include "harness/model/checkpoint.h"
#include "tests/model/checkpoint_files.h"

// Random damage in the part of a file that describes the rest: whatever is read must end in a
// checkpoint whose tensors can be loaded or in an Error, never in a crash.

namespace harness {
namespace {

namespace fs = std::filesystem;

constexpr int kTrials = 500;

/// Flips up to 8 of the first `header` bytes or cuts the file off; `rng` decides.
std::string damaged(std::string bytes, std::size_t header, Philox& rng) {
  if (rng.below(8) == 0) return bytes.substr(0, rng.below(bytes.size()));
  for (std::uint64_t left = 1 + rng.below(8); left > 0; --left)
    bytes[rng.below(header)] = static_cast<char>(rng.below(256));
  return bytes;
}

/// Opens a checkpoint and loads all of it.
/// @return whether it was sound
bool opens(const fs::path& path) {
  try {
    auto checkpoint = open_checkpoint(path.string());
    for (const auto& [name, shape] : expected_tensors(checkpoint->config()))
      EXPECT_EQ(checkpoint->load(name).sizes().vec(), shape) << name;
    return true;
  } catch (const Error& error) {
    EXPECT_FALSE(std::string(error.what()).empty());
    return false;
  }
}

/// Damages `file` of the checkpoint at `path` again and again.
void expect_errors_only(const fs::path& path, const fs::path& file, std::size_t header) {
  std::string sound = test::read_file(file);
  int refused = 0;
  for (int trial = 0; trial < kTrials; ++trial) {
    Philox rng(0, file.filename().string(), "damage", static_cast<std::uint64_t>(trial));
    test::write_file(file, damaged(sound, header, rng));
    ASSERT_NO_THROW(refused += opens(path) ? 0 : 1) << "trial " << trial;
  }
  EXPECT_GT(refused, kTrials / 10);
}

TEST(DamagedFiles, GgufHeader) {
  test::TemporaryFolder folder;
  fs::copy(test::golden("checkpoint/mixed.gguf"), folder / "x.gguf");
  expect_errors_only(folder / "x.gguf", folder / "x.gguf", 2000);
}

TEST(DamagedFiles, SafetensorsHeader) {
  test::TemporaryFolder folder;
  test::copy_sharded(folder.path());
  expect_errors_only(folder.path(), folder / "model-00001-of-00002.safetensors", 900);
}

TEST(DamagedFiles, SafetensorsIndex) {
  test::TemporaryFolder folder;
  test::copy_sharded(folder.path());
  fs::path index = folder / "model.safetensors.index.json";
  expect_errors_only(folder.path(), index, fs::file_size(index));
}

TEST(DamagedFiles, Config) {
  test::TemporaryFolder folder;
  test::copy_sharded(folder.path());
  fs::path config = folder / "config.json";
  expect_errors_only(folder.path(), config, fs::file_size(config));
}

}  // namespace
}  // namespace harness
