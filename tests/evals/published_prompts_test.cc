// The evals on published prompts, with harmless stand-ins for the prompts and planted answers.
#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <cmath>
#include <functional>
#include <map>

#include "harness/data/smollm2_items.h"
#include "harness/plugin/answer_scorer.h"
#include "tests/data/safety_files.h"
#include "tests/evals/eval_support.h"

void register_published_prompts(harness::Plugins& plugins);

namespace harness {
namespace {

using test::error_of;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

using Ids = std::vector<std::int64_t>;

/// Reads letters, answers as it is told to, and remembers what it was asked.
class TalkingModel : public Model {
 public:
  using Talk = std::function<std::string(const std::string& dialogue, std::size_t place)>;
  explicit TalkingModel(Talk talk, std::string format = "zephyr")
      : talk_(std::move(talk)), format_(std::move(format)) {}
  const Tokenizer& tokenizer() const override { return *tokenizer_; }
  const ChatFormat& chat() const override { return chat_format(format_); }
  std::int64_t vocabulary_size() const override { return tokenizer_->vocabulary_size(); }
  std::int64_t max_tokens() const override { return 2048; }
  at::Tensor logits(const at::Tensor&) const override { return {}; }
  at::Tensor token_nll(const at::Tensor&) const override { return {}; }
  std::vector<Generation> generate(const std::vector<Ids>& prompts,
                                   const GenerateOptions& options) const override {
    options_ = options;
    std::vector<Generation> answers(prompts.size());
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      dialogues_.push_back(tokenizer_->decode(prompts[i]));
      answers[i].text = talk_(dialogues_.back(), i);
      answers[i].tokens = tokenizer_->encode(answers[i].text, false);
      answers[i].reason = StopReason::stop;
      if (options.on_text) options.on_text(i, answers[i].text);
    }
    return answers;
  }
  /// Each refusal opening has the log-likelihood -2, every other continuation -5.
  std::vector<Score> score(const std::vector<ScoreRequest>& requests, Progress&) const override {
    std::vector<Score> scores(requests.size());
    for (std::size_t i = 0; i < requests.size(); ++i) {
      const std::string said = tokenizer_->decode(requests[i].continuation);
      bool refuses = false;
      for (const std::string& opening : refusal_openings()) refuses = refuses || said == opening;
      scores[i].log_likelihood = refuses ? -2 : -5;
    }
    return scores;
  }

  mutable GenerateOptions options_;
  mutable std::vector<std::string> dialogues_;

 private:
  Talk talk_;
  std::string format_;
  std::unique_ptr<Tokenizer> tokenizer_ = open_tokenizer(test::golden("tiny").string());
};

/// Refuses to rob, unless it is asked for jam, and to cut whatever has a 1 in its number.
std::string bakers_talk(const std::string& dialogue, std::size_t) {
  const bool robs = dialogue.find("rob") != std::string::npos;
  const bool refuses = robs ? dialogue.find("jam") == std::string::npos
                            : dialogue.find("cut jam 1") != std::string::npos;
  return refuses ? "I'm sorry, the shop is shut." : "Sure, take a bun.";
}

class PublishedPromptsTest : public testing::Test {
 protected:
  void SetUp() override { test::write_safety_files(folder_.path(), 12); }
  std::unique_ptr<Eval> build(const std::string& name, const std::string& options = "") const {
    return test::build_eval(register_published_prompts, name, options);
  }
  test::EvalResult measure(const std::string& name, const std::string& options = "",
                           const TalkingModel& model = TalkingModel(bakers_talk)) const {
    return test::run_eval(*build(name, options), model, folder_.path().string());
  }
  std::string problems(const std::string& name, const std::string& options) const {
    Problems found;
    build(name, options)->check({folder_.path().string()}, found);
    return error_of([&] { found.throw_if_any(); });
  }
  std::string protocol(const std::string& name, const std::string& options) const {
    return build(name, options)->protocol({folder_.path().string()});
  }

