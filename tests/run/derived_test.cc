// Evals that compare with the unquantized models: what is planned, what is run, what is stored.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <cmath>
#include <cstdlib>

#include "harness/plugin/choices.h"
#include "harness/quant/sites.h"
#include "harness/run/runner.h"
#include "harness/run/transcripts.h"
#include "tests/run/fixture.h"

namespace harness {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

struct NoOptions {
  template <class V>
  void visit(V&&) {}
};

/// Items of two tasks: which of four tokens comes next.
class ToyChoices : public Eval {
 public:
  explicit ToyChoices(NoOptions) {}
  std::string protocol(const DataContext&) const override { return "toy/1"; }
  int version() const override { return 1; }
  void check(const DataContext&, Problems&) const override {}
  std::vector<DataUse> data(const DataContext&) const override { return {}; }
  bool chooses(const DataContext&) const override { return true; }
  std::vector<Metric> run(EvalContext& context) const override {
    for (std::int64_t i = 0; i < 120; ++i) {
      const at::Tensor logits = context.model.next_token_logits({{1, 3 + i, 150 + i}})[0];
      std::vector<double> options;
      for (std::int64_t token = 10; token < 14; ++token)
        options.push_back(logits[token].item<double>());
      const auto choice = static_cast<std::int64_t>(best_option(options));
      Value detail = choice_detail(choice, 0, options);
      detail.set("task", i % 3 == 0 ? "thirds" : "others");
      context.items.add({.id = std::to_string(i),
                         .score = choice == 0 ? 1. : 0.,
                         .cluster = i < 60 ? "" : std::to_string(i / 4),
                         .detail = std::move(detail)});
    }
    return {};
  }
};

class DerivedTest : public testing::Test {
 protected:
  void SetUp() override {
    test::write_file(text_, test::some_text());
    register_all_plugins(plugins_);
    plugins_.add_eval<ToyChoices, NoOptions>("toy", "");
  }
  Plan plan(const std::string& runs) {
    return make_plan(parse_experiment("name='flips'\ndtype='fp32'\ndevice='cpu'\n" + runs, "flips"),
                     plugins_);
  }
  std::string error(const std::string& runs) {
    return test::error_of([&] { plan(runs); });
  }
  RunSummary run(const std::string& runs, const std::string& database = "a.sqlite") {
    return run_plan(plan(runs), *ResultStore::open(folder_ / database), no_progress());
  }
  ResultStore::ResultSet query(const std::string& sql,
                               const std::vector<std::pair<std::string, std::string>>& values = {},
                               const std::string& database = "a.sqlite") {
    return ResultStore::open_read_only(folder_ / database)->query(sql, values);
  }
  std::string cell(const std::string& sql, const std::string& database = "a.sqlite") {
    const auto result = query(sql, {}, database);
    if (result.rows.size() != 1) return fmt::format("{} rows", result.rows.size());
    return result.rows[0][0].value_or("NULL");
  }
  double number(const std::string& sql, const std::string& database = "a.sqlite") {
    return std::strtod(cell(sql, database).c_str(), nullptr);
  }
  /// Every metric of those evals, as results/queries/flips.sql computes it, is the stored one.
  void expect_recomputed() {
    const std::string sql = test::read_file(test::source_folder() / "results/queries/flips.sql");
    const auto again = query(sql, {{"experiment", cell("SELECT key FROM experiments")}});
    const auto stored = query(
        "SELECT label, protocol, metric, value, standard_error, count FROM results "
        "WHERE eval IN ('flips', 'token_flips') ORDER BY position, stage_position, "
        "metric_position");
    ASSERT_EQ(again.rows.size(), stored.rows.size());
    ASSERT_GT(again.rows.size(), 0u);
    for (std::size_t i = 0; i < stored.rows.size(); ++i) {
      const auto &ours = again.rows[i], &theirs = stored.rows[i];
      const std::string what = fmt::format("{} {} {}", *theirs[0], *theirs[1], *theirs[2]);
      for (const std::size_t column : {0, 1, 2, 5}) EXPECT_EQ(ours[column], theirs[column]) << what;
      for (const std::size_t column : {3, 4}) {
        ASSERT_EQ(ours[column].has_value(), theirs[column].has_value()) << what;
        if (!ours[column]) continue;
        EXPECT_NEAR(std::strtod(ours[column]->c_str(), nullptr),
                    std::strtod(theirs[column]->c_str(), nullptr), 1e-9)
            << what;
      }
    }
  }

