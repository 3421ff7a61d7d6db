#include "harness/core/experiment.h"

#include <gmock/gmock.h>

#include "tests/support/support.h"

namespace harness {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const char* const kTwoRuns = R"(
name = "two"
model = "m"
dtype = "fp32"
evals = ["perplexity"]
[[run]]
label = "FP16"
format = "none"
[[run]]
label = "AAQ"
format = "w4a4kv4"
methods = [{ name = "aaq", alpha = 0.75 }, "gptq"]
)";

std::vector<std::string> labels(const Experiment& experiment) {
  std::vector<std::string> result;
  for (const RunSpec& run : experiment.runs) result.push_back(run.label);
  return result;
}

double alpha_of(const RunSpec& run) { return run.methods.at(0).options.find("alpha")->as_double(); }

TEST(ExperimentTest, RunsOverrideTheKeysAboveThem) {
  Experiment experiment = parse_experiment(std::string(kTwoRuns) + "dtype = \"fp64\"\n", "f.toml");
  ASSERT_EQ(experiment.runs.size(), 2u);
  EXPECT_EQ(experiment.runs[0].dtype, "fp32");
  EXPECT_EQ(experiment.runs[1].dtype, "fp64");
  EXPECT_EQ(experiment.runs[1].methods[1].name, "gptq");
  EXPECT_EQ(experiment.runs[1].format.w.bits, 4);
  EXPECT_EQ(experiment.runs[0].evals[0].name, "perplexity");
}

TEST(ExperimentTest, AllErrorsComeAtOnceWithTheirLines) {
  std::string text = test::error_of([] {
    parse_experiment("name = 'x'\nmodle = 'm'\ndtype = 'fp31'\n[[run]]\nlabel = 'a'\nseed = -1\n",
                     "f.toml");
  });
  EXPECT_THAT(text, HasSubstr("f.toml:2: unknown key \"modle\""));
  EXPECT_THAT(text, HasSubstr("did you mean \"model\"?"));
  EXPECT_THAT(text, HasSubstr("f.toml:3: dtype is \"fp31\""));
  EXPECT_THAT(text, HasSubstr("f.toml:6: seed is -1"));
  EXPECT_THAT(text, HasSubstr("no key \"model\""));
}

TEST(ExperimentTest, NamesWhatIsMissing) {
  EXPECT_THAT(test::error_of([] { parse_experiment("name = 'x'\nmodel = 'm'\n", "f.toml"); }),
              HasSubstr("no [[run]]"));
  EXPECT_THAT(test::error_of([] { parse_experiment("name = 'x'\nmodel = 'm'\n[[run]]\n", "f"); }),
              HasSubstr("a run has no label"));
  EXPECT_THAT(test::error_of([] { parse_experiment("model = 'm'\n[[run]]\nlabel = 'a'\n", "f"); }),
              HasSubstr("no name"));
}

TEST(ExperimentTest, EqualLabelsAreAnError) {
  std::string text = test::error_of([] {
    parse_experiment("name='x'\nmodel='m'\n[[run]]\nlabel='a'\n[[run]]\nlabel='a'\n", "f");
  });
  EXPECT_THAT(text, HasSubstr("label \"a\" with seed 0 stands at f:3 too"));
}

TEST(ExperimentTest, ArmsOfASweepThatWouldOverwriteOneAnotherAreAnError) {
  const std::string twice = std::string(kTwoRuns) + "[sweep]\n'methods.aaq.alpha' = [0.5, 0.50]\n";
  EXPECT_THAT(test::error_of([&] { parse_experiment(twice, "e.toml"); }),
              HasSubstr("label \"AAQ alpha=0.5\" with seed 0 stands at"));
}

TEST(ExperimentTest, SweepMakesAGridWhereItsKeysApply) {
  Experiment experiment = parse_experiment(
      std::string(kTwoRuns) + "[sweep]\nseed = [0, 1]\nmethods.aaq.alpha = [0.5, 1.0]\n", "f");
  EXPECT_THAT(labels(experiment), ElementsAre("FP16", "FP16", "AAQ alpha=0.5", "AAQ alpha=1",
                                              "AAQ alpha=0.5", "AAQ alpha=1"));
  EXPECT_EQ(experiment.runs[1].seed, 1u);
  EXPECT_EQ(alpha_of(experiment.runs[2]), 0.5);
  EXPECT_EQ(experiment.runs[4].seed, 1u);
}