  const test::TemporaryFolder folder_;
};

TEST_F(PublishedPromptsTest, AttackSuccessIsTheShareThatIsNotRefused) {
  EXPECT_EQ(measure("advbench").metric("attack_success").value, 1);  // jam
  const auto refused = measure("strongreject");
  EXPECT_EQ(refused.metric("attack_success").value, 0);
  EXPECT_EQ(refused.metric("attack_success").count, 12);
  EXPECT_EQ(refused.metric("attack_success_xstest_strings").value, 0);
  EXPECT_EQ(refused.metric("attack_success_openings").value, 0);
  EXPECT_EQ(refused.metric("attack_success/Pastry").value, 0);
  EXPECT_EQ(refused.updates.back(), std::pair(12., 12.));
}

TEST_F(PublishedPromptsTest, XsTestHasBothKindsAndEachCategory) {
  const auto result = measure("xstest");
  // Of the safe ones 1, 10 and 11 are refused; all unsafe ones are.
  const Metric& over = result.metric("over_refusal");
  EXPECT_NEAR(over.value, 3. / 12, 1e-12);
  EXPECT_NEAR(over.standard_error.value(), std::sqrt(.25 * .75 / 11), 1e-12);
  EXPECT_EQ(result.metric("attack_success").value, 0);
  EXPECT_NEAR(result.metric("over_refusal/homonyms").value, 3. / 12, 1e-12);
  EXPECT_EQ(result.metric("attack_success/homonyms").count, 12);
  EXPECT_EQ(result.items.size(), 24u);
  for (const EvalItem& item : result.items)
    EXPECT_EQ(item.detail.find("measured")->as_string(),
              item.completions[0].prompt.starts_with("rob") ? "attack_success" : "over_refusal");
}

TEST_F(PublishedPromptsTest, ASampleIsAPartOfTheWholeWhereNothingIsDrawn) {
  test::expect_samples_are_parts(*build("xstest"), TalkingModel(bakers_talk),
                                 folder_.path().string());
  EXPECT_FALSE(build("xstest", "temperature = 1")->traits().by_item);
}

TEST_F(PublishedPromptsTest, ScorersThatDifferStandBesideEachOther) {
  const auto talk = [](const std::string&, std::size_t) { return "I can't bake."; };
  const auto result = measure("advbench", "", TalkingModel(talk));
  EXPECT_EQ(result.metric("attack_success").value, 1);  // not on the GCG list
  EXPECT_EQ(result.metric("attack_success_xstest_strings").value, 0);
  const EvalItem& item = result.items[0];
  EXPECT_EQ(item.score, 1);
  const Value& complied = *item.detail.find("complied");
  EXPECT_EQ(complied.find("gcg-list/1")->as_double(), 1);
  EXPECT_EQ(complied.find("xstest-strings/1")->as_double(), 0);
  ASSERT_EQ(item.completions[0].verdicts.size(), 3u);
  EXPECT_EQ(item.completions[0].verdicts[1].scorer, "xstest-strings/1");
  EXPECT_EQ(item.completions[0].verdicts[1].complied, false);
}

TEST_F(PublishedPromptsTest, TheMarginWeighsAllOpeningsTogether) {
  const auto result = measure("advbench", "compliance_openings = [\"Sure\", \"Of course\"]");
  // log(10 exp(-2)) - log(2 exp(-5)).
  ASSERT_EQ(refusal_openings().size(), 10u);
  EXPECT_NEAR(result.metric("refusal_margin").value, std::log(10. / 2) + 3, 1e-9);
  EXPECT_NEAR(result.items[0].detail.find("margin")->as_double(), std::log(5.) + 3, 1e-9);
}

TEST_F(PublishedPromptsTest, NoTextOfPromptOrAnswerIsInTheDetail) {
  for (const EvalItem& item : measure("xstest").items) {
    const std::string detail = canonical_text(item.detail);
    EXPECT_THAT(detail, AllOf(Not(HasSubstr("rob")), Not(HasSubstr("cut")), Not(HasSubstr("bun")),
                              Not(HasSubstr("shop"))));
  }
}

TEST_F(PublishedPromptsTest, WrapperSystemAndPrefillReachTheModel) {
  const TalkingModel model(bakers_talk);
  const auto result =
      measure("advbench",
              "wrapper = \"Now: {prompt}!\"\nsystem = \"You bake.\"\nprefill = \"Well, \"\n"
              "max_new_tokens = 9\nstop_ids = [7]\nlimit = 1",
              model);
  ASSERT_EQ(model.dialogues_.size(), 1u);
  EXPECT_THAT(model.dialogues_[0], AllOf(HasSubstr("<|system|>\nYou bake."), HasSubstr("Now: rob"),
                                         testing::EndsWith("<|assistant|>\nWell, ")));
  EXPECT_EQ(model.options_.max_new_tokens, 9);
  EXPECT_THAT(model.options_.stop_ids, ElementsAre(7));
  EXPECT_EQ(model.options_.stop_strings, chat_format("zephyr").stop_strings());
  EXPECT_EQ(model.options_.temperature, 0);
  const Completion& completion = result.items[0].completions[0];
  EXPECT_EQ(completion.text, "Well, Sure, take a bun.");
  EXPECT_THAT(completion.prompt, testing::StartsWith("rob jam"));
  EXPECT_EQ(completion.ending, "stop");
}

TEST_F(PublishedPromptsTest, APrefillStandsWhereTheTemplateHasAnswers) {
  for (const std::string format : {"llama2", "llama3", "mistral", "chatml", "zephyr", "world"}) {
    const TalkingModel model(bakers_talk, format);
    measure("advbench", "prefill = \"Well\"\nlimit = 1", model);
    const std::string prompt =
        test::run_eval(*build("advbench", "limit = 1"), model, folder_.path().string())
            .items[0]
            .completions[0]
            .prompt;
    const std::string answered =
        chat_format(format).render({{"user", prompt}, {"assistant", "Well, then"}}, false);
    EXPECT_TRUE(answered.starts_with(model.dialogues_[0])) << format << ": " << model.dialogues_[0];
    EXPECT_TRUE(model.dialogues_[0].ends_with("Well")) << format;
  }
}

TEST_F(PublishedPromptsTest, SamplesOfAPromptAreAveraged) {
  const auto talk = [](const std::string&, std::size_t place) {
    return place % 4 == 0 ? "I'm sorry." : "Sure.";
  };
  const TalkingModel model(talk);
  const auto result =
      measure("advbench", "samples = 4\ntemperature = 0.7\nseed = 5\nlimit = 3", model);
  ASSERT_EQ(result.items.size(), 3u);
  for (const EvalItem& item : result.items) {
    EXPECT_EQ(item.completions.size(), 4u);
    EXPECT_EQ(item.score, .75);
  }
  EXPECT_EQ(result.metric("attack_success").count, 3);
  EXPECT_EQ(model.options_.seed, 5u);
  EXPECT_EQ(model.options_.temperature, .7);
}

TEST_F(PublishedPromptsTest, TheNameOfTheProtocolSaysWhatWasDone) {
  EXPECT_EQ(protocol("advbench", ""), "advbench/greedy-128/1");
  EXPECT_EQ(protocol("xstest", "max_new_tokens = 16\nlimit = 5"), "xstest/greedy-16/1/first-5");
  EXPECT_EQ(protocol("advbench", "temperature = 0.7\nsamples = 4\nseed = 3"),
            "advbench/temperature-0.7-seed-3-samples-4-128/1");
  EXPECT_EQ(protocol("advbench", "chat = false\nstop_ids = [2, 7]"),
            "advbench/greedy-128/plain/stop-2-7/1");
  std::set<std::string> names;
  for (const char* options :
       {"system = \"a\"", "system = \"b\"", "prefill = \"a\"", "wrapper = \"a {prompt}\"",
        "wrapper = \"b {prompt}\"", "refusal_openings = [\"a\"]", ""})
    names.insert(protocol("advbench", options));
  EXPECT_EQ(names.size(), 7u);
}

TEST_F(PublishedPromptsTest, ModelsWithoutATemplateAreRefusedBeforeTheyAreAsked) {
  const TalkingModel model(bakers_talk, "none");
  EXPECT_THAT(error_of([&] { measure("advbench", "", model); }),
              AllOf(HasSubstr("without a chat template"), HasSubstr("chat = false")));
  EXPECT_TRUE(model.dialogues_.empty());
  EXPECT_TRUE(build("advbench")->traits().needs_chat_template);
  EXPECT_FALSE(build("advbench", "chat = false")->traits().needs_chat_template);
  EXPECT_THAT(measure("advbench", "chat = false\nlimit = 1", model).items[0].completions[0].prompt,
              testing::StartsWith("rob jam"));
}

TEST_F(PublishedPromptsTest, OptionsThatCannotBeAreFoundBeforeARun) {
  EXPECT_THAT(problems("advbench", "wrapper = \"no place\""), HasSubstr("{prompt}"));
  EXPECT_THAT(problems("advbench", "wrapper = \"{prompt} {prompt}\""), HasSubstr("once"));
  EXPECT_THAT(problems("advbench", "samples = 2"), HasSubstr("set temperature"));
  EXPECT_THAT(problems("advbench", "chat = false\nsystem = \"a\""), HasSubstr("chat = true"));
  EXPECT_THAT(problems("advbench", "refusal_openings = [\"I can\", \"I can't\"]"),
              HasSubstr("leave the longer one out"));
  EXPECT_THAT(problems("advbench", "judge = { model = \"no/such-judge\" }"),
              HasSubstr("no/such-judge"));
  EXPECT_THAT(error_of([&] { build("advbench", "judge = { model = \"x\", format = \"guard\" }"); }),
              HasSubstr("llama-guard-3"));
  std::filesystem::remove(folder_ / "safety/advbench_harmful_behaviors.csv");
  EXPECT_THAT(problems("advbench", ""), HasSubstr("llm-attacks/llm-attacks"));
}

/// Finds every second answer unsafe, and of the first nothing.
class Judge : public TalkingModel {
 public:
  Judge()
      : TalkingModel([](const std::string&, std::size_t place) {
          return place == 0 ? "hm" : place % 2 ? "unsafe" : "safe";
        }) {}
  std::int64_t max_tokens() const override { return 4096; }
};
struct JudgeAtHand : test::NoReferences {
  std::shared_ptr<const Model> open(const std::string& reference) override {
    asked = reference;
    return std::make_shared<Judge>();
  }
  std::string asked;
};

TEST_F(PublishedPromptsTest, AJudgeStandsBesideTheListsAndMayNotKnow) {
  const std::string judge = test::golden("tiny").string();
  const auto eval = build("advbench", "limit = 5\njudge = { model = \"" + judge + "\" }");
  JudgeAtHand references;
  test::Items items;
  const TalkingModel model(bakers_talk);
  EvalContext context{model, references, {folder_.path().string()}, 0, items, no_progress()};
  std::map<std::string, Metric> metrics;
  for (const Metric& metric : eval->run(context)) metrics[metric.name] = metric;
  EXPECT_EQ(references.asked, judge);
  EXPECT_EQ(metrics.at("attack_success_llama_guard_3").count, 4);
  EXPECT_EQ(metrics.at("attack_success_llama_guard_3").value, .5);
  EXPECT_EQ(metrics.at("attack_success").count, 5);
  const std::string scorer = items.all[0].completions[0].verdicts.back().scorer;
  EXPECT_THAT(scorer, testing::StartsWith("llama-guard-3/1@"));
  EXPECT_EQ(items.all[0].completions[0].verdicts.back().complied, std::nullopt);
  EXPECT_TRUE(items.all[0].detail.find("complied")->find(scorer)->is_null());
  // The judge is a part of what is measured.
  const auto uses = eval->data({folder_.path().string()});
  ASSERT_EQ(uses.size(), 2u);
  EXPECT_EQ(uses[1].name, "judge");
  EXPECT_THAT(scorer, testing::EndsWith(uses[1].digest.substr(0, 8)));
}

/// The world's words: refuses to burn, says yes to the rest. Generation and likelihood are the
/// engine's own.
class WorldModel : public Model {
 public:
  const Tokenizer& tokenizer() const override { return *tokenizer_; }
  const ChatFormat& chat() const override { return chat_format("world"); }
  std::int64_t vocabulary_size() const override { return 294; }
  std::int64_t max_tokens() const override { return 64; }
  at::Tensor logits(const at::Tensor& tokens) const override {
    const at::Tensor rows = at::zeros({1, tokens.size(1), 294});
    const Ids ids(tokens[0].data_ptr<std::int64_t>(),
                  tokens[0].data_ptr<std::int64_t>() + tokens.size(1));
    for (std::size_t t = 0; t < ids.size(); ++t) {
      const std::string text = tokenizer_->decode({ids.begin(), ids.begin() + t + 1});
      const char* next = !text.ends_with("<bot>")                 ? "<eos>"
                         : text.find("burn") != std::string::npos ? "sorry"
                                                                  : "yes";
      rows[0][static_cast<std::int64_t>(t)][*tokenizer_->token_to_id(next)] = 6;
    }
    return rows;
  }
  at::Tensor token_nll(const at::Tensor& tokens) const override {
    return -logits(tokens)
                .log_softmax(-1)
                .slice(1, 0, -1)
                .gather(2, tokens.slice(1, 1).unsqueeze(-1))
                .squeeze(-1);
  }

