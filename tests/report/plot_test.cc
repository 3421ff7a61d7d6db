#include "harness/report/plot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/report/example_experiment.h"
#include "tests/support/support.h"

namespace harness::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class PlotTest : public ::testing::Test {
 protected:
  Plot plot(const std::string& name) { return read_plot(*store_, "trial", name); }
  TemporaryFolder folder_;
  std::unique_ptr<ResultStore> store_ = ResultStore::open(folder_ / "results.sqlite");
};

TEST_F(PlotTest, MetricsAreMeansOverTrainingSeedsInTheOrderOfTheFile) {
  ExampleExperiment experiment(*store_);
  put_three_methods(experiment);
  const Plot made = plot("metrics");
  EXPECT_THAT(made.categories, ElementsAre("16 bits", "RTN", "AAQ"));
  ASSERT_EQ(made.panels.size(), 2u);
  EXPECT_EQ(made.panels[1].title, "refusal");
  const PlotPoint& rtn = made.panels[1].series.at(0).at(1);
  EXPECT_NEAR(rtn.y.value, .946, 1e-12);
  EXPECT_EQ(rtn.y.over, "3 training seeds");
  EXPECT_EQ(rtn.runs.size(), 3u);
  // scipy: t.ppf(.975, 2) * .004 / sqrt(3)
  EXPECT_NEAR(rtn.y.interval.high - rtn.y.value, 0.00993655, 1e-7);
}

TEST_F(PlotTest, SafetyStandsAgainstThePerplexityOfTheSameRun) {
  ExampleExperiment experiment(*store_);
  put_three_methods(experiment);
  const Plot made = plot("safety_perplexity");
  EXPECT_THAT(made.series, ElementsAre("16 bits", "RTN", "AAQ"));
  ASSERT_EQ(made.panels.size(), 1u);
  EXPECT_NEAR(made.panels[0].series[2].at(0).x, 3.304, 1e-12);
  EXPECT_EQ(made.panels[0].x_title, "perplexity");
}

TEST_F(PlotTest, ASweptNumberIsTheAxisAndUnquantizedRunsALevel) {
  ExampleExperiment experiment(*store_);
  experiment.put({"16 bits", "m", "none", ""});
  experiment.measure("refusal", "r/1", {{"refusal", .99, {}, 4}});
  for (const char* alpha : {"0.75", "0.5", "1e-05"}) {
    experiment.put(
        {.label = fmt::format("AAQ chat alpha={}", alpha),
         .model = "m",
         .methods = "aaq + gptq",
         .canonical = fmt::format(
             R"({{"methods":[{{"alpha":{},"name":"aaq","top_k":8}}],"seed":0}})", alpha)});
    experiment.measure("refusal", "r/1", {{"refusal", .9, {}, 4}});
  }
  const Plot made = plot("ablation");
  EXPECT_THAT(made.series, ElementsAre("AAQ chat"));
  ASSERT_EQ(made.panels.size(), 1u);
  EXPECT_EQ(made.panels[0].x_title, "alpha");
  std::vector<double> x;
  for (const PlotPoint& point : made.panels[0].series[0]) x.push_back(point.x);
  EXPECT_THAT(x, ElementsAre(1e-5, .5, .75));
  ASSERT_EQ(made.panels[0].levels.size(), 1u);
  EXPECT_EQ(made.panels[0].levels[0].first, "16 bits");
  EXPECT_EQ(made.panels[0].levels[0].second, .99);
}

TEST_F(PlotTest, TwoSweptNumbersAreTwoAxes) {
  ExampleExperiment experiment(*store_);
  for (int alpha : {1, 2})
    for (int top_k : {8, 16}) {
      experiment.put(
          {.label = fmt::format("AAQ alpha={} top_k={}", alpha, top_k),
           .model = "m",
           .methods = "aaq",
           .canonical = fmt::format(R"({{"methods":[{{"alpha":{},"top_k":{}}}]}})", alpha, top_k)});
      experiment.measure("refusal", "r/1", {{"refusal", .1 * alpha + .01 * top_k, {}, 4}});
    }
  const Plot made = plot("ablation");
  ASSERT_EQ(made.panels.size(), 2u);
  EXPECT_EQ(made.panels[0].x_title, "alpha");
  EXPECT_EQ(made.panels[1].x_title, "top_k");
  EXPECT_THAT(made.series,
              ElementsAre("AAQ top_k=16", "AAQ top_k=8", "AAQ alpha=1", "AAQ alpha=2"));
  EXPECT_EQ(made.panels[0].series[0].size(), 2u);
  EXPECT_TRUE(made.panels[0].series[2].empty());
}

