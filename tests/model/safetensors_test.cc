#include "harness/model/safetensors.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "tests/model/checkpoint_files.h"
#include "tests/support/support.h"

namespace harness {
namespace {

using nlohmann::json;
using test::error_of;
using test::safetensors_bytes;
using testing::AllOf;
using testing::HasSubstr;

/// The error on opening a file of these bytes.
std::string error_for(std::string_view bytes) {
  test::TemporaryFolder folder;
  test::write_file(folder / "x.safetensors", bytes);
  std::string text = error_of([&] { SafetensorsFile file(folder / "x.safetensors"); });
  EXPECT_THAT(text, HasSubstr("x.safetensors"));
  return text;
}

/// Two tensors, a of 8 bytes and b of 4, at the given offsets.
json two_tensors(std::pair<int, int> a, std::pair<int, int> b) {
  return {{"a", {{"dtype", "F32"}, {"shape", {2}}, {"data_offsets", {a.first, a.second}}}},
          {"b", {{"dtype", "F16"}, {"shape", {2, 1}}, {"data_offsets", {b.first, b.second}}}}};
}

TEST(Safetensors, ValuesOfEveryDtypeAreThoseThatTheLibraryWrote) {
  json golden = json::parse(test::read_file(test::golden("checkpoint/golden.json")));
  SafetensorsFile file(test::golden("checkpoint/dtypes.safetensors"));
  ASSERT_EQ(file.entries().size(), golden["safetensors"]["dtypes"].size());
  for (const auto& [name, expected] : golden["safetensors"]["dtypes"].items()) {
    at::Tensor tensor = file.load(name);
    EXPECT_EQ(tensor.sizes().vec(), expected["shape"].get<std::vector<std::int64_t>>()) << name;
    at::Tensor values = tensor.to(at::kDouble).flatten();
    ASSERT_EQ(values.numel(), static_cast<std::int64_t>(expected["values"].size())) << name;
    for (std::int64_t i = 0; i < values.numel(); ++i) {
      double wanted = std::stod(expected["values"][i].get<std::string>());
      EXPECT_EQ(values[i].item<double>(), wanted) << name << " " << i;
      EXPECT_EQ(std::signbit(values[i].item<double>()), std::signbit(wanted)) << name << " " << i;
    }
  }
}

TEST(Safetensors, DtypesAreKept) {
  SafetensorsFile file(test::golden("checkpoint/dtypes.safetensors"));
  EXPECT_EQ(file.load("f64").scalar_type(), at::kDouble);
  EXPECT_EQ(file.load("f32").scalar_type(), at::kFloat);
  EXPECT_EQ(file.load("f16").scalar_type(), at::kHalf);
  EXPECT_EQ(file.load("bf16").scalar_type(), at::kBFloat16);
  EXPECT_EQ(file.load("i64").scalar_type(), at::kLong);
}

TEST(Safetensors, MetadataIsRead) {
  SafetensorsFile file(test::golden("checkpoint/dtypes.safetensors"));
  EXPECT_EQ(file.metadata().at("format"), "pt");
}

TEST(Safetensors, TensorsOutliveTheFile) {
  at::Tensor tensor;
  {
    SafetensorsFile file(test::golden("checkpoint/dtypes.safetensors"));
    tensor = file.load("f32");
  }
  EXPECT_EQ(tensor[0][3].item<float>(), -2.5f);
}

TEST(Safetensors, MisalignedTensorsAreRead) {
  test::TemporaryFolder folder;
  json header = {{"a", {{"dtype", "U8"}, {"shape", {1}}, {"data_offsets", {0, 1}}}},
                 {"b", {{"dtype", "F32"}, {"shape", {1}}, {"data_offsets", {1, 5}}}}};
  test::write_file(folder / "x.safetensors",
                   safetensors_bytes(header, std::string("\x07\x00\x00\x80\x3f", 5)));
  SafetensorsFile file(folder / "x.safetensors");
  EXPECT_EQ(file.load("b").item<float>(), 1.0f);
}

TEST(Safetensors, TensorsMayStandInAnyOrder) {
  test::TemporaryFolder folder;
  test::write_file(folder / "x.safetensors",
                   safetensors_bytes(two_tensors({4, 12}, {0, 4}), std::string(12, '\0')));
  EXPECT_EQ(SafetensorsFile(folder / "x.safetensors").entries().at("b").bytes, 4u);
}

TEST(SafetensorsErrors, MissingFile) {
  EXPECT_THAT(error_of([] { SafetensorsFile file("no/such.safetensors"); }),
              HasSubstr("no/such.safetensors"));
}

TEST(SafetensorsErrors, EmptyAndTooShortFiles) {
  EXPECT_THAT(error_for(""), HasSubstr("empty"));
  EXPECT_THAT(error_for("1234"), HasSubstr("4 bytes (truncated)"));
}

TEST(SafetensorsErrors, HeaderLargerThanTheFile) {
  EXPECT_THAT(error_for(std::string("\xff\xff\xff\x7f\0\0\0\0{}", 10)),
              AllOf(HasSubstr("header of 2147483647 bytes"), HasSubstr("has 10 bytes")));
  EXPECT_THAT(error_for(std::string(8, '\xff') + "{}"),
              HasSubstr("header of 18446744073709551615"));
}

TEST(SafetensorsErrors, HeaderThatIsNotJson) {
  EXPECT_THAT(error_for(std::string("\x05\0\0\0\0\0\0\0{\"a\":", 13)), HasSubstr("is not JSON"));
  EXPECT_THAT(error_for(std::string("\x02\0\0\0\0\0\0\0[]", 10)), HasSubstr("no JSON object"));
}

TEST(SafetensorsErrors, TruncatedData) {
  std::string bytes = safetensors_bytes(two_tensors({0, 8}, {8, 12}), std::string(12, 'x'));
  EXPECT_THAT(error_for(bytes.substr(0, bytes.size() - 1)),
              AllOf(HasSubstr("tensor b"), HasSubstr("truncated"), HasSubstr("fetch it again")));
}

TEST(SafetensorsErrors, BytesAfterTheLastTensor) {
  EXPECT_THAT(error_for(safetensors_bytes(two_tensors({0, 8}, {8, 12}), std::string(15, 'x'))),
              HasSubstr("3 bytes at the end belong to no tensor"));
}

TEST(SafetensorsErrors, OverlappingTensors) {
  EXPECT_THAT(error_for(safetensors_bytes(two_tensors({0, 8}, {6, 10}), std::string(10, 'x'))),
              HasSubstr("tensors a and b overlap"));
}

TEST(SafetensorsErrors, Holes) {
  EXPECT_THAT(error_for(safetensors_bytes(two_tensors({0, 8}, {10, 14}), std::string(14, 'x'))),
              HasSubstr("2 bytes between a and tensor b"));
}

TEST(SafetensorsErrors, ShapeThatContradictsTheBytes) {
  EXPECT_THAT(error_for(safetensors_bytes(two_tensors({0, 6}, {6, 10}), std::string(10, 'x'))),
              AllOf(HasSubstr("tensor a has 6 bytes"), HasSubstr("expected 8 for Float [2]")));
}

TEST(SafetensorsErrors, ShapeThatOverflows) {
  json header = {{"a",
                  {{"dtype", "F32"},
                   {"shape", {4294967296, 4294967296, 4294967296}},
                   {"data_offsets", {0, 0}}}}};
  EXPECT_THAT(error_for(safetensors_bytes(header, "")), HasSubstr("dimension of 4294967296"));
}

TEST(SafetensorsErrors, NegativeNumbersAndReversedOffsets) {
  EXPECT_THAT(error_for(safetensors_bytes(two_tensors({-1, 7}, {8, 12}), std::string(12, 'x'))),
              HasSubstr("data_offsets"));
  EXPECT_THAT(error_for(safetensors_bytes(two_tensors({8, 0}, {8, 12}), std::string(12, 'x'))),
              HasSubstr("data_offsets [8, 0]"));
}

TEST(SafetensorsErrors, UnknownDtypeListsTheKnownOnes) {
  json header = {{"a", {{"dtype", "F4"}, {"shape", {2}}, {"data_offsets", {0, 1}}}}};
  EXPECT_THAT(error_for(safetensors_bytes(header, "x")),
              AllOf(HasSubstr("tensor a has the unknown dtype F4"), HasSubstr("F32, F16, BF16")));
}

TEST(SafetensorsErrors, MissingFields) {
  EXPECT_THAT(error_for(safetensors_bytes(R"({"a": 1})", "")), HasSubstr("tensor a"));
  EXPECT_THAT(error_for(safetensors_bytes(R"({"a": {}})", "")), HasSubstr("no dtype"));
  EXPECT_THAT(error_for(safetensors_bytes(R"({"a": {"dtype": "F32"}})", "")),
              HasSubstr("no list shape"));
}

TEST(SafetensorsErrors, ANameThatStandsTwice) {
  std::string header = R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                       R"("a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})";
  EXPECT_THAT(error_for(safetensors_bytes(header, "xy")), HasSubstr("\"a\" stands twice"));
}

TEST(SafetensorsErrors, ATensorThatIsNotThere) {
  SafetensorsFile file(test::golden("checkpoint/dtypes.safetensors"));
  EXPECT_THAT(error_of([&] { file.load("f8"); }), HasSubstr("no tensor f8"));
}

}  // namespace
}  // namespace harness
