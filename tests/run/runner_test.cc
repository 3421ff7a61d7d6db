#include "harness/run/runner.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gmock/gmock.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <utility>

#include "harness/quant/quantized_folder.h"
#include "harness/run/training.h"
#include "harness/train/world_pair.h"
#include "tests/run/fixture.h"

namespace harness {
namespace {

using testing::HasSubstr;

struct NoConfig {
  template <class V>
  void visit(V&&) {}
};

/// An eval that goes wrong in the way its name says.
template <class Failure>
class FailingEval : public Eval {
 public:
  explicit FailingEval(NoConfig) {}
  std::string protocol(const DataContext&) const override { return "failing/1"; }
  int version() const override { return 1; }
  void check(const DataContext&, Problems&) const override {}
  std::vector<DataUse> data(const DataContext&) const override { return {}; }
  std::vector<Metric> run(EvalContext&) const override {
    ++tries;
    throw Failure();
  }
  static inline int tries = 0;
};
struct Broken : std::runtime_error {
  Broken() : std::runtime_error("this eval is broken") {}
};

/// An eval while which something else happens.
class MeanwhileEval : public Eval {
 public:
  explicit MeanwhileEval(NoConfig) {}
  std::string protocol(const DataContext&) const override { return "meanwhile/1"; }
  int version() const override { return 1; }
  void check(const DataContext&, Problems&) const override {}
  std::vector<DataUse> data(const DataContext&) const override { return {}; }
  std::vector<Metric> run(EvalContext&) const override {
    if (const auto happens = std::exchange(meanwhile, {})) happens();
    return {};
  }
  static inline std::function<void()> meanwhile;
};

/// Compares the run's model with its references.
class ReferenceEval : public Eval {
 public:
  explicit ReferenceEval(NoConfig) {}
  std::string protocol(const DataContext&) const override { return "references/1"; }
  int version() const override { return 1; }
  EvalTraits traits() const override { return {.uses_seed = false, .needs_base = true}; }
  void check(const DataContext&, Problems&) const override {}
  std::vector<DataUse> data(const DataContext&) const override { return {}; }
  std::vector<Metric> run(EvalContext& context) const override {
    at::Tensor tokens = at::arange(3, 19, at::kLong).unsqueeze(0);
    auto distance = [&](References::Role role) {
      at::Tensor difference =
          context.references.model(role).logits(tokens) - context.model.logits(tokens);
      return difference.abs().max().item<double>();
    };
    return {{"to aligned", distance(References::Role::aligned), std::nullopt, 1},
            {"to base", distance(References::Role::base), std::nullopt, 1}};
  }
};

/// An eval that scores single tokens after growing prompts.
class ScoringEval : public Eval {
 public:
  explicit ScoringEval(NoConfig) {}
  std::string protocol(const DataContext&) const override { return "scoring/1"; }
  int version() const override { return 1; }
  void check(const DataContext&, Problems&) const override {}
  std::vector<DataUse> data(const DataContext&) const override { return {}; }
  std::vector<Metric> run(EvalContext& context) const override {
    std::vector<ScoreRequest> requests;
    for (std::int64_t i = 0; i < 40; ++i)
      requests.push_back({std::vector<std::int64_t>(static_cast<std::size_t>(1 + i), 3 + i), {7}});
    double sum = 0;
    for (const Score& score : context.model.score(requests, context.progress))
      sum += score.log_likelihood;
    return {{"sum", sum, std::nullopt, 40}};
  }
};

/// Stops what it shows at an update.
class InterruptAt : public Progress {
 public:
  explicit InterruptAt(int update) : left_(update) {}
  void update(std::string_view, double, double) override {
    if (--left_ == 0) throw Interrupted();
  }