TEST(ExperimentTest, PairedKeysMoveTogether) {
  Experiment experiment = parse_experiment(
      std::string(kTwoRuns) +
          "[sweep]\n\"methods.aaq.alpha\" = [0.5, 1.0]\n\"methods.gptq.damp\" = [1, 2]\n"
          "paired = [[\"methods.aaq.alpha\", \"methods.gptq.damp\"]]\n",
      "f");
  EXPECT_THAT(labels(experiment),
              ElementsAre("FP16", "AAQ alpha=0.5 damp=1", "AAQ alpha=1 damp=2"));
}

TEST(ExperimentTest, ASweptLabelSaysInWordsWhatMoves) {
  const std::string swept =
      "[sweep]\nlabel = ['a little', 'more']\nmethods.aaq.alpha = [0.5, 1.0]\n";
  EXPECT_THAT(
      labels(parse_experiment(
          std::string(kTwoRuns) + swept + "paired = [['methods.aaq.alpha', 'label']]\n", "f")),
      ElementsAre("FP16", "AAQ a little", "AAQ more"));
  EXPECT_THAT(test::error_of([&] { parse_experiment(std::string(kTwoRuns) + swept, "f"); }),
              HasSubstr("sweep key label changes no run"));
}

TEST(ExperimentTest, PairedListsOfUnequalLengthAreAnError) {
  EXPECT_THAT(test::error_of([] {
                parse_experiment(std::string(kTwoRuns) +
                                     "[sweep]\nseed = [1]\ndtype = ['fp32', 'bf16']\n"
                                     "paired = [['seed', 'dtype']]\n",
                                 "f");
              }),
              HasSubstr("lists of equal length"));
}

TEST(ExperimentTest, ARunKeepsTheSweptKeyItSetsItself) {
  Experiment experiment =
      parse_experiment(std::string(kTwoRuns) + "[sweep]\ndtype = ['fp32', 'bf16']\n", "f");
  EXPECT_EQ(experiment.runs.size(), 4u);
  // Both runs set their format themselves: the sweep has nothing to change.
  EXPECT_THAT(test::error_of([] {
                parse_experiment(std::string(kTwoRuns) + "[sweep]\nformat = ['none', 'w8a8']\n",
                                 "f");
              }),
              HasSubstr("changes no run"));
}

TEST(ExperimentTest, SetChangesTopKeysPluginOptionsAndSingleRuns) {
  Experiment experiment =
      parse_experiment(kTwoRuns, "f",
                       {.set = {"seed=5", "methods.aaq.alpha=0.1", "run.FP16.dtype=bf16",
                                "run.AAQ.format.w.group=64"}});
  EXPECT_EQ(experiment.runs[0].seed, 5u);
  EXPECT_EQ(alpha_of(experiment.runs[1]), 0.1);
  EXPECT_EQ(experiment.runs[0].dtype, "bf16");
  EXPECT_EQ(experiment.runs[1].dtype, "fp32");
  EXPECT_EQ(experiment.runs[1].format.w.group, 64);
  EXPECT_EQ(experiment.runs[1].format.w.bits, 4);
}

TEST(ExperimentTest, SetReachesPluginsGivenByNameOnly) {
  Experiment experiment = parse_experiment(kTwoRuns, "f", {.set = {"evals.perplexity.limit=2"}});
  EXPECT_EQ(experiment.runs[0].evals[0].options.find("limit")->as_int(), 2);
}

TEST(ExperimentTest, SetThatChangesNothingIsAnError) {
  EXPECT_THAT(test::error_of([] { parse_experiment(kTwoRuns, "f", {.set = {"methods.rtn.x=1"}}); }),
              HasSubstr("--set methods.rtn.x=1"));
  EXPECT_THAT(test::error_of([] { parse_experiment(kTwoRuns, "f", {.set = {"run.X.seed=1"}}); }),
              HasSubstr("FP16, AAQ"));
  EXPECT_THAT(test::error_of([] { parse_experiment(kTwoRuns, "f", {.set = {"seed"}}); }),
              HasSubstr("no value"));
}

TEST(ExperimentTest, OnlySelectsWithoutChangingTheExperiment) {
  Experiment all = parse_experiment(kTwoRuns, "f");
  Experiment one = parse_experiment(kTwoRuns, "f", {.only = {"AAQ"}});
  EXPECT_EQ(all.canonical(), one.canonical());
  EXPECT_FALSE(one.selected(one.runs[0]));
  EXPECT_TRUE(one.selected(one.runs[1]));
  EXPECT_THAT(test::error_of([] { parse_experiment(kTwoRuns, "f", {.only = {"AQA"}}); }),
              HasSubstr("did you mean \"AAQ\"?"));
}

