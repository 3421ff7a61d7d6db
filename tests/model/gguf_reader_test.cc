#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "harness/model/gguf.h"
#include "tests/model/gguf_bytes.h"
#include "tests/support/support.h"

namespace harness::test {
namespace {

using testing::HasSubstr;

class Gguf : public testing::Test {
 protected:
  GgufFile read(const Bytes& bytes) {
    write_file(folder_ / "model.gguf", bytes.all);
    return read_gguf(folder_ / "model.gguf");
  }
  std::string problem(const Bytes& bytes) {
    std::string text = error_of([&] { read(bytes); });
    EXPECT_THAT(text, HasSubstr("model.gguf"));
    return text;
  }
  TemporaryFolder folder_;
};

TEST_F(Gguf, ReadsEveryKindOfValue) {
  Bytes bytes;
  bytes.header(0, 7);
  bytes.text("u8").number<std::uint32_t>(0).number<std::uint8_t>(200);
  bytes.text("i16").number<std::uint32_t>(3).number<std::int16_t>(-5);
  bytes.text("f32").number<std::uint32_t>(6).number(0.5f);
  bytes.text("yes").number<std::uint32_t>(7).number<std::uint8_t>(1);
  bytes.text("name").number<std::uint32_t>(8).text("x");
  bytes.text("ints").number<std::uint32_t>(9).number<std::uint32_t>(5).number<std::uint64_t>(2);
  bytes.number<std::int32_t>(7).number<std::int32_t>(-7);
  bytes.text("words").number<std::uint32_t>(9).number<std::uint32_t>(8).number<std::uint64_t>(2);
  bytes.text("a").text("");
  GgufFile gguf = read(bytes);
  EXPECT_EQ(gguf.get<std::int64_t>("u8"), 200);
  EXPECT_EQ(gguf.get<std::int64_t>("i16"), -5);
  EXPECT_EQ(gguf.get<double>("f32"), 0.5);
  EXPECT_EQ(gguf.get<bool>("yes"), true);
  EXPECT_EQ(gguf.get<std::string>("name"), "x");
  EXPECT_EQ(gguf.get<std::vector<std::int64_t>>("ints"), (std::vector<std::int64_t>{7, -7}));
  EXPECT_EQ(gguf.get<std::vector<std::string>>("words"), (std::vector<std::string>{"a", ""}));
  EXPECT_EQ(gguf.find<bool>("absent"), nullptr);
}

TEST_F(Gguf, ATensorsShapeIsRowMajorAndItsDataAligned) {
  GgufFile gguf = read(Bytes().header(2, 0).tensor("a", {3, 2}, 0).tensor("b", {4}, 32).data(48));
  const GgufTensor* b = gguf.find_tensor("b");
  ASSERT_TRUE(b);
  EXPECT_EQ(gguf.find_tensor("a")->shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(b->bytes, 16u);
  EXPECT_EQ(b->offset, gguf.data_start + 32);
  EXPECT_EQ(gguf.data(*b)[0], std::byte{1});
}

TEST_F(Gguf, AnotherTypeThanExpectedIsNamed) {
  Bytes bytes;
  bytes.header(0, 1).text("k").number<std::uint32_t>(8).text("x");
  GgufFile gguf = read(bytes);
  EXPECT_THAT(error_of([&] { gguf.get<std::int64_t>("k"); }), HasSubstr("a string"));
  EXPECT_THAT(error_of([&] { gguf.get<bool>("other"); }), HasSubstr("no other"));
}

TEST_F(Gguf, OtherFilesAreAnError) {
  EXPECT_THAT(problem({"<html>"}), HasSubstr("GGUF"));
  EXPECT_THAT(problem({""}), HasSubstr("empty"));
  EXPECT_THAT(error_of([&] { read_gguf(folder_ / "none.gguf"); }), HasSubstr("none.gguf"));
  EXPECT_THAT(error_of([&] { read_gguf(folder_.path()); }), HasSubstr("no regular file"));
}

TEST_F(Gguf, AnotherVersionIsAnError) {
  EXPECT_THAT(problem(Bytes().header(0, 0, 1)), HasSubstr("version 1"));
  EXPECT_THAT(problem(Bytes().header(0, 0, 0x03000000)), HasSubstr("big-endian"));
}

TEST_F(Gguf, AHeaderLargerThanTheFileIsAnError) {
  EXPECT_THAT(problem(Bytes().header(0, 1ull << 60)), HasSubstr("metadata entries"));
  EXPECT_THAT(problem(Bytes().header(1ull << 60, 0)), HasSubstr("tensors"));
  Bytes array;
  array.header(0, 1).text("k").number<std::uint32_t>(9).number<std::uint32_t>(8);
  EXPECT_THAT(problem(array.number<std::uint64_t>(1ull << 40)), HasSubstr("elements of k"));
}

TEST_F(Gguf, EveryTruncationIsAnError) {
  Bytes whole;
  whole.header(1, 1).text("k").number<std::uint32_t>(8).text("value");
  whole.tensor("t", {8}, 0).data(32);
  EXPECT_EQ(read(whole).tensors.size(), 1u);
  for (std::size_t size = 0; size < whole.all.size(); ++size) problem({whole.all.substr(0, size)});
}

TEST_F(Gguf, AnUnknownTensorTypeIsNamed) {
  EXPECT_THAT(problem(Bytes().header(1, 0).tensor("t", {8}, 0, 77).data(64)), HasSubstr("77"));
}

TEST_F(Gguf, RowsThatAreNoWholeBlocksAreAnError) {
  EXPECT_THAT(problem(Bytes().header(1, 0).tensor("t", {33}, 0, 8).data(64)), HasSubstr("Q8_0"));
}

TEST_F(Gguf, OverlappingTensorsAreAnError) {
  EXPECT_THAT(problem(Bytes().header(2, 0).tensor("a", {9}, 0).tensor("b", {8}, 32).data(64)),
              testing::AllOf(HasSubstr("overlap"), HasSubstr("a and b")));
}

TEST_F(Gguf, TensorsBeyondTheFileAreAnError) {
  EXPECT_THAT(problem(Bytes().header(1, 0).tensor("t", {64}, 0).data(64)), HasSubstr("truncated"));
  EXPECT_THAT(problem(Bytes().header(1, 0).tensor("t", {8}, ~0ull - 31).data(64)),
              HasSubstr("beyond"));
}

TEST_F(Gguf, ShapesWhoseProductOverflowsAreAnError) {
  EXPECT_THAT(problem(Bytes().header(1, 0).tensor("t", {1ull << 40, 1ull << 40}, 0).data(64)),
              HasSubstr("dimension 1"));
  EXPECT_THAT(problem(Bytes().header(1, 0).tensor("t", {0}, 0).data(64)), HasSubstr("is 0"));
}

TEST_F(Gguf, UnalignedAndRepeatedTensorsAreErrors) {
  EXPECT_THAT(problem(Bytes().header(1, 0).tensor("t", {8}, 5).data(64)), HasSubstr("multiple"));
  EXPECT_THAT(problem(Bytes().header(2, 0).tensor("t", {8}, 0).tensor("t", {8}, 32).data(64)),
              HasSubstr("twice"));
}

}  // namespace
}  // namespace harness::test