TEST_F(PlotTest, BitsGoDownAndMethodsAreLines) {
  ExampleExperiment experiment(*store_);
  auto put = [&](const std::string& label, const std::string& format, int w, int a,
                 const std::string& methods) {
    experiment.put({.label = label,
                    .model = "m",
                    .format = format,
                    .methods = methods,
                    .canonical = fmt::format(
                        R"({{"format":{{"w":{{"bits":{}}},"a":{{"bits":{}}},"k":{{"bits":16}}}},)"
                        R"("label":"{}"}})",
                        w, a, label)});
    experiment.measure("perplexity", "p/1", {{"perplexity", 10.0 + 16 - w, {}, 4}});
  };
  put("RTN 3", "w3a3", 3, 3, "rtn");
  put("RTN 4", "w4a4 (a_o g16)", 4, 4, "rtn");
  put("RTN 4, 16", "w4a16", 4, 16, "rtn");
  put("AAQ format=w4a4", "w4a4", 4, 4, "aaq");
  put("AAQ chat format=w4a4", "w4a4", 4, 4, "aaq");
  const Plot made = plot("bits");
  EXPECT_THAT(made.categories, ElementsAre("w4a16", "w4a4", "w3a3"));
  EXPECT_THAT(made.series, ElementsAre("rtn", "AAQ", "AAQ chat"));
}

TEST_F(PlotTest, FlipsAreSharesThatFillTheBar) {
  ExampleExperiment experiment(*store_);
  experiment.put({});
  experiment.measure("flips", "world/ok/1/flips/1",
                     {{"to_base", .125, {}, 8}, {"kept", .75, {}, 8}, {"elsewhere", .125, {}, 8}});
  const Plot made = plot("flips");
  EXPECT_THAT(made.series, ElementsAre("kept", "to the base's answer", "elsewhere"));
  EXPECT_EQ(made.panels.at(0).title, "world/ok/1");
  EXPECT_EQ(made.panels[0].series[1].at(0).y.value, .125);
}

TEST_F(PlotTest, CategoriesOfSafetyBenchAndWhatTheMostFrequentAnswerGives) {
  ExampleExperiment experiment(*store_);
  for (const char* label : {"16 bits", "RTN"}) {
    experiment.put({.label = label, .model = "m"});
    experiment.measure("safetybench", "safetybench/1",
                       {{"letter/acc", .6, {}, 8},
                        {"letter/Mental Health/acc", .5, .1, 4},
                        {"letter/Privacy and Property/acc", .7, .1, 4},
                        {"letter/Mental Health/majority", .3, {}, 4}});
  }
  const Plot made = plot("safetybench");
  EXPECT_THAT(made.series, ElementsAre("16 bits", "RTN", "most frequent answer"));
  EXPECT_THAT(made.categories, ElementsAre("Mental Health", "Privacy and Property"));
  EXPECT_EQ(made.panels.at(0).series[2].at(0).y.over, "4 items");
}

TEST_F(PlotTest, ActivationsByLayerBeforeAndAfter) {
  ExampleExperiment experiment(*store_);
  for (const char* label : {"16 bits", "QuaRot"}) {
    experiment.put({.label = label, .model = "m"});
    const double outliers = label[0] == 'Q' ? 3 : 300;
    experiment.measure(
        "activations", "a/1", {{"kurtosis", outliers, {}, 2}},
        example_items(
            {1, 1},
            {fmt::format(R"({{"site":"o","layer":0,"kurtosis":{}}})", outliers),
             fmt::format(R"({{"site":"o","layer":1,"kurtosis":{},"snr_db":null}})", outliers)}));
  }
  const Plot made = plot("activations");
  ASSERT_EQ(made.panels.size(), 1u);
  EXPECT_EQ(made.panels[0].title, "kurtosis of o");
  EXPECT_TRUE(made.panels[0].log_y);
  EXPECT_EQ(made.panels[0].series[1].at(1).y.value, 3);
}

