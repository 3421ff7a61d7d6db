#include "harness/core/model_reference.h"

#include <gmock/gmock.h>

#include "harness/core/experiment.h"
#include "tests/support/support.h"

namespace harness {
namespace {

using test::error_of;
using testing::HasSubstr;

TEST(ModelReference, OtherTextsArePathsOrRepositories) {
  const ModelReference reference("meta-llama/Llama-3.1-8B");
  EXPECT_EQ(reference.text, "meta-llama/Llama-3.1-8B");
  EXPECT_FALSE(reference.pair);
}

TEST(ModelReference, APairHasOneTextHoweverItIsWritten) {
  EXPECT_EQ(ModelReference("pair:world/aligned").text, "pair:world/aligned@0");
  EXPECT_EQ(ModelReference("pair:world/base@12").pair->seed, 12u);
  EXPECT_EQ(ModelReference("pair:world/base@12+40").pair->steps, 40);
  EXPECT_EQ(ModelReference("pair:world/base@12+40").text, "pair:world/base@12+40");
  Problems problems;
  const Value table = parse_toml_value("{ pair = 'world', role = 'base', seed = 12 }", "test");
  EXPECT_EQ(ValueTraits<ModelReference>::read(table, problems).text, "pair:world/base@12");
  problems.throw_if_any();
}

TEST(ModelReference, AMalformedPairSaysHowOneIsWritten) {
  for (const char* text : {"pair:world", "pair:/aligned", "pair:world/teacher", "pair:world/base@",
                           "pair:world/base@x", "pair:world/base@1x", "pair:world/base@1+",
                           "pair:world/base@1+0", "pair:a@1/base"})
    EXPECT_THAT(error_of([&] { ModelReference{text}; }), HasSubstr("pair:NAME/aligned")) << text;
}

Experiment experiment(const std::string& toml) {
  return parse_experiment("name = \"e\"\nevals = [\"perplexity\"]\n" + toml, "e.toml");
}

TEST(ModelReference, AnAlignedModelBringsItsBase) {
  const Experiment e = experiment(
      "model = { pair = \"world\", role = \"aligned\", seed = 3 }\n"
      "[[run]]\nlabel = \"a\"\n[[run]]\nlabel = \"b\"\nmodel = { pair = \"world\", role = "
      "\"base\" }\n[[run]]\nlabel = \"c\"\nbase = \"folder\"\n");
  EXPECT_EQ(e.runs[0].base->text, "pair:world/base@3");
  EXPECT_FALSE(e.runs[1].base);
  EXPECT_EQ(e.runs[2].base->text, "folder");
}

TEST(ModelReference, TheTrainingSeedIsSweptInEveryRunThatDoesNotSetIt) {
  const Experiment e = experiment(
      "model = { pair = \"world\", role = \"aligned\" }\n"
      "[[run]]\nlabel = \"a\"\n[[run]]\nlabel = \"b\"\nmodel = { pair = \"world\", role = "
      "\"base\" }\n[[run]]\nlabel = \"c\"\nmodel = \"folder\"\n"
      "[sweep]\n\"model.seed\" = [4, 5]\n");
  std::vector<std::string> found;
  for (const RunSpec& run : e.runs) found.push_back(run.label + " " + run.model.text);
  EXPECT_THAT(found,
              testing::ElementsAre("a pair:world/aligned@4", "a pair:world/aligned@5",
                                   "b pair:world/base@4", "b pair:world/base@5", "c folder"));
}

TEST(ModelReference, ASettingReachesEveryRunThatDoesNotSetIt) {
  const Experiment e = parse_experiment(
      "name = 'e'\nevals = ['perplexity']\nmodel = { pair = 'world', role = 'aligned' }\n"
      "[[run]]\nlabel = 'a'\n[[run]]\nlabel = 'b'\nmodel = { pair = 'world', role = 'base' }\n"
      "[[run]]\nlabel = 'c'\nmodel = { pair = 'world', role = 'base', steps = 7 }\n",
      "e.toml", {.set = {"model.steps=40"}});
  EXPECT_EQ(e.runs[0].model.text, "pair:world/aligned@0+40");
  EXPECT_EQ(e.runs[0].base->text, "pair:world/base@0+40");
  EXPECT_EQ(e.runs[1].model.text, "pair:world/base@0+40");
  EXPECT_EQ(e.runs[2].model.text, "pair:world/base@0+7");
}

TEST(ModelReference, WhatIsWrongInATableIsNamed) {
  EXPECT_THAT(
      error_of([] {
        experiment("model = { pair = \"world\", role = \"teacher\" }\n[[run]]\nlabel = \"a\"");
      }),
      HasSubstr("one of aligned, base"));
  EXPECT_THAT(error_of([] { experiment("model = 3\n[[run]]\nlabel = \"a\""); }),
              HasSubstr("org/name or { pair, role, seed }"));
}

}  // namespace
}  // namespace harness