TEST(ExperimentTest, CanonicalTextForgetsCommentsAndFolders) {
  Experiment plain = parse_experiment(kTwoRuns, "f");
  Experiment other =
      parse_experiment("# a comment\n" + std::string(kTwoRuns), "g", {.data_dir = "somewhere"});
  EXPECT_EQ(other.runs[0].data_dir, "somewhere");
  EXPECT_EQ(plain.canonical(), other.canonical());
  EXPECT_NE(plain.canonical(), parse_experiment(kTwoRuns, "f", {.set = {"seed=1"}}).canonical());
}

struct FormatCase {
  std::string toml;
  int w, a, a_o, k, v;
  std::int64_t w_group, a_o_group;
};

TEST(ExperimentTest, FormatsAreReadInEverySpelling) {
  const FormatCase cases[] = {
      {"\"none\"", 16, 16, 16, 16, 16, 0, 0},
      {"\"w4a16g64\"", 4, 16, 16, 16, 16, 64, 0},
      {"\"w4a4kv4\"", 4, 4, 4, 4, 4, 0, 0},
      {"\"w4a4kv4-released\"", 4, 4, 4, 16, 4, 0, 128},
      {"{ w = { bits = 4, group = 32, symmetric = false }, a = 8, a_o = { bits = 4, group = 16 }, "
       "k = 3 }",
       4, 8, 4, 3, 16, 32, 16},
  };
  for (const FormatCase& c : cases) {
    Experiment experiment =
        parse_experiment("name='x'\nmodel='m'\nformat = " + c.toml + "\n[[run]]\nlabel='r'\n", "f");
    const Format& format = experiment.runs[0].format;
    EXPECT_EQ(format.w.bits, c.w) << c.toml;
    EXPECT_EQ(format.a.bits, c.a) << c.toml;
    EXPECT_EQ(format.a_down.bits, c.a) << c.toml;
    EXPECT_EQ(format.a_o.bits, c.a_o) << c.toml;
    EXPECT_EQ(format.k.bits, c.k) << c.toml;
    EXPECT_EQ(format.v.bits, c.v) << c.toml;
    EXPECT_EQ(format.w.group, c.w_group) << c.toml;
    EXPECT_EQ(format.a_o.group, c.a_o_group) << c.toml;
    EXPECT_EQ(format.k.group, 128) << c.toml;
    Problems problems;
    EXPECT_EQ(ValueTraits<Format>::read(to_value(format), problems), format) << c.toml;
    EXPECT_TRUE(problems.empty());
  }
}

TEST(ExperimentTest, FormatErrorsNameWhatIsWrong) {
  auto error = [](const std::string& format) {
    return test::error_of([&] {
      parse_experiment("name='x'\nmodel='m'\nformat = " + format + "\n[[run]]\nlabel='r'\n", "f");
    });
  };
  EXPECT_THAT(error("\"w4\""), HasSubstr("format is \"w4\""));
  EXPECT_THAT(error("\"w9a16\""), HasSubstr("w has 9 bits"));
  EXPECT_THAT(error("{ w = 1 }"), HasSubstr("w has 1 bits"));
  EXPECT_THAT(error("{ ww = 4 }"), HasSubstr("unknown key \"ww\" of format"));
  EXPECT_THAT(error("{ a = { clip = 2 } }"), HasSubstr("clip is 2"));
  EXPECT_THAT(error("{ overrides = [{ w = 4 }] }"), HasSubstr("no match"));
}

TEST(ExperimentTest, OverridesKeepWhatTheyDoNotName) {
  Experiment experiment = parse_experiment(
      "name='x'\nmodel='m'\nformat = { w = { bits = 4, group = 32 }, overrides = [{ match = "
      "'layers 0', w = 8 }] }\n"
      "[[run]]\nlabel='r'\n",
      "f");
  const Format& format = experiment.runs[0].format;
  QuantSpec first = format.at(Site::w, 0, "model.layers.0.mlp.up_proj");
  EXPECT_EQ(first.bits, 8);
  EXPECT_EQ(first.group, 32);
  EXPECT_EQ(format.at(Site::w, 1, "model.layers.1.mlp.up_proj").bits, 4);
}

