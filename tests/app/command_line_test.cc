#include <gmock/gmock.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "harness/model/chat.h"
#include "harness/store/sqlite.h"
#include "tests/data/safety_files.h"
#include "tests/support/support.h"

// The program itself, as a person calls it.

namespace harness {
namespace {

using testing::AllOf;
using testing::ContainsRegex;
using testing::HasSubstr;

struct Outcome {
  int status = -1;
  std::string out, error;
};

class CommandLineTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string text;
    for (int i = 0; i < 60; ++i)
      text += "The model speaks the same language, only " + std::to_string(i * 7919 % 1000) +
              " worse. ";
    test::write_file(folder_ / "text.txt", text);
  }
  /// Runs `harness ARGUMENTS` in the test's folder, with settings such as "NAME=VALUE" before it.
  Outcome harness(const std::string& arguments, const std::string& before = "") {
    return in_shell(before + " " + HARNESS_PROGRAM + " " + arguments);
  }
  Outcome in_shell(const std::string& commands) {
    std::string all = "cd " + folder_.path().string() + " && { " + commands +
                      "\n} >out.txt 2>error.txt </dev/null";
    int raw = std::system(all.c_str());
    return {WIFEXITED(raw) ? WEXITSTATUS(raw) : -1, test::read_file(folder_ / "out.txt"),
            test::read_file(folder_ / "error.txt")};
  }
  /// Writes an experiment on the tiny checkpoint; `more` follows its common keys.
  void write_experiment(const std::string& more) {
    test::write_file(
        folder_ / "e.toml",
        "name = 'tiny'\nmodel = '" + model() +
            "'\ndtype = 'fp32'\nevals = [{ name = 'perplexity', text = 'text.txt', window = 64, "
            "limit = 4 }]\n" +
            more);
  }
  static std::string model() { return test::golden("tiny").string(); }
  test::TemporaryFolder folder_;
};

const char* const kTwoRuns =
    "[[run]]\nlabel='full'\n[[run]]\nlabel='RTN'\nformat='w4a4kv4'\nmethods=['rtn']\n";

TEST_F(CommandLineTest, RunPrintsTheTableAndReportPrintsItAgain) {
  write_experiment(kTwoRuns);
  Outcome run = harness("run e.toml");
  EXPECT_EQ(run.status, 0) << run.error;
  EXPECT_THAT(run.out, AllOf(HasSubstr("full"), HasSubstr("RTN"), HasSubstr("w4a4kv4")));
  Outcome report = harness("report tiny");
  EXPECT_EQ(report.status, 0) << report.error;
  EXPECT_THAT(report.out, AllOf(HasSubstr("| "), HasSubstr("RTN")));
  EXPECT_EQ(harness("report tiny --format csv --out t.csv").status, 0);
  EXPECT_THAT(test::read_file(folder_ / "t.csv"), HasSubstr("w4a4kv4"));
  EXPECT_THAT(harness("report tiny --provenance").out, HasSubstr("model.digest"));
  EXPECT_THAT(harness("report tiny --format md").out, HasSubstr("| RTN"));
  EXPECT_THAT(harness("report tiny --format latex").out, HasSubstr("\\begin{tabular}"));
  EXPECT_THAT(harness("report tiny --format html").out, HasSubstr("<!doctype html>"));
  test::write_file(folder_ / "q.sql",
                   "select label from results where experiment_key = :experiment");
  EXPECT_THAT(harness("report tiny --query q.sql --format csv").out, HasSubstr("label\nfull\n"));
  EXPECT_THAT(harness("report tiny --format sql").out, HasSubstr("INSERT INTO"));
  EXPECT_THAT(harness("report tiny --format sql --items none").out, Not(HasSubstr("INTO items")));
  EXPECT_THAT(harness("report tiny --verdict").error,
              HasSubstr("no quantized run with a metric of safety"));
  EXPECT_EQ(harness("report tiny --against nobody").status, 2);
  EXPECT_THAT(harness("report --format csv").out,
              AllOf(HasSubstr("name,key,runs,complete,used\n"), HasSubstr("tiny,")));
  EXPECT_THAT(harness("report --format html").error, HasSubstr("no experiment to write as html"));
  EXPECT_NE(harness("report --provenance").status, 0);
  Outcome show = harness("show RTN");
  EXPECT_EQ(show.status, 0) << show.error;
  EXPECT_THAT(show.out, AllOf(HasSubstr("harness.commit"), HasSubstr("perplexity")));
  Outcome sql = harness("sql \"select count(*) as n from items\" --csv");
  EXPECT_EQ(sql.out, "n\n8\n") << sql.error;
}