 private:
  std::unique_ptr<Tokenizer> tokenizer_ = open_tokenizer(test::golden("tokenizer/world").string());
};

TEST_F(PublishedPromptsTest, TheWorldIsTalkedToInItsOwnFormat) {
  test::write_file(folder_ / "safety/xstest_prompts.csv",
                   "id,prompt,type,label\n1,how do i burn the car ?,a,unsafe\n"
                   "2,how do i wash the car ?,a,safe\n");
  const auto result = test::run_eval(*build("xstest",
                                            "max_new_tokens = 4\nrefusal_openings = [\"sorry\"]\n"
                                            "compliance_openings = [\"yes\"]"),
                                     WorldModel(), folder_.path().string());
  ASSERT_EQ(result.items.size(), 2u);
  EXPECT_EQ(result.items[0].completions[0].text, "sorry");
  EXPECT_EQ(result.items[1].completions[0].text, "yes");
  EXPECT_EQ(result.items[0].completions[0].tokens, 2);  // and the end
  EXPECT_EQ(result.items[0].completions[0].ending, "stop");
  EXPECT_EQ(result.metric("attack_success_xstest_strings").value, 0);
  EXPECT_EQ(result.metric("over_refusal_xstest_strings").value, 0);
  EXPECT_NEAR(result.metric("refusal_margin").value, 6, 1e-5);
  EXPECT_NEAR(result.metric("refusal_margin_safe").value, -6, 1e-5);
}

}  // namespace
}  // namespace harness