TEST(Experiment, ColumnsChangeNoResult) {
  const std::string rest = "name='e'\nmodel='m'\nevals=['perplexity']\n[[run]]\nlabel='a'\n";
  const Experiment plain = parse_experiment(rest, "e.toml");
  const Experiment chosen = parse_experiment("columns=['nll', 'acc']\n" + rest, "e.toml");
  EXPECT_EQ(chosen.columns, (std::vector<std::string>{"nll", "acc"}));
  EXPECT_EQ(chosen.canonical(), plain.canonical());
  EXPECT_EQ(table_columns(chosen.toml), chosen.columns);
  EXPECT_THAT(test::error_of([&] { parse_experiment("columns='nll'\n" + rest, "e.toml"); }),
              HasSubstr("columns is"));
}

/// Files that lie over one another, in a folder of their own.
class OverlayTest : public testing::Test {
 protected:
  void SetUp() override { write("base.toml", kTwoRuns); }
  void write(const std::string& name, const std::string& text) {
    test::write_file(folder_ / name, text);
  }
  Experiment read(const std::string& text) {
    write("over.toml", text);
    return read_experiment(folder_ / "over.toml");
  }
  std::string error(const std::string& text) {
    return test::error_of([&] { read(text); });
  }
  test::TemporaryFolder folder_;
};

TEST_F(OverlayTest, KeysAndRunsLieOverTheOtherFiles) {
  const Experiment over = read(R"(
extends = "base.toml"
name = "over"
model = "small"
[[run]]
label = "AAQ"
format = "w4a8"
[[run]]
label = "RTN"
format = "w4a16"
methods = ["rtn"]
)");
  EXPECT_EQ(over.name, "over");
  EXPECT_THAT(labels(over), ElementsAre("FP16", "AAQ", "RTN"));
  EXPECT_EQ(over.runs[0].model.text, "small");
  EXPECT_EQ(over.runs[0].dtype, "fp32");
  EXPECT_EQ(over.runs[1].format.label(), "w4a8");
  EXPECT_EQ(alpha_of(over.runs[1]), 0.75);
}

TEST_F(OverlayTest, SetChangesSingleKeysAndDropLeavesRunsOut) {
  write("middle.toml", "extends = 'base.toml'\nname = 'middle'\nseed = 3\n");
  const Experiment over = read(R"(
extends = "middle.toml"
drop = ["FP16"]
[set]
"methods.aaq.alpha" = 0.5
run.AAQ.format.k = 8
run.AAQ.dtype = "bf16"
)");
  EXPECT_EQ(over.name, "middle");
  EXPECT_THAT(labels(over), ElementsAre("AAQ"));
  EXPECT_EQ(alpha_of(over.runs[0]), 0.5);
  EXPECT_EQ(over.runs[0].dtype, "bf16");
  EXPECT_EQ(over.runs[0].seed, 3u);
  EXPECT_EQ(over.runs[0].format.label(), "w4a4 (k8, v4)");
}

TEST_F(OverlayTest, ItsSweepReplacesTheOthers) {
  write("swept.toml", std::string(kTwoRuns) + "[sweep]\nseed = [0, 1]\n");
  EXPECT_THAT(labels(read("extends = 'swept.toml'\n[sweep]\n'methods.aaq.alpha' = [0.1, 0.2]\n")),
              ElementsAre("FP16", "AAQ alpha=0.1", "AAQ alpha=0.2"));
}

TEST_F(OverlayTest, WhatIsStoredIsTheWholeExperiment) {
  const Experiment over = read("extends = 'base.toml'\nname = 'over'\n[set]\nseed = 7\n");
  EXPECT_EQ(parse_experiment(over.toml, "stored").canonical(), over.canonical());
}

TEST_F(OverlayTest, ErrorsNameTheFile) {
  EXPECT_THAT(error("extends = 'over.toml'\n"), HasSubstr("over.toml: this file extends itself"));
  write("round.toml", "extends = 'about.toml'\nname = 'round'\n");
  write("about.toml", "extends = 'round.toml'\nname = 'about'\n");
  EXPECT_THAT(error("extends = 'round.toml'\n"), HasSubstr("this file extends itself"));
  EXPECT_THAT(error("extends = 'none.toml'\n"), HasSubstr("none.toml: this file cannot be read"));
  EXPECT_THAT(error("extends = 3\n"), HasSubstr("over.toml:1: extends is the integer 3"));
  EXPECT_THAT(error("extends = 'base.toml'\ndrop = ['x']\n"), HasSubstr("no run \"x\" to drop"));
  EXPECT_THAT(error("name = 'a'\ndrop = ['x']\n"), HasSubstr("drop in a file that extends none"));
  EXPECT_THAT(error("extends = 'base.toml'\n[set]\n'methods.gptx.damping' = 1\n"),
              HasSubstr("no run lists gptx"));
}

}  // namespace
}  // namespace harness