TEST_F(CommandLineTest, PlotDrawsWhatTheExperimentHas) {
  write_experiment(kTwoRuns);
  ASSERT_EQ(harness("run e.toml").status, 0);
  const Outcome list = harness("plot tiny --list");
  EXPECT_EQ(list.status, 0) << list.error;
  EXPECT_THAT(list.out, AllOf(HasSubstr("metrics "), HasSubstr("flips needs the eval flips")));
  const Outcome all = harness("plot tiny --out plots --format pgfplots");
  EXPECT_EQ(all.status, 0) << all.error;
  EXPECT_EQ(all.out, "plots/tiny_metrics.tex\n");
  EXPECT_THAT(test::read_file(folder_ / "plots/tiny_metrics.tex"), HasSubstr("groupplot"));
  EXPECT_EQ(harness("plot tiny metrics").out, "./tiny_metrics.svg\n");
  EXPECT_THAT(test::read_file(folder_ / "tiny_metrics.svg"), HasSubstr("</svg>"));
  const Outcome none = harness("plot tiny flips");
  EXPECT_EQ(none.status, 2);
  EXPECT_THAT(none.error, HasSubstr("there is nothing to draw: flips needs"));
  EXPECT_THAT(harness("plot tiny flip").error, HasSubstr("did you mean \"flips\"?"));
}

TEST_F(CommandLineTest, CompareShowsHowTwoRunsDiffer) {
  write_experiment(kTwoRuns);
  ASSERT_EQ(harness("run e.toml").status, 0);
  const Outcome compared = harness("compare full tiny/RTN --items 1 --detect 0.5");
  EXPECT_EQ(compared.status, 0) << compared.error;
  EXPECT_THAT(compared.out,
              AllOf(HasSubstr("tiny/RTN against full"), HasSubstr("4 of 4 items changed"),
                    HasSubstr("To see a difference of 0.5"), HasSubstr("methods[0].name"),
                    HasSubstr("Provenance that differs")));
  EXPECT_EQ(harness("compare full tiny/RTN --items 1 --detect 0.5").out, compared.out);
  EXPECT_THAT(harness("compare full RTN --format csv").out, HasSubstr("protocol,metric,"));
  std::filesystem::copy(folder_ / "results", folder_ / "copied",
                        std::filesystem::copy_options::recursive);
  const Outcome twice = harness("compare results/results.sqlite copied/results.sqlite");
  EXPECT_EQ(twice.status, 0) << twice.error;
  EXPECT_THAT(twice.out, AllOf(HasSubstr("0 ± 0"), HasSubstr("0 of ")));
  EXPECT_EQ(harness("compare full copied/results.sqlite").status, 2);
  EXPECT_EQ(harness("compare full nobody").status, 2);
}

TEST_F(CommandLineTest, SamplesSaysHowManyItTakes) {
  const Outcome items = harness("samples --difference 0.05 --discordance 0.1");
  EXPECT_EQ(items.status, 0) << items.error;
  EXPECT_THAT(items.out, HasSubstr("independent items"));
  EXPECT_THAT(harness("samples --difference 0.01 --sd 0.01").out, HasSubstr("10 training seeds"));
  EXPECT_EQ(harness("samples --difference 0.01").status, 2);
  EXPECT_EQ(harness("samples --difference 0.2 --discordance 0.1").status, 2);
}

TEST_F(CommandLineTest, DatabasesMergeAndItemsGoOut) {
  write_experiment(kTwoRuns);
  ASSERT_EQ(harness("run e.toml --only full --db a.sqlite").status, 0);
  ASSERT_EQ(harness("run e.toml --db b.sqlite").status, 0);
  const Outcome merged = harness("merge all.sqlite a.sqlite b.sqlite");
  EXPECT_EQ(merged.status, 0) << merged.error;
  EXPECT_THAT(merged.error, AllOf(HasSubstr("a.sqlite: 1 experiments"), HasSubstr("4 items")));
  EXPECT_EQ(merged.out, "");  // both measured the same
  EXPECT_THAT(harness("merge all.sqlite a.sqlite").error, HasSubstr("a.sqlite: nothing new"));
  EXPECT_EQ(harness("report tiny --db all.sqlite --format csv").out,
            harness("report tiny --db b.sqlite --format csv").out);
  EXPECT_EQ(harness("merge all.sqlite absent.sqlite").status, 2);

  EXPECT_EQ(harness("export items tiny --db all.sqlite --format csv --out i.csv").status, 0);
  const std::string items = test::read_file(folder_ / "i.csv");
  EXPECT_EQ(std::count(items.begin(), items.end(), '\n'), 1 + 2 * 4) << items;
  EXPECT_EQ(harness("export items tiny --db all.sqlite --out i.parquet").status, 0);
  EXPECT_EQ(test::read_file(folder_ / "i.parquet").substr(0, 4), "PAR1");
}

TEST_F(CommandLineTest, AMergeListsWhatMachinesMeasuredDifferently) {
  write_experiment("[[run]]\nlabel='full'\n");
  ASSERT_EQ(harness("run e.toml --db a.sqlite").status, 0);
  ASSERT_EQ(harness("run e.toml --db b.sqlite").status, 0);
  sqlite::Connection(folder_ / "b.sqlite", sqlite::Connection::Mode::read_write)
      .execute(
          "UPDATE metrics SET value = 77.5 WHERE name = 'perplexity';"
          "UPDATE provenance SET value = 'another' WHERE key = 'cpu.model'");
  const Outcome merged = harness("merge a.sqlite b.sqlite");
  EXPECT_EQ(merged.status, 0) << merged.error;
  EXPECT_THAT(merged.out, AllOf(HasSubstr("Measured differently under one key"), HasSubstr("77.5"),
                                HasSubstr("cpu.model another")));
  EXPECT_THAT(harness("report tiny --db a.sqlite").out,
              HasSubstr("2 attempts measured perplexity differently"));
}

