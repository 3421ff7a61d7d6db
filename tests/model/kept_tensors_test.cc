#include "harness/model/kept_tensors.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "harness/core/log.h"
#include "tests/support/support.h"

namespace harness {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

class KeptTensorsTest : public testing::Test {
 protected:
  void SetUp() override {
    set_log_sink([this](LogLevel, std::string_view text) { said_ += std::string(text) + "\n"; });
    keep_tensors(
        file_, "key", "numbers",
        {{"a", at::arange(6, at::kFloat).reshape({2, 3})}, {"b", at::ones({4}, at::kLong)}},
        {{"progress", "7 of 9"}});
  }
  void TearDown() override { set_log_sink({}); }
  bool found(const std::string& key = "key") {
    return find_kept_tensors(file_, key, "it").has_value();
  }
  std::string said_;
  test::TemporaryFolder folder_;
  std::filesystem::path file_ = folder_ / "kept.safetensors";
};

TEST_F(KeptTensorsTest, AreThereWithTheirMetadata) {
  const auto kept = find_kept_tensors(file_, "key", "it");
  ASSERT_TRUE(kept);
  EXPECT_TRUE(at::equal(kept->load("a"), at::arange(6, at::kFloat).reshape({2, 3})));
  EXPECT_EQ(kept->metadata().at("progress"), "7 of 9");
  EXPECT_EQ(kept_what(file_), "numbers");
  EXPECT_THAT(damage_of(file_), IsEmpty());
  EXPECT_THAT(said_, IsEmpty());
}

TEST_F(KeptTensorsTest, OfAnotherKeyAreNotUsed) {
  EXPECT_FALSE(found("another"));
  EXPECT_THAT(said_, HasSubstr("belongs to something else"));
  EXPECT_FALSE(find_kept_tensors(folder_ / "absent", "key", "it"));
}

// A bit of a value, of a shape, of the metadata, and a file that ends early: wherever it is.
TEST_F(KeptTensorsTest, EveryFlippedBitAndEveryTruncationIsFound) {
  const std::string whole = test::read_file(file_);
  const std::size_t header = 8;  // bytes before it: its length
  for (std::size_t byte = 0; byte < whole.size(); ++byte) {
    std::string flipped = whole;
    flipped[byte] = static_cast<char>(flipped[byte] ^ (1 << byte % 7));
    test::write_file(file_, flipped);
    said_.clear();
    // White space in the header means nothing; all else is damage, or another key.
    if (found()) {
      EXPECT_GE(byte, header);
      EXPECT_TRUE(std::isspace(static_cast<unsigned char>(whole[byte])) ||
                  std::isspace(static_cast<unsigned char>(flipped[byte])))
          << byte << ": " << whole[byte] << " as " << flipped[byte];
    } else {
      EXPECT_THAT(said_, testing::AnyOf(HasSubstr("is damaged"), HasSubstr("something else")));
    }
  }
  for (std::size_t size = 0; size < whole.size(); ++size) {
    test::write_file(file_, whole.substr(0, size));
    EXPECT_FALSE(found()) << size;
  }
  EXPECT_THAT(damage_of(file_), HasSubstr("kept.safetensors"));
}

TEST_F(KeptTensorsTest, UseIsRemembered) {
  const auto before = std::filesystem::last_write_time(file_) - std::chrono::hours(1);
  std::filesystem::last_write_time(file_, before);
  ASSERT_TRUE(found());
  EXPECT_GT(std::filesystem::last_write_time(file_), before);
}

}  // namespace
}  // namespace harness