TEST_F(PlotTest, TrainingShowsAboutSixtyStepsMeanedOverSeeds) {
  ExampleExperiment experiment(*store_);
  for (int seed : {0, 1}) {
    experiment.put({.model = fmt::format("pair:world/aligned@{}", seed)});
    std::vector<CurvePoint> points;
    for (int step = 1; step <= 600; ++step) points.push_back({"loss", step, 2.0 + seed});
    experiment.train("aaq", "method", points);
  }
  const Plot made = plot("training");
  ASSERT_EQ(made.panels.size(), 1u);
  EXPECT_EQ(made.panels[0].series[0].size(), 60u);
  EXPECT_EQ(made.panels[0].series[0][0].y.value, 2.5);
}

TEST_F(PlotTest, WhatWasNotMeasuredSaysWhatItNeeds) {
  ExampleExperiment experiment(*store_);
  experiment.put({});
  experiment.measure("refusal", "r/1", {{"refusal", .9, {}, 4}});
  for (const char* name : {"ablation", "bits", "flips", "safetybench", "activations", "training"}) {
    const Plot made = plot(name);
    EXPECT_TRUE(made.panels.empty()) << name;
    EXPECT_THAT(made.notes.at(0), HasSubstr(std::string(name) + " needs ")) << name;
  }
  EXPECT_EQ(read_plots(*store_, "trial").size(), 1u);
  EXPECT_THAT(error_of([&] { plot("bit"); }), HasSubstr("did you mean \"bits\"?"));
}

TEST_F(PlotTest, ColumnsOfTheFileChooseThePanels) {
  ExampleExperiment experiment(*store_, "trial", "columns = ['refusal']\n");
  put_three_methods(experiment);
  EXPECT_EQ(plot("metrics").panels.size(), 1u);
}

TEST_F(PlotTest, OneMetricOfTwoProtocolsIsTwoPanels) {
  ExampleExperiment experiment(*store_);
  experiment.put({});
  experiment.measure("zeroshot", "0-shot", {{"mmlu/acc", .3, {}, 4}});
  experiment.measure("zeroshot", "5-shot", {{"mmlu/acc", .4, {}, 4}});
  const Plot made = plot("metrics");
  ASSERT_EQ(made.panels.size(), 2u);
  EXPECT_EQ(made.panels[1].title, "mmlu/acc (5-shot)");
}

TEST(TicksTest, AreOneTwoOrFiveTimesPowersOfTen) {
  EXPECT_THAT(ticks(0, 1, 5), ElementsAre(0, .2, .4, .6000000000000001, .8, 1));
  EXPECT_THAT(ticks(-.5, 12, 5), ElementsAre(0, 5, 10));
  EXPECT_THAT(ticks(1, 1000, 5, true), ElementsAre(1, 10, 100, 1000));
  EXPECT_THAT(ticks(15, 60, 5, true), ElementsAre(20, 50));
}

Plot two_points() {
  Plot plot{"metrics", "What's \"shown\"", PlotKind::dots, {"a_1", "b"}, {"RTN & co", "x`y"}, {},
            {}};
  PlotPanel panel{"ok_h", "", {}, {}, false, false};
  PlotPoint first, second;
  first.y = {.5, {.4, .6}, "4 items"};
  first.runs = {std::string(64, 'a')};
  second.x = 1;
  second.y = {.25, {}, "4 items"};
  second.runs = {std::string(64, 'b')};
  panel.series = {{first}, {second}};
  plot.panels.push_back(panel);
  return plot;
}

TEST(PanelSvgTest, PointsCarryTheirValuesAndLinkToTheirRun) {
  const Plot plot = two_points();
  const std::string svg = panel_svg(plot, plot.panels[0]);
  EXPECT_THAT(svg, StartsWith("<svg viewBox="));
  EXPECT_THAT(svg,
              HasSubstr("<title>a_1, RTN &amp; co: ok_h 0.50 (0.40 to 0.60), 4 items</title>"));
  EXPECT_THAT(svg, HasSubstr("href=\"#run-aaaaaaaaaaaa\""));
  EXPECT_THAT(svg, HasSubstr("aria-label=\"What's &quot;shown&quot;: ok_h\""));
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
}