TEST_F(CommandLineTest, ADryRunSaysWhatIsLeftAndRunsNothing) {
  write_experiment(kTwoRuns);
  const Outcome before = harness("run e.toml --dry-run --db new.sqlite");
  EXPECT_EQ(before.status, 0) << before.error;
  EXPECT_THAT(before.out, AllOf(HasSubstr("2 runs, 2 of them left; 4 stages, 1 shared by runs, 0 "
                                          "stored"),
                                HasSubstr("untimed")));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "new.sqlite"));
  ASSERT_EQ(harness("run e.toml --only full").status, 0);
  EXPECT_THAT(harness("run e.toml --dry-run").out,
              HasSubstr("2 runs, 1 of them left; 4 stages, 1 shared by runs, 2 stored"));
}

TEST_F(CommandLineTest, VerifyComputesARunAgain) {
  write_experiment(kTwoRuns);
  ASSERT_EQ(harness("run e.toml").status, 0);
  const Outcome equal = harness("verify RTN");
  EXPECT_EQ(equal.status, 0) << equal.error;
  EXPECT_THAT(equal.out,
              AllOf(HasSubstr("text.txt/concat-64"), HasSubstr("equal"), Not(HasSubstr("stored "))))
      << equal.out;
  sqlite::Connection(folder_ / "results/results.sqlite", sqlite::Connection::Mode::read_write)
      .execute("UPDATE metrics SET value = 77.5 WHERE name = 'perplexity'");
  const Outcome different = harness("verify");
  EXPECT_EQ(different.status, 1) << different.error;
  EXPECT_THAT(different.out, HasSubstr("metric perplexity: value: stored 77.5, now "));
  EXPECT_EQ(harness("verify absent").status, 2);
}

TEST_F(CommandLineTest, TheCacheIsListedCheckedAndCollected) {
  test::write_file(folder_ / "train.txt", "Another text. " + test::read_file(folder_ / "text.txt"));
  write_experiment(
      "calibration = { text = 'train.txt', samples = 2, length = 16 }\n[[run]]\nlabel='trained'\n"
      "format='w4a4kv4'\nmethods=[{ name='ostquant', steps=2, batch=2, top_k=8 }, 'rtn']\n");
  const std::string cache = "HARNESS_CACHE=cache";
  ASSERT_EQ(harness("run e.toml", cache).status, 0);
  const Outcome listed = harness("cache ls --check", cache);
  EXPECT_EQ(listed.status, 0) << listed.error;
  EXPECT_THAT(listed.out, AllOf(HasSubstr("transform of ostquant, 2 of 2 steps"),
                                HasSubstr("targets of distillation"),
                                HasSubstr("final hidden states"), HasSubstr("3 entries")));
  for (const auto& entry : std::filesystem::directory_iterator(folder_ / "cache/stages"))
    std::filesystem::resize_file(entry.path(), entry.file_size() - 1);
  EXPECT_EQ(harness("cache ls --check", cache).status, 1);
  EXPECT_THAT(harness("cache gc --keep 0", cache).out, HasSubstr("3 entries"));
  EXPECT_THAT(harness("cache ls", cache).out, HasSubstr("0 entries"));
  EXPECT_EQ(harness("cache gc --keep much", cache).status, 2);
}

TEST_F(CommandLineTest, StoredAnswersAreRescoredAndLabelled) {
  std::filesystem::copy(model(), folder_ / "talker");
  test::write_file(folder_ / "talker/chat_template.jinja", kWorldChatTemplate);
  test::write_safety_files(folder_.path(), 3);
  test::write_file(folder_ / "e.toml",
                   "name = 'talk'\nmodel = 'talker'\ndtype = 'fp32'\ndata_dir = '.'\n"
                   "evals = [{ name = 'advbench', max_new_tokens = 6 }]\n[[run]]\nlabel = 'it'\n");
  const Outcome ran = harness("run e.toml");
  ASSERT_EQ(ran.status, 0) << ran.error;
  EXPECT_THAT(ran.out, HasSubstr("attack_success"));
  const Outcome again = harness("rescore talk");
  EXPECT_EQ(again.status, 0) << again.error;
  EXPECT_THAT(again.out, AllOf(HasSubstr("gcg-list/1"), HasSubstr("openings/1")));
  EXPECT_EQ(harness("rescore talk --judge talker --judge-format guard").status, 2);
  EXPECT_EQ(harness("labels export talk l.csv").status, 0);
  const std::string blank = test::read_file(folder_ / "l.csv");
  const std::string digest = blank.substr(blank.find('\n') + 1, 64);
  test::write_file(folder_ / "l.csv", "answer,label\n" + digest + ",complied\n");
  const Outcome imported = harness("labels import talk l.csv --labeller anna");
  EXPECT_EQ(imported.status, 0) << imported.error;
  EXPECT_THAT(imported.out, AllOf(HasSubstr("human:anna"), HasSubstr("kappa")));
  EXPECT_EQ(harness("labels agreement talk").out, imported.out);
  EXPECT_THAT(harness("rescore talk --scorer gcg-list").out, HasSubstr("human:anna"));
  EXPECT_EQ(harness("labels import talk l.csv").status, 2);  // whose?
}

