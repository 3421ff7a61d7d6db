#include "harness/report/table.h"

#include <gtest/gtest.h>

#include <limits>

namespace harness::test {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

TEST(FormatMeasuredTest, TheUncertaintyHasTwoDigitsAndTheValueAsManyPlaces) {
  EXPECT_EQ(format_measured(23.1134, 0.4178), "23.11 ± 0.42");
  EXPECT_EQ(format_measured(0.56789, 0.0123), "0.568 ± 0.012");
  EXPECT_EQ(format_measured(23.1134, 0.0042), "23.1134 ± 0.0042");
  EXPECT_EQ(format_measured(-5.2, 1.26), "-5.2 ± 1.3");
}

TEST(FormatMeasuredTest, RoundingUpKeepsTwoDigits) {
  EXPECT_EQ(format_measured(1, 0.0996), "1.00 ± 0.10");
  EXPECT_EQ(format_measured(1, 0.996), "1.0 ± 1.0");
}

TEST(FormatMeasuredTest, ALargeUncertaintyLeavesWholeNumbers) {
  EXPECT_EQ(format_measured(2311.4, 123.4), "2311 ± 123");
  EXPECT_EQ(format_measured(5.3, 47.9), "5 ± 48");
}

TEST(FormatMeasuredTest, WithoutUncertaintyFourDigits) {
  EXPECT_EQ(format_measured(23.1134), "23.11");
  EXPECT_EQ(format_measured(0.567891), "0.5679");
  EXPECT_EQ(format_measured(1234.56), "1235");
  EXPECT_EQ(format_measured(9.99996), "10.00");
  EXPECT_EQ(format_measured(2048), "2048");
  EXPECT_EQ(format_measured(0), "0");
}

TEST(FormatMeasuredTest, NumbersFarFromOneHaveAnExponent) {
  EXPECT_EQ(format_measured(1.2345e9), "1.234e+09");
  EXPECT_EQ(format_measured(1.3456e12, 4.2e11), "(1.35 ± 0.42)e12");
  EXPECT_EQ(format_measured(1.23e-6), "1.230e-06");
  EXPECT_EQ(format_measured(1.234e-6, 5e-8), "(1.234 ± 0.050)e-6");
}

TEST(FormatMeasuredTest, NumbersThatAreNotFiniteAreWords) {
  EXPECT_EQ(format_measured(kNan, 0.1), "NaN");
  EXPECT_EQ(format_measured(kInfinity), "∞");
  EXPECT_EQ(format_measured(-kInfinity), "-∞");
  EXPECT_EQ(format_measured(1.5, kNan), "1.500");
}

TEST(FormatMeasuredTest, NoSpreadAtAllIsSaid) { EXPECT_EQ(format_measured(1.5, 0), "1.500 ± 0"); }

TEST(ResultTableTest, NumbersStandToTheRightAndNullIsNull) {
  ResultStore::ResultSet result;
  result.columns = {"label", "value"};
  result.rows = {{"RTN", "1.5"}, {"GPTQ", std::nullopt}};
  result.numeric = {{false, true}, {false, false}};
  const Table table = result_table(result);
  EXPECT_EQ(table.columns[0].alignment, Alignment::left);
  EXPECT_EQ(table.columns[1].alignment, Alignment::right);
  EXPECT_EQ(table.rows[1][1].text, "NULL");
  EXPECT_EQ(table.rows[1][1].exact, "");
}

}  // namespace
}  // namespace harness::test