 private:
  int left_;
};

/// A method that needs calibration tokens and writes their sum into a norm, so that it shows in the
/// results.
class CalibratedMethod : public Method {
 public:
  explicit CalibratedMethod(NoConfig) {}
  MethodTraits traits() const override {
    return {.quantizes_weights = false,
            .needs_calibration = true,
            .needs_base = false,
            .uses_seed = true};
  }
  int version() const override { return 1; }
  void check(const Format&, const LlamaConfig&, Problems&) const override {}
  void apply(MethodContext& context) const override {
    double factor = 1 + context.calibration->tokens().to(at::kDouble).mean().item<double>() / 1000;
    context.model.final_norm() = context.model.final_norm() * factor;
  }
};

class RunnerTest : public testing::Test {
 protected:
  void SetUp() override {
    test::write_file(text_, test::some_text());
    register_all_plugins(plugins_);
    plugins_.add_eval<FailingEval<Broken>, NoConfig>("broken", "fails");
    plugins_.add_eval<FailingEval<Interrupted>, NoConfig>("interrupted", "is stopped");
    plugins_.add_eval<MeanwhileEval, NoConfig>("meanwhile", "lets something happen");
    plugins_.add_eval<ReferenceEval, NoConfig>("references", "compares");
    plugins_.add_eval<ScoringEval, NoConfig>("scoring", "scores");
    plugins_.add_method<CalibratedMethod, NoConfig>("calibrated", "reads calibration");
  }
  Plan plan(const std::string& runs, const ExperimentOptions& options = {}) {
    return make_plan(test::tiny_experiment(text_.string(), runs, options), plugins_);
  }
  RunSummary run(const std::string& runs, const std::string& database = "a.sqlite",
                 const ExperimentOptions& options = {}) {
    auto store = ResultStore::open(folder_ / database);
    return run_plan(plan(runs, options), *store, no_progress());
  }
  /// One cell of a query, as text.
  std::string cell(const std::string& sql, const std::string& database = "a.sqlite") {
    auto result = ResultStore::open_read_only(folder_ / database)->query(sql);
    if (result.rows.size() != 1) return "rows: " + std::to_string(result.rows.size());
    return result.rows[0][0].value_or("NULL");
  }
  Plugins plugins_;
  test::TemporaryFolder folder_;
  std::filesystem::path text_ = folder_ / "text.txt";
};

const char* const kTwoRuns =
    "[[run]]\nlabel='none'\n[[run]]\nlabel='RTN'\nformat='w4a4kv4'\nmethods=['rtn']\n";

TEST_F(RunnerTest, StoresMetricsItemsAndProvenance) {
  RunSummary summary = run(kTwoRuns);
  EXPECT_EQ(summary.succeeded, 2);
  EXPECT_EQ(summary.failed, 0);
  EXPECT_EQ(cell("select count(*) from items"), "12");
  EXPECT_EQ(cell("select count(*) from metrics where name = 'perplexity' and status = 'finite'"),
            "2");
  EXPECT_EQ(cell("select count(distinct value) from metrics where name = 'perplexity'"), "2");
  EXPECT_EQ(cell("select count(*) from attempts where status <> 'succeeded'"), "0");
  for (const char* key : {"harness.commit", "libtorch.version", "arrow.version", "sqlite.version",
                          "threads", "device", "model.digest", "tokenizer.digest", "data.text.txt"})
    EXPECT_NE(cell(std::string("select count(*) from provenance where key = '") + key + "'"), "0")
        << key;
  EXPECT_EQ(cell("select min(wall_seconds) > 0 and min(peak_memory_bytes) > 1000000 from attempts"),
            "1");
}

TEST_F(RunnerTest, WhatIsStoredIsNotDoneAgain) {
  run(kTwoRuns);
  std::string attempts = cell("select count(*) from attempts");
  EXPECT_EQ(run(kTwoRuns).succeeded, 2);
  EXPECT_EQ(cell("select count(*) from attempts"), attempts);
  // A new row is done, the stored ones are not.
  run(std::string(kTwoRuns) + "[[run]]\nlabel='W8'\nformat='w8a16'\nmethods=['rtn']\n");
  EXPECT_EQ(cell("select count(*) from attempts"), std::to_string(std::stoi(attempts) + 3));
}

TEST_F(RunnerTest, TwoRunsFromScratchAreEqualToTheLastDigit) {
  run(kTwoRuns, "a.sqlite");
  run(kTwoRuns, "b.sqlite");
  const char* metrics =
      "select group_concat(value || name) from (select * from metrics order by value, name)";
  const char* items = "select group_concat(score) from (select * from items order by score)";
  EXPECT_EQ(cell(metrics, "a.sqlite"), cell(metrics, "b.sqlite"));
  EXPECT_EQ(cell(items, "a.sqlite"), cell(items, "b.sqlite"));
}

// Methods, references and evals of models whose weights do not fit into what they may take.
TEST_F(RunnerTest, AMemoryLimitChangesNoDigit) {
  const test::ScopedVariable cache("HARNESS_CACHE", (folder_ / "cache").string());
  test::write_random_model(folder_ / "base", test::random_config(), 5);
  const std::string runs = "base = '" + (folder_ / "base").string() +
                           "'\ncalibration = { text = '" + (folder_ / "other.txt").string() +
                           "', samples = 8, length = 32 }\n"
                           "[[run]]\nlabel='aaq'\nformat='w4a4kv4'\nmethods=[{name='aaq', steps=2, "
                           "top_k=20, push_top_k=10}, 'gptq']\n"
                           "[[run]]\nlabel='both'\nevals=['references']\n";
  test::write_file(folder_ / "other.txt", "Another text. " + test::some_text());
  test::write_random_model(folder_ / "model", test::random_config(), 6);
  const std::string model = "model=" + (folder_ / "model").string();
  EXPECT_EQ(run(runs, "a.sqlite", {.set = {model}}).succeeded, 2);
  std::filesystem::remove_all(folder_ / "cache");  // nothing that the first run left
  EXPECT_EQ(run(runs, "b.sqlite", {.set = {model, "memory_limit=120 kB"}}).succeeded, 2);
  const char* metrics =
      "select group_concat(value || name) from (select * from metrics order by value, name)";
  const char* items = "select group_concat(score) from (select * from items order by score)";
  EXPECT_EQ(cell(metrics, "a.sqlite"), cell(metrics, "b.sqlite"));
  EXPECT_EQ(cell(items, "a.sqlite"), cell(items, "b.sqlite"));
  EXPECT_EQ(cell("select distinct value from provenance where key = 'memory_limit'", "b.sqlite"),
            "120000");
}

TEST_F(RunnerTest, IntegerExecutionMeasuresWhatIsSimulatedInFloat32) {
  const std::string format = "format='w4a8'\nmethods=['quarot', 'rtn']\n";
  EXPECT_EQ(run("[[run]]\nlabel='simulated'\n" + format +
                "[[run]]\nlabel='integer'\nexecution='integer'\n" + format)
                .succeeded,
            2);
  EXPECT_EQ(cell("select count(*) from metrics where name = 'perplexity'"), "2");
  EXPECT_EQ(cell("select max(value) / min(value) < 1.0001 from metrics where name = 'perplexity'"),
            "1");
  EXPECT_EQ(cell("select count(distinct attempt) from provenance where key = 'execution'"),
            "4");  // the run's load, two methods and eval
}

// The codes are those that the folder holds.
TEST_F(RunnerTest, AQuantizedFolderIsComputedFromItsIntegers) {
  quantize_run(plan("[[run]]\nlabel='RTN'\nformat='w8a8'\nmethods=['rtn']\n"),
               *ResultStore::open(folder_ / "q.sqlite"), no_progress(), folder_ / "out");
  run("[[run]]\nlabel='made'\nexecution='integer'\nformat='w8a8'\nmethods=['rtn']\n"
      "[[run]]\nlabel='stored'\nexecution='integer'\nmodel='" +
      (folder_ / "out").string() + "'\n");
  EXPECT_EQ(cell("select count(*) from metrics where name = 'perplexity'"), "2");
  EXPECT_EQ(cell("select count(distinct value) from metrics where name = 'perplexity'"), "1");
}

TEST_F(RunnerTest, AFailedRunIsARowAndTheOthersGoOn) {
  RunSummary summary = run("[[run]]\nlabel='bad'\nevals=['broken', {name='perplexity', text='" +
                           text_.string() + "', window=64}]\n[[run]]\nlabel='good'\n");
  EXPECT_EQ(summary.succeeded, 1);
  EXPECT_EQ(summary.failed, 1);
  EXPECT_EQ(cell("select message from attempts where status = 'failed'"), "this eval is broken");
  EXPECT_EQ(cell("select count(*) from metrics where name = 'perplexity'"), "2");
}

TEST_F(RunnerTest, WhatFailedJustNowIsNotTriedAgainHereOrInAnotherProcess) {
  int& tries = FailingEval<Broken>::tries = 0;
  // Runs that differ in their labels share the stage.
  const std::string two =
      "[[run]]\nlabel='a'\nevals=['broken']\n"
      "[[run]]\nlabel='b'\nevals=['broken', 'meanwhile']\n";
  EXPECT_EQ(run(two).failed, 2);
  EXPECT_EQ(tries, 1);
  // Both rows show it.
  EXPECT_EQ(cell("select count(*) from results where message = 'this eval is broken'"), "2");
  EXPECT_EQ(run(two).failed, 2);
  EXPECT_EQ(tries, 2);
  // Another process takes the second run while this one is at the first.
  const std::string shared =
      "[[run]]\nlabel='c'\nformat='w8a8'\nmethods=['rtn']\nevals=['meanwhile']\n"
      "[[run]]\nlabel='d'\nformat='w4a8'\nmethods=['rtn']\nevals=['broken']\n";
  MeanwhileEval::meanwhile = [&] {
    EXPECT_EQ(run(shared, "a.sqlite", {.only = {"d"}}).failed, 1);
    EXPECT_EQ(tries, 3);
  };
  EXPECT_EQ(run(shared).failed, 1);
  EXPECT_EQ(tries, 3);
}

TEST_F(RunnerTest, AMethodThatFailsFailsItsRunOnly) {
  // One token more than the model has positions: known only when the text is tokenised.
  RunSummary summary = run("[[run]]\nlabel='bad'\nevals=[{name='perplexity', text='" +
                           text_.string() + "', window=129}]\n[[run]]\nlabel='good'\n");
  EXPECT_EQ(summary.failed, 1);
  EXPECT_EQ(summary.succeeded, 1);
  EXPECT_THAT(cell("select message from attempts where status = 'failed'"),
              HasSubstr("128 positions"));
}

TEST_F(RunnerTest, AnInterruptKeepsWhatIsFinishedAndGoesOnLater) {
  std::string runs = std::string("[[run]]\nlabel='first'\n") +
                     "[[run]]\nlabel='second'\nevals=['interrupted']\n[[run]]\nlabel='third'"
                     "\nformat='w4a16'\nmethods=['rtn']\n";
  RunSummary summary = run(runs);
  EXPECT_TRUE(summary.interrupted);
  EXPECT_EQ(summary.succeeded, 1);
  EXPECT_EQ(cell("select count(*) from attempts where status = 'interrupted'"), "1");
  EXPECT_EQ(cell("select count(*) from metrics where name = 'perplexity'"), "1");
}

TEST_F(RunnerTest, AnEvalThatWasStoppedGoesOnWithItsBatchOfScores) {
  const test::TemporaryFolder cache;
  const test::ScopedVariable variable("HARNESS_CACHE", cache.path().string());
  const std::string runs = "[[run]]\nlabel='a'\nbatch_tokens=50\nevals=['scoring']\n";
  auto files = [&] {
    std::vector<std::filesystem::path> found;
    for (const auto& entry : std::filesystem::directory_iterator(cache / "stages"))
      found.push_back(entry.path());
    return found;
  };
  EXPECT_EQ(run(runs, "whole.sqlite").succeeded, 1);
  EXPECT_THAT(files(), testing::IsEmpty());

  auto store = ResultStore::open(folder_ / "a.sqlite");
  InterruptAt third(3);
  EXPECT_TRUE(run_plan(plan(runs), *store, third).interrupted);
  ASSERT_EQ(files().size(), 1u);
  const auto size = std::filesystem::file_size(files()[0]);
  EXPECT_EQ(run_plan(plan(runs), *store, no_progress()).succeeded, 1);
  EXPECT_GT(size, 3 * 100u);
  EXPECT_THAT(files(), testing::IsEmpty());
  const char* sum = "select value from metrics where name = 'sum'";
  EXPECT_EQ(cell(sum, "a.sqlite"), cell(sum, "whole.sqlite"));
  // What is computed at once moves last digits, and is another stage.
  auto key = [&](const char* budget) {
    return plan(runs, {.set = {budget}}).runs[0].eval_stages[0].key;
  };
  EXPECT_NE(key("run.a.batch_tokens=51"), key("run.a.batch_tokens=50"));
}

/// A plan whose runs also need a pair that cannot be trained: its criterion is never met.
class NeverMet : public Criterion {
 public:
  Result evaluate(const LlamaModel&) const override { return {{{"goodness", 0.25}}, false}; }
  std::string canonical() const override { return "never"; }
};

TEST_F(RunnerTest, APairThatFailsToTrainFailsItsRunsAndIsTriedOnce) {
  const test::ScopedVariable cache("HARNESS_CACHE", (folder_ / "cache").string());
  TrainRecipe recipe = world_recipe(0, 2);
  recipe.phases[1].criterion = std::make_shared<NeverMet>();
  recipe.phases[1].criterion_required = true;
  const auto pair = std::make_shared<const Pair>("world", std::move(recipe));
  Plan two = plan(kTwoRuns);
  for (PlannedRun& run : two.runs) {
    run.pairs = {pair};
    run.train_stages = {training_stage(pair->recipe(), 0), training_stage(pair->recipe(), 1)};
  }
  const RunSummary summary = run_plan(two, *ResultStore::open(folder_ / "a.sqlite"), no_progress());
  EXPECT_EQ(summary.failed, 2);
  EXPECT_THAT(cell("select message from attempts where status = 'failed'"),
              HasSubstr("criterion was not met within 1 steps"));
  // Tried once each, and both runs show it.
  EXPECT_EQ(cell("select count(*) from results where message like '%criterion was not met%'"), "2");
  EXPECT_EQ(cell("select group_concat(n) from (select count(*) as n from attempts join stages on "
                 "stage_key = key where kind = 'train' group by name order by name)"),
            "1,1");
  EXPECT_EQ(cell("select count(*) from curves where series = 'loss'"), "3");
  EXPECT_FALSE(std::filesystem::exists(pair->folder("aligned") / "model.safetensors"));
}

TEST_F(RunnerTest, APairIsTrainedByTheFirstRunThatNeedsItAndItsCurveIsStored) {
  const test::ScopedVariable cache("HARNESS_CACHE", (folder_ / "cache").string());
  const char* runs =
      "[[run]]\nlabel='aligned'\nmodel='pair:world/aligned@0+2'\nevals=[{name='skill', limit=8}]\n"
      "[[run]]\nlabel='base'\nmodel='pair:world/base@0+2'\nevals=[{name='skill', limit=8}, "
      "{name='perplexity', text='world-test', window=64, limit=2}]\n";
  EXPECT_EQ(run(runs).succeeded, 2);
  EXPECT_EQ(
      cell("select count(*) from attempts join stages on stage_key = key where kind = 'train'"),
      "2");
  EXPECT_EQ(cell("select count(*) from curves where series = 'loss'"), "3");
  EXPECT_EQ(cell("select count(distinct model) from results where kind = 'eval'"), "2");
  // Another database takes the pair from the cache, with its curve.
  EXPECT_EQ(run(runs, "b.sqlite").succeeded, 2);
  const char* curve =
      "select group_concat(value) from (select value from curves order by series, step, value)";
  EXPECT_EQ(cell(curve, "b.sqlite"), cell(curve));
}

TEST_F(RunnerTest, ReferencesAreTheUnquantizedModelAndTheBase) {
  run("base = '" + test::golden("tiny").string() +
      "'\n[[run]]\nlabel='none'\nevals=['references']\n"
      "[[run]]\nlabel='RTN'\nformat='w3a16'\nmethods=['rtn']\nevals=['references']\n");
  EXPECT_EQ(cell("select count(*) from metrics where value = 0"), "2");
  EXPECT_EQ(cell("select count(*) from metrics where value > 0.01"), "2");
}

TEST_F(RunnerTest, AnEvalThatNeedsABaseSaysSoBeforehand) {
  EXPECT_THAT(test::error_of([&] { plan("[[run]]\nlabel='a'\nevals=['references']\n"); }),
              HasSubstr("needs the pre-trained base"));
}

TEST_F(RunnerTest, CalibrationReachesTheMethodAndItsSeedTheKey) {
  test::write_file(folder_ / "calibration.txt", "Another text. " + test::some_text());
  std::string runs = "calibration = { text = '" + (folder_ / "calibration.txt").string() +
                     "', samples = 2, length = 16 "
                     "}\n[[run]]\nlabel='c'\nmethods=['calibrated']\n[sweep]\nseed=[0,1]\n";
  EXPECT_EQ(run(runs).succeeded, 2);
  EXPECT_EQ(cell("select count(distinct value) from metrics where name = 'perplexity'"), "2");
  EXPECT_THAT(test::error_of([&] { plan("[[run]]\nlabel='c'\nmethods=['calibrated']\n"); }),
              HasSubstr("needs calibration text"));
}

/// A run whose transform is trained on `text`.
std::string trained(const std::filesystem::path& text, const std::string& method,
                    const std::string& options) {
  return "calibration={ text='" + text.string() +
         "', samples=4, length=16, allow_overlap=true }\n[[run]]\nlabel='a'\nformat='w4a4kv4'\n"
         "methods=[{ name='" +
         method + "', batch=2, top_k=8, " + options + " }, 'rtn']\n";
}

TEST_F(RunnerTest, TrainedMethodsStoreCurvesAndMetrics) {
  const test::ScopedVariable cache("HARNESS_CACHE", (folder_ / "cache").string());
  ASSERT_EQ(run(trained(text_, "ostquant", "steps=4")).succeeded, 1);
  EXPECT_EQ(cell("select count(*) from curves where series = 'pull'"), "4");
  const char* const kEnd =
      "select count(*) from metrics m join curves c on c.attempt = m.attempt and c.series = 'pull' "
      "and c.step = 4 and c.value = m.value where m.name = 'pull_end'";
  EXPECT_EQ(cell(kEnd), "1");
  // Another database knows nothing of the run; the cache gives it the same transform.
  ASSERT_EQ(run(trained(text_, "ostquant", "steps=4"), "b.sqlite").succeeded, 1);
  const char* const kPerplexity = "select value from metrics where name = 'perplexity'";
  EXPECT_EQ(cell(kPerplexity), cell(kPerplexity, "b.sqlite"));
  EXPECT_EQ(cell("select count(*) from curves where series = 'pull'", "b.sqlite"), "4");
  // The sequences that were drawn stand by their digest, with the method that wanted them.
  const char* const kTokens =
      "select s.name || ' ' || p.value from provenance p join attempts a on a.id = p.attempt "
      "join stages s on s.key = a.stage_key where p.key = 'calibration.tokens'";
  EXPECT_THAT(cell(kTokens), testing::MatchesRegex("ostquant [0-9a-f]{64}"));
  EXPECT_EQ(cell(kTokens), cell(kTokens, "b.sqlite"));
}

TEST_F(RunnerTest, ATrainingThatDivergesIsAFailedRunWithItsCurve) {
  const test::ScopedVariable cache("HARNESS_CACHE", (folder_ / "cache").string());
  const RunSummary summary = run(trained(text_, "ostquant", "steps=20, lr_scale=3, stop_pull=1.1"));
  EXPECT_EQ(summary.failed, 1);
  EXPECT_THAT(cell("select message from attempts where status = 'failed'"),
              HasSubstr("diverged at step"));
  EXPECT_NE(cell("select count(*) from curves where series = 'pull'"), "0");
}

TEST_F(RunnerTest, APushThatDivergesIsAFailedRunWithItsCurve) {
  const test::ScopedVariable cache("HARNESS_CACHE", (folder_ / "cache").string());
  test::write_random_model(folder_ / "base", test::random_config(), 1);
  const RunSummary summary = run(
      "base='" + (folder_ / "base").string() + "'\n" +
      trained(text_, "aaq", "steps=40, alpha=20.0, push_top_k=4, lr_rotation=0.5, lr_scale=0.5"));
  EXPECT_EQ(summary.failed, 1);
  EXPECT_THAT(cell("select message from attempts where status = 'failed'"),
              HasSubstr("diverged at step"));
  // Away from the base, at the cost of the pull.
  for (const char* series : {"pull", "push"}) {
    const std::string of = fmt::format("from curves where series = '{}'", series);
    EXPECT_GT(std::stod(cell("select max(value) " + of)),
              std::stod(cell("select value " + of + " order by step limit 1")));
  }
}

TEST_F(RunnerTest, ABaseOfAnotherShapeIsRefused) {
  const std::filesystem::path other = folder_ / "other";
  LlamaConfig config = test::random_config();
  config.hidden_size = 24;
  test::write_random_model(other, config, 0);
  const std::string text = test::error_of([&] {
    plan("base='" + other.string() + "'\n" + trained(text_, "aaq", "steps=4, push_top_k=4"));
  });
  EXPECT_THAT(text, testing::AllOf(HasSubstr("of another shape"), HasSubstr("hidden_size")));
}

TEST_F(RunnerTest, ABaseOfAnotherVocabularyIsRefusedWithWhatDiffers) {
  const std::filesystem::path base = folder_ / "base";
  const std::string run =
      "base='" + base.string() + "'\n" + trained(text_, "aaq", "steps=4, push_top_k=4");
  LlamaConfig config = test::random_config();
  config.vocab_size = 320;
  test::write_random_model(base, config, 0);
  EXPECT_THAT(test::error_of([&] { plan(run); }), HasSubstr("vocab_size 320 instead of 300"));
  // As many tokens, some of them others.
  test::write_random_model(base, test::random_config(), 0);
  std::string tokens = test::read_file(base / "tokenizer.json");
  auto swap = [&](const std::string& a, const std::string& b) {
    const std::size_t at = tokens.find(a);
    tokens.replace(tokens.find(b), b.size(), b.substr(0, 4) + a.substr(4));
    tokens.replace(at, a.size(), a.substr(0, 4) + b.substr(4));
  };
  swap("\"#\":2", "\"$\":3");
  test::write_file(base / "tokenizer.json", tokens);
  EXPECT_NO_THROW(plan(run));  // as many as a fine-tune may have named
  swap("\"%\":4", "\"&\":5");
  test::write_file(base / "tokenizer.json", tokens);
  EXPECT_THAT(test::error_of([&] { plan(run); }),
              HasSubstr("4 of 300 token ids stand for another text, such as 2: \"#\" and \"$\""));
}

struct FolderCase {
  const char *dtype, *run;
};

/// What a run leaves behind as a folder, started from again.
class QuantizedFolder : public RunnerTest, public testing::WithParamInterface<FolderCase> {
 protected:
  std::string perplexity(const std::string& runs, const std::string& database) {
    EXPECT_EQ(run(runs, database).succeeded, 1);
    return cell("select value from metrics where name = 'perplexity'", database);
  }
};

TEST_P(QuantizedFolder, GivesTheRunsOwnNumbers) {
  const test::ScopedVariable cache("HARNESS_CACHE", (folder_ / "cache").string());
  const std::string runs = fmt::format(
      "base='{}'\ncalibration={{text='{}', samples=4, length=16, allow_overlap=true}}\n[[run]]\n"
      "label='q'\ndtype='{}'\n{}\n",
      test::golden("tiny").string(), text_.string(), GetParam().dtype, GetParam().run);
  const std::string expected = perplexity(runs, "run.sqlite");
  quantize_run(plan(runs), *ResultStore::open(folder_ / "quantize.sqlite"), no_progress(),
               folder_ / "out");
  for (const auto& [place, database] :
       {std::pair("out", "canonical.sqlite"), {"out/fake-quantized", "view.sqlite"}}) {
    const std::string stored = fmt::format("[[run]]\nlabel='stored'\nmodel='{}'\ndtype='{}'\n",
                                           (folder_ / place).string(), GetParam().dtype);
    EXPECT_EQ(perplexity(stored, database), expected) << place;
    EXPECT_THAT(test::error_of([&] { plan(stored + "format='w4a16'\nmethods=['rtn']\n"); }),
                HasSubstr("is quantized already"));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Runs, QuantizedFolder,
    testing::Values(
        FolderCase{"fp32", "format='w4a16g16'\nmethods=['rtn']"},
        FolderCase{"fp32",
                   "format={ w = { bits = 3, symmetric = false }, a = 4, k = 4, v = 4 }\n"
                   "methods=['quarot', 'gptq']"},
        FolderCase{"bf16",
                   "format='w4a4kv4'\n"
                   "methods=[{ name='aaq', steps=2, top_k=8, push_top_k=4 }, 'rtn']"},
        FolderCase{"fp32", "format='w16a4kv4'\nmethods=[{ name='quarot', variant='lite' }]"}));

// Nothing is online and activations stay as they are, so transformers reads the view to the same
// logits.
TEST_F(RunnerTest, TransformersComputesTheSameWithTheView) {
  const auto golden = nlohmann::json::parse(test::read_file(test::golden("quantize/golden.json")));
  quantize_run(plan("[[run]]\nlabel='RTN'\nformat='w4a16g16'\nmethods=['rtn']\n"),
               *ResultStore::open(folder_ / "q.sqlite"), no_progress(), folder_ / "out");
  for (const char* place : {"out", "out/fake-quantized"}) {
    const auto checkpoint = open_checkpoint((folder_ / place).string());
    const at::NoGradGuard no_gradients;
    const at::Tensor logits =
        load_as_stored(*checkpoint, at::kFloat, at::kCPU)
            ->logits(at::tensor(golden["tokens"].get<std::vector<std::int64_t>>()).unsqueeze(0))[0]
            .to(at::kDouble);
    const at::Tensor last = at::tensor(golden["last"].get<std::vector<double>>(), at::kDouble);
    EXPECT_LE((logits[-1] - last).abs().max().item<double>(), 1e-4) << place;
    EXPECT_NEAR(logits.square().sum().item<double>() / golden["squares"].get<double>(), 1, 1e-5);
  }
}

TEST_F(RunnerTest, OneRunIsQuantizedAtATime) {
  EXPECT_THAT(test::error_of([&] {
                quantize_run(plan("format='w4a16'\nmethods=['rtn']\n[[run]]\nlabel='a'\n[[run]]\n"
                                  "label='b'\n"),
                             *ResultStore::open(folder_ / "q.sqlite"), no_progress(),
                             folder_ / "out");
              }),
              HasSubstr("2 runs: a, b"));
}

}  // namespace
}  // namespace harness
