#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "harness/run/text_calibration.h"
#include "tests/run/fixture.h"

namespace harness {
namespace {

class CalibrationTest : public testing::Test {
 protected:
  void SetUp() override {
    test::write_file(folder_ / "text.txt", test::some_text());
    tokenizer_ = open_tokenizer(test::golden("tiny").string());
  }
  TextCalibration calibration(std::int64_t samples, std::int64_t length, std::uint64_t seed) {
    CalibrationSpec spec;
    spec.text = "text.txt";
    spec.samples = samples;
    spec.length = length;
    return TextCalibration(spec, folder_.path().string(), *tokenizer_, seed);
  }
  test::TemporaryFolder folder_;
  std::unique_ptr<Tokenizer> tokenizer_;
};

TEST_F(CalibrationTest, WindowsAreRunsOfTheText) {
  at::Tensor tokens = calibration(5, 32, 0).tokens();
  ASSERT_EQ(tokens.sizes(), (at::IntArrayRef{5, 32}));
  std::string text = test::some_text();
  for (int i = 0; i < 5; ++i) {
    std::vector<std::int64_t> ids(tokens[i].data_ptr<std::int64_t>(),
                                  tokens[i].data_ptr<std::int64_t>() + 32);
    EXPECT_NE(text.find(tokenizer_->decode(ids)), std::string::npos);
  }
}

TEST_F(CalibrationTest, SeedDecidesTheOffsets) {
  EXPECT_EQ(calibration(5, 32, 1).digest(), calibration(5, 32, 1).digest());
  EXPECT_NE(calibration(5, 32, 1).digest(), calibration(5, 32, 2).digest());
}

TEST_F(CalibrationTest, TextShorterThanAWindowIsAnError) {
  EXPECT_THAT(test::error_of([&] { calibration(1, 1 << 20, 0).tokens(); }),
              testing::HasSubstr("1048576"));
}

}  // namespace
}  // namespace harness