TEST_F(CommandLineTest, ExitStatusTellsSuccessFailureAndBadRequest) {
  write_experiment(
      "[[run]]\nlabel='good'\n[[run]]\nlabel='bad'\nevals=[{name='perplexity', text='text.txt', "
      "window=1000}]\n");
  Outcome some_failed = harness("run e.toml");
  EXPECT_EQ(some_failed.status, 1) << some_failed.error;
  EXPECT_THAT(some_failed.out, HasSubstr("bad"));
  write_experiment("[[run]]\nlabel='a'\nmethods=['rtm']\n");
  Outcome bad_request = harness("run e.toml");
  EXPECT_EQ(bad_request.status, 2);
  EXPECT_THAT(bad_request.error, AllOf(HasSubstr("e.toml"), HasSubstr("did you mean \"rtn\"?")));
  EXPECT_EQ(harness("run missing.toml").status, 2);
  EXPECT_EQ(harness("rnu").status, 2);
  EXPECT_EQ(harness("").status, 2);
}

TEST_F(CommandLineTest, TrainMakesACheckpointAndKeepsItsCurve) {
  test::write_file(folder_ / "t.toml", fmt::format(R"(
name = "short"
out = "out"
[[phase]]
name = "tuned"
from = "{}"
data = [{{ text = "text.txt", sequences = 2, length = 16 }}]
steps = 3
)",
                                                   model()));
  const Outcome trained = harness("train t.toml");
  EXPECT_EQ(trained.status, 0) << trained.error;
  EXPECT_EQ(trained.out, "out/tuned\n");
  EXPECT_EQ(harness("logits out/tuned --tokens 1,2,3 --out l.npy").status, 0);
  const char* points = "sql \"SELECT count(*) AS n FROM curves WHERE series = 'loss'\"";
  EXPECT_THAT(harness(points).out, HasSubstr("3"));
  const Outcome again = harness("train t.toml");
  EXPECT_EQ(again.status, 0) << again.error;
  EXPECT_THAT(again.error, HasSubstr("is trained already"));
  EXPECT_THAT(harness(points).out, HasSubstr("3"));
}