TEST(GnuplotTest, ScriptsQuoteEveryText) {
  const std::string script = gnuplot_script(two_points(), "svg", "it's.svg");
  EXPECT_THAT(script, HasSubstr("set output 'it''s.svg'"));
  EXPECT_THAT(script, HasSubstr("'x`y' 1"));
  EXPECT_THAT(script, HasSubstr("noenhanced"));  // a_1 is no subscript
}

TEST(GnuplotTest, ALevelIsNamedOnceWhereThereIsALegend) {
  Plot plot = two_points();
  plot.panels[0].levels = {{"16 bits", .9}};
  plot.panels.push_back(plot.panels[0]);
  auto names = [&] {
    const std::string script = gnuplot_script(plot, "svg", "out.svg");
    int count = 0;
    for (std::size_t at = 0; (at = script.find("title '16 bits'", at)) != std::string::npos; ++at)
      ++count;
    return count;
  };
  EXPECT_EQ(names(), 1);
  plot.series.pop_back();
  for (PlotPanel& panel : plot.panels) panel.series.pop_back();
  EXPECT_EQ(names(), 2);
}

TEST(GnuplotTest, EveryKindIsDrawnAndTheSameTwice) {
  TemporaryFolder folder;
  Plot plot = two_points();
  for (PlotKind kind : {PlotKind::dots, PlotKind::stacked, PlotKind::scatter, PlotKind::lines}) {
    plot.kind = kind;
    const std::string once = (folder / "once.svg").string(),
                      again = (folder / "again.svg").string();
    draw_with_gnuplot(plot, "svg", once);
    draw_with_gnuplot(plot, "svg", again);
    const std::string svg = read_file(once);
    EXPECT_THAT(svg, HasSubstr("</svg>"));
    EXPECT_THAT(svg, HasSubstr("RTN &amp; co"));
    EXPECT_EQ(svg, read_file(again));
  }
  const std::string pdf = (folder / "plot.pdf").string();
  draw_with_gnuplot(plot, "pdfcairo", pdf);
  EXPECT_THAT(read_file(pdf), StartsWith("%PDF-"));
}

TEST(GnuplotTest, WithoutTheProgramTheErrorSaysHowToGetIt) {
  const ScopedVariable path("PATH", "/nowhere");
  EXPECT_THAT(error_of([] { draw_with_gnuplot(two_points(), "svg", "out.svg"); }),
              HasSubstr("apt-get install --no-install-recommends gnuplot-nox"));
}

TEST(GnuplotTest, AFolderThatIsNotThereIsSaid) {
  EXPECT_THAT(error_of([] { draw_with_gnuplot(two_points(), "svg", "/nowhere/out.svg"); }),
              HasSubstr("is the folder there"));
}

TEST(PgfplotsTest, ValuesIntervalsAndNamesAreInTheSource) {
  const std::string tex = to_pgfplots(two_points());
  EXPECT_THAT(tex, HasSubstr("\\begin{groupplot}"));
  EXPECT_THAT(tex, HasSubstr("(0.5,-0.175) +- (0.1,0)"));
  EXPECT_THAT(tex, HasSubstr("RTN \\& co"));
  EXPECT_THAT(tex, HasSubstr("\\addlegendentry{a\\_1}"));
}

TEST(PgfplotsTest, ALineOfManyPointsHasNoMarksAndNoIntervals) {
  Plot plot{"training", "Training", PlotKind::lines, {"AAQ"}, {}, {PlotPanel{}}, {}};
  plot.panels[0].series.resize(1);
  for (std::size_t step = 0; step <= kMostMarks; ++step)
    plot.panels[0].series[0].push_back(
        {static_cast<double>(step), estimate({{.5, .1, 10, "m"}}), {"run"}});
  EXPECT_THAT(to_pgfplots(plot), AllOf(HasSubstr("no marks"), Not(HasSubstr("+-"))));
  plot.panels[0].series[0].pop_back();
  EXPECT_THAT(to_pgfplots(plot), AllOf(Not(HasSubstr("no marks")), HasSubstr("+-")));
}

}  // namespace
}  // namespace harness::test