  Plugins plugins_;
  test::TemporaryFolder folder_;
  std::filesystem::path text_ = folder_ / "text.txt";
  test::ScopedVariable cache_{"HARNESS_CACHE", (folder_ / "cache").string()};
};

/// A world pair after one step each, measured on few items.
const char* const kWorld =
    "model='pair:world/aligned@0+2'\n"
    "evals=[{name='skill', limit=60}, {name='safety', limit=40}, 'flips', "
    "{name='refusal', limit=4}]\n"
    "[[run]]\nlabel='aligned'\n[[run]]\nlabel='RTN'\nformat='w4a16'\nmethods=['rtn']\n";

TEST_F(DerivedTest, EachModelIsMeasuredOnceAndFlipsComeOfIt) {
  const std::string base =
      "[[run]]\nlabel='base'\nmodel='pair:world/base@0+2'\nevals=[{name='skill', limit=60}]\n";
  EXPECT_EQ(run(kWorld + base).succeeded, 3);
  // Of skill and safety each: the aligned model, RTN, the base.
  const char* const of_evals =
      " FROM attempts a JOIN stages s ON s.key = a.stage_key WHERE s.kind = 'eval' AND s.name IN "
      "('skill', 'safety')";
  EXPECT_EQ(cell(std::string("SELECT count(*)") + of_evals), "6");
  EXPECT_EQ(cell(std::string("SELECT count(DISTINCT a.stage_key)") + of_evals), "6");
  EXPECT_EQ(cell("SELECT count(*) FROM attempts WHERE status <> 'succeeded'"), "0");
  // What was measured of the base for them is no result of theirs.
  EXPECT_EQ(cell("SELECT count(*) FROM results WHERE metric = 'skill'"), "3");
  EXPECT_EQ(cell("SELECT count(DISTINCT protocol) FROM results WHERE eval = 'flips'"), "2");
  // Against itself.
  EXPECT_EQ(cell("SELECT min(value) FROM results WHERE label = 'aligned' AND metric IN "
                 "('agree_aligned', 'kept')"),
            "1");
  EXPECT_EQ(number("SELECT sum(value) FROM results WHERE label = 'RTN' AND protocol = "
                   "'world/recall-4/1/first-60/flips/1' AND metric IN ('to_base', 'kept', "
                   "'elsewhere')"),
            1);
  expect_recomputed();
  const std::string attempts = cell("SELECT count(*) FROM attempts");
  EXPECT_EQ(run(kWorld + base).succeeded, 3);
  EXPECT_EQ(cell("SELECT count(*) FROM attempts"), attempts);
}

TEST_F(DerivedTest, FlipsAddedLaterTakeWhatIsStored) {
  std::string without = kWorld;
  without.replace(without.find("'flips', "), 9, "");
  EXPECT_EQ(run(without).succeeded, 2);
  const std::string methods =
      "SELECT count(*) FROM attempts a JOIN stages s ON s.key = a.stage_key WHERE kind = 'method'";
  EXPECT_EQ(cell(methods), "1");
  EXPECT_EQ(run(kWorld).succeeded, 2);
  EXPECT_EQ(cell(methods), "1");  // the quantized model is not made again
  EXPECT_EQ(cell("SELECT count(DISTINCT metric) FROM results WHERE eval = 'flips'"), "9");
}

TEST_F(DerivedTest, WithoutABaseOrAnythingToReadItIsAnErrorBeforehand) {
  const std::string tiny = "[[run]]\nlabel='a'\nmodel='" + test::golden("tiny").string() + "'\n";
  EXPECT_THAT(error(tiny + "evals=[{name='skill', data='world'}, 'flips']\n"),
              HasSubstr("eval flips needs the pre-trained base"));
  EXPECT_THAT(error("[[run]]\nlabel='a'\nmodel='pair:world/base@0+2'\nevals=['skill', 'flips']\n"),
              HasSubstr("eval flips needs the pre-trained base"));
  EXPECT_THAT(
      error("[[run]]\nlabel='a'\nmodel='pair:world/aligned@0+2'\nevals=['refusal', 'flips']\n"),
      AllOf(HasSubstr("eval flips has nothing to read"), HasSubstr("a multiple-choice eval")));
  EXPECT_THAT(error(tiny + "evals=['flip']\n"), HasSubstr("did you mean \"flips\"?"));
}

TEST_F(DerivedTest, AnEvalThatFailsFailsTheFlipsThatReadIt) {
  // The tiny model's tokenizer has not the world's words.
  const std::string runs = fmt::format(
      "model='{0}'\nbase='{0}'\n[[run]]\nlabel='a'\nevals=[{{name='skill', data='world'}}, "
      "'flips']\n",
      test::golden("tiny").string());
  EXPECT_EQ(run(runs).failed, 1);
  EXPECT_EQ(cell("SELECT count(*) FROM attempts a JOIN stages s ON s.key = a.stage_key WHERE "
                 "s.name = 'flips' AND message LIKE '%of the run''s model is not stored%'"),
            "1");
}

/// Two random models of one vocabulary, and what is measured of the first in 4-bit activations.
class TokenFlipsTest : public DerivedTest {
 protected:
  void SetUp() override {
    DerivedTest::SetUp();
    test::write_random_model(folder_ / "aligned", test::random_config(), 1);
    // The same weights, which see positions otherwise: the two agree at some.
    LlamaConfig base = test::random_config();
    base.rope_theta = 2;
    test::write_random_model(folder_ / "base", base, 1);
  }
  std::string runs(const std::string& options, const std::string& format = "w16a4") const {
    return fmt::format(
        "model='{}'\nbase='{}'\nevals=[{{name='token_flips', {}}}]\n[[run]]\nlabel='a'\n"
        "format='{}'\n",
        (folder_ / "aligned").string(), (folder_ / "base").string(), options, format);
  }
  /// Log-softmax of the logits of the text's windows: float64 [positions, vocabulary].
  at::Tensor log_probabilities(const std::string& model, const Format& format, std::int64_t windows,
                               std::int64_t window) const {
    const at::NoGradGuard no_gradients;
    const std::string place = (folder_ / model).string();
    auto llama = LlamaModel::load(*open_checkpoint(place), at::kFloat, at::kCPU);
    install_quantizers(*llama, format);
    const auto tokenizer = open_tokenizer(place);
    std::vector<std::int64_t> ids = tokenizer->encode(test::some_text(), false);
    if (tokenizer->adds_bos()) ids.insert(ids.begin(), *tokenizer->bos());
    ids.resize(static_cast<std::size_t>(windows * window));
    return at::log_softmax(
               llama->logits(at::tensor(ids, at::kLong).view({windows, window})).to(at::kDouble),
               -1)
        .flatten(0, 1);
  }
  std::string value(const std::string& metric, const std::string& database = "a.sqlite") {
    return cell("SELECT value FROM metrics WHERE name = '" + metric + "'", database);
  }
  double metric(const std::string& name, const std::string& database = "a.sqlite") {
    return std::strtod(value(name, database).c_str(), nullptr);
  }
};

TEST_F(TokenFlipsTest, HasTheSharesAndTheDivergencesOfTheFullDistributions) {
  const std::string options = fmt::format("text='{}', window=32, limit=5", text_.string());
  ASSERT_EQ(run(runs(options)).succeeded, 1);
  const Format format = plan(runs(options)).runs[0].format;
  const at::Tensor q = log_probabilities("aligned", format, 5, 32);
  const at::Tensor a = log_probabilities("aligned", Format(), 5, 32);
  const at::Tensor b = log_probabilities("base", Format(), 5, 32);
  auto kl = [&](const at::Tensor& p) { return (p.exp() * (p - q)).sum(-1).mean().item<double>(); };
  EXPECT_NEAR(metric("kl_aligned"), kl(a), 1e-5);
  EXPECT_NEAR(metric("kl_base"), kl(b), 1e-5);
  EXPECT_GT(metric("kl_base"), metric("kl_aligned"));
  const at::Tensor said = q.argmax(-1), was = a.argmax(-1), had = b.argmax(-1);
  auto share = [](const at::Tensor& of, const at::Tensor& among) {
    return of.logical_and(among).sum().item<double>() / among.sum().item<double>();
  };
  const at::Tensor disagree = was != had, agree = was == had, all = at::ones_like(agree);
  EXPECT_EQ(metric("to_base"), share(said == had, disagree));
  EXPECT_EQ(metric("kept"), share(said == was, disagree));
  EXPECT_EQ(metric("changed_agreed"), share(said != was, agree));
  EXPECT_EQ(metric("agree_base"), share(said == had, all));
  EXPECT_EQ(metric("disagree"), share(disagree, all));
  const at::Tensor second = std::get<1>(a.topk(2, -1)).select(1, 1);
  EXPECT_NEAR(metric("to_base_expected"), share(said != was, all) * share(second == had, disagree),
              1e-12);
  EXPECT_EQ(metric("outside_top_k"), 0);
  EXPECT_EQ(cell("SELECT count FROM metrics WHERE name = 'kl_aligned'"), "160");
  EXPECT_EQ(cell("SELECT count(*) FROM items"), "5");
  expect_recomputed();
}

TEST_F(TokenFlipsTest, ItemsOfThreeModelsAreComparedByTaskToo) {
  std::string toy = runs("text=''");
  toy.replace(toy.find("{name='token_flips', text=''}"), 29, "'toy', 'flips'");
  ASSERT_EQ(run(toy).succeeded, 1);
  for (const char* name : {"to_base", "kept", "elsewhere", "changed_agreed", "thirds/disagree"})
    EXPECT_GT(metric(name), 0) << name;
  EXPECT_EQ(cell("SELECT count FROM metrics WHERE name = 'others/agree_base'"), "80");
  expect_recomputed();
}

TEST_F(TokenFlipsTest, KeptProbabilitiesGiveALowerBound) {
  const std::string options = fmt::format("text='{}', window=32, limit=5", text_.string());
  ASSERT_EQ(run(runs(options)).succeeded, 1);
  ASSERT_EQ(run(runs(options + ", top_k=20"), "b.sqlite").succeeded, 1);
  for (const char* name : {"kl_aligned", "kl_base"}) {
    EXPECT_LT(metric(name, "b.sqlite"), metric(name)) << name;
    EXPECT_GT(metric(name, "b.sqlite"), 0) << name;
  }
  // With 20 of 300 tokens of a random model much is outside; no answer changes by that.
  EXPECT_GT(metric("outside_top_k", "b.sqlite"), .1);
  for (const char* name : {"to_base", "kept", "to_base_expected", "agree_base"})
    EXPECT_EQ(value(name, "b.sqlite"), value(name)) << name;
  EXPECT_EQ(cell("SELECT DISTINCT protocol FROM results", "b.sqlite"),
            "text.txt/token-flips-32/1/first-5/top-20");
}

TEST_F(TokenFlipsTest, TheReferencesAreReadOnceForAllRuns) {
  const std::string options = fmt::format("text='{}', window=32, limit=2", text_.string());
  auto files = [&] {
    std::map<std::filesystem::path, ino_t> found;  // a file that is written again is another one
    for (const auto& entry : std::filesystem::directory_iterator(folder_ / "cache/stages")) {
      struct stat about {};
      EXPECT_EQ(stat(entry.path().c_str(), &about), 0);
      found[entry.path()] = about.st_ino;
    }
    return found;
  };
  ASSERT_EQ(run(runs(options)).succeeded, 1);
  const auto before = files();
  EXPECT_EQ(before.size(), 2u);
  ASSERT_EQ(run(runs(options, "none")).succeeded, 1);
  EXPECT_EQ(files(), before);
  EXPECT_NEAR(number("SELECT value FROM results WHERE format = 'none' AND metric = 'kl_aligned'"),
              0, 1e-7);
}

TEST_F(TokenFlipsTest, ABaseOfAnotherVocabularyIsAnErrorBeforehand) {
  LlamaConfig config = test::random_config();
  config.vocab_size = 320;
  test::write_random_model(folder_ / "base", config, 2);
  const std::string text =
      test::error_of([&] { plan(runs(fmt::format("text='{}', window=32", text_.string()))); });
  EXPECT_THAT(text, HasSubstr("has a vocabulary of 320 tokens"));
  EXPECT_THAT(error(fmt::format("[[run]]\nlabel='a'\nmodel='{}'\nevals=[{{name='token_flips', "
                                "text='{}'}}]\n",
                                test::golden("tiny").string(), text_.string())),
              HasSubstr("needs the pre-trained base"));
}

TEST_F(TokenFlipsTest, OfTranscriptsTheAnswersCount) {
  for (const char* model : {"aligned", "base"})
    test::write_file(folder_ / model / "chat_template.jinja", kWorldChatTemplate);
  test::write_file(folder_ / "chats.jsonl",
                   "{\"prompt\": \"a\", \"response\": \"good\"}\n"
                   "{\"prompt\": \"one more\", \"response\": \"the same language\"}\n");
  const std::string chats = (folder_ / "chats.jsonl").string();
  ASSERT_EQ(run(runs("chat='" + chats + "', window=64")).succeeded, 1);
  const std::string place = (folder_ / "aligned").string();
  const TranscriptInputs inputs{"", open_tokenizer(place), read_chat_template(place), nullptr};
  std::int64_t answers = 0;
  for (const ChatExample& example : file_conversations(chats, inputs))
    for (const std::int64_t target : example.targets) answers += target >= 0;
  EXPECT_EQ(cell("SELECT count FROM metrics WHERE name = 'kl_aligned'"), std::to_string(answers));
  EXPECT_EQ(cell("SELECT DISTINCT protocol FROM results"), "chats-chat/token-flips-64/1");
  expect_recomputed();
  EXPECT_THAT(error(runs("chat='pair'")), HasSubstr("belongs to no pair"));
  EXPECT_THAT(error(runs("chat='none.jsonl'")), HasSubstr("none.jsonl"));
  EXPECT_THAT(error(runs("chat='pair', text='world-test'")), HasSubstr("both text and chat"));
}

TEST_F(DerivedTest, ThePairsTranscriptsAreUnseenOnes) {
  const std::string runs =
      "model='pair:world/aligned@0+2'\ncalibration={chat='pair', samples=4, length=32}\n"
      "evals=[{name='token_flips', chat='pair', limit=4, window=64}]\n[[run]]\nlabel='a'\n"
      "format='w4a16'\nmethods=['gptq']\n";
  EXPECT_EQ(run(runs).succeeded, 1);  // calibrated on transcripts too, but on others
  EXPECT_EQ(cell("SELECT DISTINCT protocol FROM results WHERE kind = 'eval'"),
            "world-chat/token-flips-64/1/first-4");
  EXPECT_EQ(cell("SELECT count FROM metrics WHERE name = 'disagree'"), "256");
}

}  // namespace
}  // namespace harness