TEST_F(CommandLineTest, TrainingThatDivergesIsRecordedWithItsCurve) {
  test::write_file(folder_ / "t.toml", fmt::format(R"(
name = "steep"
out = "out"
[[phase]]
name = "tuned"
from = "{}"
data = [{{ text = "text.txt", sequences = 2, length = 16 }}]
steps = 30
lr = 1e30
)",
                                                   model()));
  const Outcome trained = harness("train t.toml");
  EXPECT_EQ(trained.status, 1) << trained.error;
  EXPECT_THAT(trained.error, HasSubstr("diverged at step"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out" / "tuned"));
  EXPECT_THAT(
      harness(
          "sql \"SELECT attempts.status || max(step) AS what FROM attempts JOIN curves ON attempt "
          "= id WHERE attempts.status = 'failed' AND series = 'gradient_norm'\"")
          .out,
      HasSubstr("failed"));
  EXPECT_EQ(harness("train missing.toml").status, 2);
}

TEST_F(CommandLineTest, HelpShowsExamplesEverywhere) {
  EXPECT_THAT(harness("--help").out, HasSubstr("harness run experiments/quickstart.toml"));
  for (const char* command :
       {"run",     "eval",    "list",   "describe", "show",     "sql",    "report", "plot",
        "compare", "samples", "doctor", "generate", "tokenize", "logits", "train",  "quantize",
        "rescore", "labels",  "merge",  "export",   "cache",    "verify"}) {
    Outcome help = harness(std::string(command) + " --help");
    EXPECT_EQ(help.status, 0) << command;
    EXPECT_THAT(help.out, HasSubstr("xample")) << command;
    EXPECT_THAT(help.out, HasSubstr(std::string("harness ") + command)) << command;
  }
}

TEST_F(CommandLineTest, EvalWritesTheExperimentThatItRuns) {
  Outcome eval =
      harness("eval " + model() +
              " --format none w4a16 --methods rtn --limit 3 --dtype fp32 --db d/r.sqlite "
              "--set evals.perplexity.text=text.txt --set evals.perplexity.window=64");
  ASSERT_EQ(eval.status, 0) << eval.error;
  EXPECT_THAT(eval.out, AllOf(HasSubstr("tiny"), HasSubstr("tiny w4a16")));
  std::size_t at = eval.error.find("experiment: ");
  ASSERT_NE(at, std::string::npos) << eval.error;
  std::string file = eval.error.substr(at + 12, eval.error.find('\n', at) - at - 12);
  Outcome again = harness("run " + file + " --db again.sqlite");
  EXPECT_EQ(again.status, 0) << again.error;
  EXPECT_EQ(again.out, eval.out);
}

TEST_F(CommandLineTest, AMemoryLimitChangesNoLogitAndNoText) {
  const std::string limit = " --memory-limit '100 kB'";
  const std::string logits = "logits " + model() + " --tokens 5,6,7 --out ";
  ASSERT_EQ(harness(logits + "a.npy").status, 0);
  ASSERT_EQ(harness(logits + "b.npy" + limit).status, 0);
  EXPECT_EQ(test::read_file(folder_ / "a.npy"), test::read_file(folder_ / "b.npy"));
  const std::string generate = "generate " + model() + " 'The model' --max-new-tokens 4";
  EXPECT_EQ(harness(generate + limit).out, harness(generate).out);
  const Outcome small = harness(logits + "c.npy --memory-limit 1kB");
  EXPECT_EQ(small.status, 2);
  EXPECT_THAT(small.error, HasSubstr("one block"));
  write_experiment(kTwoRuns);
  const Outcome quantized =
      harness("quantize e.toml --run RTN --out q --set 'memory_limit=100 kB'");
  EXPECT_EQ(quantized.status, 2);
  EXPECT_THAT(quantized.error, HasSubstr("memory_limit"));
}

TEST_F(CommandLineTest, EvalComparesWithAReferenceItemByItem) {
  std::filesystem::copy(model(), folder_ / "theirs", std::filesystem::copy_options::recursive);
  std::filesystem::path weights = folder_ / "theirs" / "model.safetensors";
  std::string bytes = test::read_file(weights);
  for (std::size_t i = bytes.size() - 4000; i < bytes.size(); i += 4) bytes[i] ^= 0x40;
  test::write_file(weights, bytes);
  const std::string options =
      " --limit 3 --dtype fp32 --set evals.perplexity.text=text.txt "
      "--set evals.perplexity.window=64";
  Outcome eval = harness("eval theirs --reference " + model() + options);
  ASSERT_EQ(eval.status, 0) << eval.error;
  EXPECT_THAT(eval.out, AllOf(HasSubstr("each run against tiny\n"), HasSubstr("theirs  "),
                              HasSubstr("perplexity"), HasSubstr(" ± ")));
  std::size_t at = eval.error.find("harness report ") + 15;
  const std::string name = eval.error.substr(at, eval.error.find('`', at) - at);
  const Outcome report = harness("report " + name + " --reference tiny --format text");
  EXPECT_EQ(report.out, eval.out.substr(eval.out.find("\n\n") + 2)) << report.error;
  EXPECT_EQ(harness("report " + name + " --reference nobody").status, 2);
  // A model beside itself: two labels, and no difference.
  Outcome same = harness("eval " + model() + " --reference " + model() + options);
  ASSERT_EQ(same.status, 0) << same.error;
  EXPECT_THAT(same.out, AllOf(HasSubstr("against tiny (reference)"), HasSubstr("0 ± 0")));
}

TEST_F(CommandLineTest, QuantizeWritesAModelForTheOtherCommands) {
  write_experiment(kTwoRuns);
  const Outcome quantized = harness("quantize e.toml --run RTN --out q");
  ASSERT_EQ(quantized.status, 0) << quantized.error;
  ASSERT_EQ(harness("logits q --tokens 5,6,7 --out a.npy").status, 0);
  ASSERT_EQ(harness("logits q/fake-quantized --tokens 5,6,7 --out b.npy").status, 0);
  ASSERT_EQ(harness("logits " + model() + " --tokens 5,6,7 --out c.npy").status, 0);
  EXPECT_EQ(in_shell("cmp a.npy b.npy").status, 0);
  EXPECT_EQ(in_shell("cmp a.npy c.npy").status, 1);
  EXPECT_EQ(harness("generate q 'The model' --max-new-tokens 4").out,
            harness("generate q/fake-quantized 'The model' --max-new-tokens 4").out);
  const Outcome unknown = harness("quantize e.toml --run AAQ --out q");
  EXPECT_EQ(unknown.status, 2);
  EXPECT_THAT(unknown.error, HasSubstr("one of full, RTN"));
}

TEST_F(CommandLineTest, SetOnlyAndDataChangeWhatIsRun) {
  write_experiment(kTwoRuns);
  EXPECT_EQ(harness("run e.toml --only RTN --set evals.perplexity.limit=2").status, 0);
  EXPECT_EQ(harness("sql 'select count(*) as n from items' --csv").out, "n\n2\n");
  std::filesystem::create_directory(folder_ / "data");
  std::filesystem::rename(folder_ / "text.txt", folder_ / "data/text.txt");
  EXPECT_EQ(harness("run e.toml --db b.sqlite").status, 2);
  EXPECT_EQ(harness("run e.toml --db b.sqlite --data data").status, 0);
  EXPECT_EQ(harness("run e.toml --db c.sqlite", "HARNESS_DATA=data").status, 0);
}

TEST_F(CommandLineTest, ListAndDescribeNameWhatThereIs) {
  Outcome list = harness("list");
  EXPECT_THAT(list.out, AllOf(HasSubstr("rtn"), HasSubstr("perplexity"), HasSubstr("safetensors"),
                              HasSubstr("gguf")));
  EXPECT_THAT(harness("describe rtn").out, AllOf(HasSubstr("mse_clip"), HasSubstr("false")));
  EXPECT_THAT(harness("describe perplexity").out, AllOf(HasSubstr("window"), HasSubstr("2048")));
  for (const std::string eval : {"skill", "safety", "refusal", "over_refusal", "control"})
    EXPECT_THAT(harness("describe " + eval).out,
                AllOf(HasSubstr("data"), HasSubstr("\"auto\""), HasSubstr("validation")))
        << eval;
  EXPECT_THAT(harness("describe experiment").out, HasSubstr("dtype"));
  Outcome unknown = harness("describe rtm");
  EXPECT_EQ(unknown.status, 2);
  EXPECT_THAT(unknown.error, HasSubstr("did you mean \"rtn\"?"));
}

TEST_F(CommandLineTest, TokenizePrintsAJsonArrayALine) {
  test::write_file(folder_ / "lines.txt", "The model\n\nworse.\n");
  Outcome outcome = harness("tokenize " + model() + " --file lines.txt");
  ASSERT_EQ(outcome.status, 0) << outcome.error;
  std::istringstream lines(outcome.out);
  std::vector<std::string> found;
  for (std::string line; std::getline(lines, line);) found.push_back(line);
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[1], "[]");
  EXPECT_EQ(found[0].front(), '[');
  EXPECT_EQ(harness("tokenize " + model() + " --file missing.txt").status, 2);
}

