#include "harness/report/render.h"

#include <gtest/gtest.h>

namespace harness::test {
namespace {

Table example() {
  Table table;
  table.caption = "quickstart";
  table.columns = {{.title = "run"},
                   {.title = "model", .machine_only = true},
                   {.title = "perplexity", .alignment = Alignment::right}};
  table.rows = {{{.text = "RTN"},
                 {.text = "SmolLM2"},
                 {.text = "23.11 ± 0.42",
                  .exact = "23.113400000000002",
                  .details = {{"standard error", "0.4178"}}}},
                {{.text = "多 AAQ"}, {.text = "SmolLM2"}, {.text = "–", .exact = ""}}};
  table.notes = {"Protocol: p/1"};
  return table;
}

TEST(MarkdownTest, ATableWithCaptionAndNotes) {
  EXPECT_EQ(to_markdown(example()),
            "**quickstart**\n"
            "\n"
            "| run    |   perplexity |\n"
            "| ------ | -----------: |\n"
            "| RTN    | 23.11 ± 0.42 |\n"
            "| 多 AAQ |            – |\n"
            "\n"
            "- Protocol: p/1\n");
}

TEST(MarkdownTest, TextIsNotMarkup) {
  Table table;
  table.columns = {{.title = "a|b"}};
  table.rows = {{{.text = "x|y\n<b>*z* `q` c:\\d"}}};
  EXPECT_EQ(to_markdown(table),
            "| a\\|b                         |\n"
            "| ---------------------------- |\n"
            "| x\\|y &lt;b>\\*z\\* \\`q\\` c:\\\\d |\n");
}

TEST(MarkdownTest, AGroupStandsOverItsTitle) {
  Table table;
  table.columns = {{.title = "acc", .group = "boolq/1"}};
  EXPECT_EQ(to_markdown(table), "| boolq/1<br>acc |\n| -------------- |\n");
}

TEST(LatexTest, ATabularWithRulesAndNotes) {
  EXPECT_EQ(to_latex(example()),
            "% Needs \\usepackage{booktabs}.\n"
            "% quickstart\n"
            "\\begin{tabular}{lr}\n"
            "\\toprule\n"
            "run & perplexity \\\\\n"
            "\\midrule\n"
            "{}RTN & 23.11 $\\pm$ 0.42 \\\\\n"
            "{}多 AAQ & -- \\\\\n"
            "\\bottomrule\n"
            "\\end{tabular}\n"
            "\\par\\smallskip\n"
            "{\\footnotesize\\raggedright\n"
            "Protocol: p/1\\par\n"
            "}\n");
}

TEST(LatexTest, TextIsNotMarkupAndGroupsSpanTheirColumns) {
  Table table;
  table.columns = {{.title = "run"},
                   {.title = "acc_norm", .group = "boolq/1", .alignment = Alignment::right},
                   {.title = "100 %", .group = "boolq/1", .alignment = Alignment::right}};
  table.rows = {{{.text = "[a] & \\b {c} #1 $2 ~^"},
                 {.text = "∞"},
                 {.text = "<1", .best = true, .differs = true}}};
  EXPECT_EQ(
      to_latex(table),
      "% Needs \\usepackage{booktabs}.\n"
      "\\begin{tabular}{lrr}\n"
      "\\toprule\n"
      "\\multicolumn{1}{c}{} & \\multicolumn{2}{c}{boolq/1} \\\\\n"
      "\\cmidrule(lr){2-3}\n"
      "run & acc\\_norm & 100 \\% \\\\\n"
      "\\midrule\n"
      "{}[a] \\& \\textbackslash{}b \\{c\\} \\#1 \\$2 \\textasciitilde{}\\textasciicircum{} & "
      "$\\infty$ & $\\star$$\\dagger$ $<$1 \\\\\n"
      "\\bottomrule\n"
      "\\end{tabular}\n");
}

TEST(CsvTest, EveryDigitAndEveryColumn) {
  EXPECT_EQ(to_csv(example()),
            "run,model,perplexity,perplexity standard error\n"
            "RTN,SmolLM2,23.113400000000002,0.4178\n"
            "多 AAQ,SmolLM2,,\n");
}

TEST(CsvTest, FieldsAreQuotedWhereTheyMust) {
  Table table;
  table.columns = {{.title = "a,b"}, {.title = "c", .group = "g"}};
  table.rows = {{{.text = "say \"x\""}, {.text = "two\nlines"}}};
  EXPECT_EQ(to_csv(table), "\"a,b\",g c\n\"say \"\"x\"\"\",\"two\nlines\"\n");
}

TEST(TextTest, ColumnsAreAlignedByWhatTheyTakeOnAScreen) {
  EXPECT_EQ(to_text(example()),
            "quickstart\n"
            "run       perplexity\n"
            "──────  ────────────\n"
            "RTN     23.11 ± 0.42\n"
            "多 AAQ             –\n"
            "Protocol: p/1\n");
}

TEST(TextTest, NeighboursOfOneGroupShareAHeading) {
  Table table;
  table.columns = {{.title = "run"},
                   {.title = "a", .group = "first/1", .alignment = Alignment::right},
                   {.title = "b", .group = "first/1", .alignment = Alignment::right},
                   {.title = "a", .group = "second/1", .alignment = Alignment::right}};
  table.rows = {{{.text = "RTN"}, {.text = "1.5"}, {.text = "2"}, {.text = "3"}}};
  EXPECT_EQ(to_text(table),
            "     first/1  second/1\n"
            "run    a   b         a\n"
            "───  ───  ──  ────────\n"
            "RTN  1.5   2         3\n");
}

TEST(TextTest, ALongTextIsBrokenAtSpaces) {
  Table table;
  table.columns = {{.title = "run"}, {.title = "status"}};
  table.rows = {{{.text = "RTN"}, {.text = "failed: no memory is left"}}};
  EXPECT_EQ(to_text(table, 12),
            "run  status\n"
            "───  ──────────\n"
            "RTN  failed: no\n"
            "     memory is\n"
            "     left\n");
}

TEST(TextTest, ALongWordIsBrokenBetweenCharacters) {
  Table table;
  table.columns = {{.title = "k"}};
  table.rows = {{{.text = "äöüäöüäö"}}};
  EXPECT_EQ(to_text(table, 3), "k\n───\näöü\näöü\näö\n");
}

TEST(TextTest, ATableWithoutRowsIsItsHead) {
  Table table;
  table.columns = {{.title = "run"}};
  EXPECT_EQ(to_text(table), "run\n───\n");
  EXPECT_EQ(to_csv(table), "run\n");
}

TEST(DisplayWidthTest, WideNarrowAndCombiningCharacters) {
  EXPECT_EQ(display_width("abc"), 3u);
  EXPECT_EQ(display_width("±∞"), 2u);
  EXPECT_EQ(display_width("漢字"), 4u);
  EXPECT_EQ(display_width("e\u0301"), 1u);
  EXPECT_EQ(display_width("\xff\xfe"), 2u);
}

}  // namespace
}  // namespace harness::test