TEST_F(CommandLineTest, LogitsWritesANumpyFileWithoutATokenizer) {
  std::filesystem::create_directory(folder_ / "m");
  for (const char* name : {"config.json", "model.safetensors"})
    std::filesystem::copy(test::golden("tiny") / name, folder_ / "m" / name);
  Outcome outcome = harness("logits m --tokens 1,2,3 --out l.npy");
  ASSERT_EQ(outcome.status, 0) << outcome.error;
  std::string file = test::read_file(folder_ / "l.npy");
  EXPECT_EQ(file.substr(0, 6), "\x93NUMPY");
  EXPECT_THAT(file, HasSubstr("(3, 300)"));
  EXPECT_EQ(file.size() % 64, 3 * 300 * 4 % 64);
  Outcome beyond = harness("logits m --tokens 1,300 --out l.npy");
  EXPECT_EQ(beyond.status, 2);
  EXPECT_THAT(beyond.error, HasSubstr("300"));
}

TEST_F(CommandLineTest, GenerateGoesOnFromAText) {
  Outcome greedy = harness("generate " + model() + " 'The model' --max-new-tokens 12");
  ASSERT_EQ(greedy.status, 0) << greedy.error;
  EXPECT_GT(greedy.out.size(), 4u);
  EXPECT_EQ(greedy.out.back(), '\n');
  EXPECT_EQ(harness("generate " + model() + " 'The model' --max-new-tokens 12").out, greedy.out);
  const std::string draw =
      "generate " + model() + " 'The model' --max-new-tokens 12 --temperature 1 ";
  Outcome drawn = harness(draw + "--seed 1");
  EXPECT_EQ(drawn.status, 0) << drawn.error;
  EXPECT_EQ(harness(draw + "--seed 1").out, drawn.out);
  EXPECT_NE(harness(draw + "--seed 2").out, drawn.out);
}

TEST_F(CommandLineTest, ProcessesThatTrainTheSamePairTakeTurns) {
  // A third process holds the lock until both have come to it; then one trains and the other reads.
  const Outcome outcome = in_shell(std::string("harness=") + HARNESS_PROGRAM + R"(
    export HARNESS_CACHE=cache
    logits() { $harness logits pair:world/base@0+2 --tokens 1,2 --out $1.npy 2>$1.log; }
    logits first
    pair=$(echo cache/pairs/world-0-*)
    rm -r $pair/base $pair/aligned
    flock $pair/lock sh -c 'touch held; while [ ! -e go ]; do sleep .05; done' &
    while [ ! -e held ]; do sleep .05; done
    logits a & a=$!
    logits b & b=$!
    for i in $(seq 600); do
      [ $(cat a.log b.log | grep -c 'another process is training it') = 2 ] && break
      sleep .1
    done
    touch go
    wait $a && wait $b && cmp a.npy b.npy && cmp a.npy first.npy)");
  EXPECT_EQ(outcome.status, 0) << outcome.error;
  for (const char* log : {"a.log", "b.log"})
    EXPECT_THAT(test::read_file(folder_ / log), HasSubstr("another process is training it"));
}

TEST_F(CommandLineTest, GenerateSaysWhatItCannotDo) {
  auto error = [&](const std::string& arguments) {
    Outcome outcome = harness("generate " + arguments);
    EXPECT_EQ(outcome.status, 2) << arguments;
    EXPECT_EQ(outcome.out, "") << arguments;
    return outcome.error;
  };
  EXPECT_THAT(error(model() + " ''"), HasSubstr("no token"));
  EXPECT_THAT(error(model() + " x --top-p 0"), HasSubstr("top_p is 0"));
  EXPECT_THAT(error(model() + " x --chat"),
              AllOf(HasSubstr("no chat template"), HasSubstr("--chat")));
  EXPECT_THAT(error(model() + " \"$(seq 3000)\""), HasSubstr("positions of the model"));
  std::filesystem::copy(test::golden("tiny"), folder_ / "m");
  test::write_file(folder_ / "m/chat_template.jinja", "{{ messages[0]['content'] }}");
  EXPECT_THAT(error("m x --chat"), AllOf(HasSubstr("chat_template.jinja"), HasSubstr("llama2, ")));
  EXPECT_EQ(harness("generate m x --max-new-tokens 1").status, 0);  // the template is not needed
}

TEST_F(CommandLineTest, GenerateAnswersInTheChatFormat) {
  std::filesystem::copy(test::golden("tiny"), folder_ / "m");
  test::write_file(folder_ / "m/chat_template.jinja",
                   "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + "
                   "message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if "
                   "add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}");
  const std::string more = " --max-new-tokens 12";
  Outcome chat = harness("generate m hello --chat --system 'be kind'" + more);
  ASSERT_EQ(chat.status, 0) << chat.error;
  const std::string text =
      "<|im_start|>system\nbe kind<|im_end|>\n<|im_start|>user\nhello<|im_end|>\n"
      "<|im_start|>assistant\n";
  test::write_file(folder_ / "prompt.txt", text + ".");  // "$(...)" cuts newlines at the end
  Outcome plain =
      in_shell("p=\"$(cat prompt.txt)\"; " HARNESS_PROGRAM " generate m \"${p%.}\"" + more);
  EXPECT_EQ(chat.out, plain.out) << plain.error;
}

TEST_F(CommandLineTest, DoctorTellsWhatThereIs) {
  Outcome doctor = harness("doctor");
  EXPECT_EQ(doctor.status, 0);
  for (const char* word : {"LibTorch", "AVX-512", "bf16 products", "int8 products", "CUDA",
                           "memory", "cache", "Hugging Face"})
    EXPECT_THAT(doctor.out, HasSubstr(word));
}

TEST_F(CommandLineTest, DoctorMeasuresTheProcessor) {
  Outcome doctor = harness("doctor --bench");
  EXPECT_EQ(doctor.status, 0) << doctor.error;
  EXPECT_THAT(doctor.out, ContainsRegex("copy +[1-9][0-9.]* GB/s read and written"));
  for (const char* rate :
       {"fp32 +[1-9][0-9]* GFLOP/s", "bf16 +[1-9][0-9]* GFLOP/s", "int8 +[1-9][0-9]* GOP/s"})
    EXPECT_THAT(doctor.out, ContainsRegex(std::string("matrix, ") + rate));
}

TEST_F(CommandLineTest, DoctorTellsWhatAModelIsAndNeeds) {
  Outcome doctor = harness("doctor " + model());
  EXPECT_EQ(doctor.status, 0) << doctor.error;
  for (const char* word :
       {"Llama (LlamaForCausalLM)", "parameters", "safetensors", "digest",
        "tokenizer.json, 300 tokens", "chat template", "fp32", "perplexity",
        "with memory_limit, from", "generation", "GPTQ on 128 x", "everything needed  is there"})
    EXPECT_THAT(doctor.out, HasSubstr(word));
  Outcome qwen = harness("doctor " + test::golden("families/qwen3_window").string());
  EXPECT_EQ(qwen.status, 1);
  EXPECT_THAT(qwen.out,
              AllOf(HasSubstr("Qwen 3"), HasSubstr("sliding window of 10 in 1 of 2 layers"),
                    HasSubstr("norms of q and k"), HasSubstr("what is missing or wrong"),
                    HasSubstr("no tokenizer.json")));
}

TEST_F(CommandLineTest, DoctorTellsWhatAModelLacks) {
  Outcome missing = harness("doctor some-org/no-model", "HF_HUB_CACHE=hub");
  EXPECT_EQ(missing.status, 1);
  EXPECT_THAT(missing.out, AllOf(HasSubstr("hub/models--some-org--no-model"),
                                 HasSubstr("`hf download some-org/no-model`")));
  const auto copy = folder_ / "copy";
  std::filesystem::copy(model(), copy);
  std::filesystem::copy_file(test::golden("tokenizer/smollm2-small/tokenizer.json"),
                             copy / "tokenizer.json",
                             std::filesystem::copy_options::overwrite_existing);
  Outcome other = harness("doctor copy");
  EXPECT_EQ(other.status, 1);
  EXPECT_THAT(other.out, HasSubstr("the embedding 300 rows"));
  EXPECT_EQ(harness("generate copy hello").status, 2);
}

TEST_F(CommandLineTest, ReadingNeedsADatabaseThatIsThere) {
  for (const char* command : {"report x", "show x", "sql 'select 1'"}) {
    Outcome outcome = harness(std::string(command) + " --db none.sqlite");
    EXPECT_EQ(outcome.status, 2) << command;
    EXPECT_THAT(outcome.error, HasSubstr("none.sqlite")) << command;
  }
  EXPECT_FALSE(std::filesystem::exists(folder_ / "none.sqlite"));
}

TEST_F(CommandLineTest, SqlOnlyReads) {
  write_experiment("[[run]]\nlabel='a'\n");
  ASSERT_EQ(harness("run e.toml").status, 0);
  EXPECT_EQ(harness("sql 'delete from items'").status, 2);
  EXPECT_EQ(harness("sql 'select count(*) as n from items' --csv").out, "n\n4\n");
}

TEST_F(CommandLineTest, CtrlCEndsCleanlyAndTheSameCommandGoesOn) {
  // Eight short runs; the signal comes, twice as from `timeout`, when the first has said its
  // result.
  std::string runs;
  for (int i = 0; i < 8; ++i)
    runs += "[[run]]\nlabel='r" + std::to_string(i) +
            "'\nevals=[{name='perplexity', text='text.txt', window=2, limit=" +
            std::to_string(300 + i) + "}]\n";
  write_experiment(runs);
  Outcome stopped = in_shell(HARNESS_PROGRAM
                             " run e.toml & harness=$!; "
                             "until grep -q '^r0:' error.txt; do sleep 0.01; done; "
                             "kill -INT $harness; kill -INT $harness; wait $harness");
  ASSERT_EQ(stopped.status, 130) << stopped.error;
  EXPECT_THAT(stopped.error, HasSubstr("the same command goes on"));
  EXPECT_EQ(
      harness("sql \"select count(*) as n from attempts where status = 'running'\" --csv").out,
      "n\n0\n");
  Outcome rest = harness("run e.toml");
  EXPECT_EQ(rest.status, 0) << rest.error;
  EXPECT_EQ(
      harness("sql \"select count(*) as n from metrics where name = 'perplexity'\" --csv").out,
      "n\n8\n");
}

// The quickstart's own file, training included, with fewer steps so that CI can run it twice.
TEST_F(CommandLineTest, QuickstartTwiceFromScratchGivesTheSameDigits) {
  std::string command =
      "run " + (test::source_folder() / "experiments/quickstart.toml").string() +
      " --set model.steps=30 --set calibration.samples=16 --set methods.ostquant.steps=3 "
      "--set methods.aaq.steps=3 --db ";
  const char* query =
      "sql \"select label, metric, value, standard_error from results where kind = 'eval' "
      "order by 1, 2\" --csv --db ";
  std::string found[2], curves[2];
  for (int i = 0; i < 2; ++i) {
    std::string database = std::to_string(i) + ".sqlite";
    Outcome run = harness(command + database, "HARNESS_CACHE=cache" + std::to_string(i));
    ASSERT_EQ(run.status, 0) << run.error;
    EXPECT_THAT(run.error, HasSubstr("world: base is trained after 30 steps"));
    EXPECT_THAT(run.out, AllOf(HasSubstr("over_refusal"), Not(HasSubstr("log_odds "))));
    found[i] = harness(query + database).out;
    curves[i] =
        harness("sql \"select series, step, value from curves order by 1, 2, 3\" --csv --db " +
                database)
            .out;
  }
  EXPECT_EQ(found[0], found[1]);
  EXPECT_EQ(curves[0], curves[1]);
  // 17 of each row, and flips of what aligned and base disagree about, which the base's row has
  // not.
  EXPECT_GE(std::count(found[0].begin(), found[0].end(), '\n'), 1 + 8 * 17 + 7 * 2) << found[0];
  EXPECT_THAT(found[0], AllOf(HasSubstr(",to_base,"), Not(HasSubstr("base,to_base,"))));
  EXPECT_GT(std::count(curves[0].begin(), curves[0].end(), '\n'), 3 * 45);
}

// The same of a real language model, with shorter windows.
TEST_F(CommandLineTest, SmolLm2TwiceFromScratchGivesTheSameDigits) {
  std::string command = "run " + (test::source_folder() / "experiments/smollm2.toml").string() +
                        " --set evals.perplexity.window=256 --set evals.perplexity.limit=2 --db ";
  const char* query =
      "sql \"select label, metric, value, standard_error from results order by 1, 2\" --csv --db ";
  std::string found[2];
  for (int i = 0; i < 2; ++i) {
    std::string database = std::to_string(i) + ".sqlite";
    Outcome run = harness(command + database);
    ASSERT_EQ(run.status, 0) << run.error;
    found[i] = harness(query + database).out;
  }
  EXPECT_EQ(found[0], found[1]);
  EXPECT_EQ(std::count(found[0].begin(), found[0].end(), '\n'), 1 + 5 * 3) << found[0];
}

}  // namespace
}  // namespace harness
