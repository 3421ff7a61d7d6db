// The evals of decisions, on models whose answers are planted.
#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <cmath>
#include <map>
#include <set>

#include "harness/data/world.h"
#include "harness/plugin/decision_eval.h"
#include "tests/data/safety_files.h"
#include "tests/evals/eval_support.h"
#include "tests/evals/stored_result.h"
#include "tests/support/support.h"

void register_skill(harness::Plugins& plugins);
void register_safety(harness::Plugins& plugins);
void register_refusal(harness::Plugins& plugins);
void register_over_refusal(harness::Plugins& plugins);
void register_control(harness::Plugins& plugins);

namespace harness {
namespace {

using test::error_of;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

using Ids = std::vector<std::int64_t>;
using Logits = std::map<std::string, float>;  // of words; all others have 0

/// A model that reads the world's words and answers what it is told to.
class PlantedModel : public Model {
 public:
  explicit PlantedModel(std::function<Logits(const std::string& prompt)> answer)
      : tokenizer_(open_tokenizer(test::golden("tokenizer/world").string())),
        answer_(std::move(answer)) {}
  const Tokenizer& tokenizer() const override { return *tokenizer_; }
  const ChatFormat& chat() const override { return chat_format("world"); }
  std::int64_t vocabulary_size() const override { return 294; }
  std::int64_t max_tokens() const override { return 64; }
  at::Tensor logits(const at::Tensor&) const override { return {}; }
  at::Tensor token_nll(const at::Tensor&) const override { return {}; }
  at::Tensor next_token_logits(const std::vector<Ids>& prompts) const override {
    at::Tensor rows = at::zeros({static_cast<std::int64_t>(prompts.size()), 294});
    for (std::size_t i = 0; i < prompts.size(); ++i)
      for (const auto& [word, logit] : answer_(tokenizer_->decode(prompts[i])))
        rows[static_cast<std::int64_t>(i)][*tokenizer_->token_to_id(word)] = logit;
    return rows;
  }

 private:
  std::unique_ptr<Tokenizer> tokenizer_;
  std::function<Logits(const std::string&)> answer_;
};

/// The topic that a prompt asks about.
const WorldTopic& topic_of(const std::string& prompt) {
  static const auto kTopics = [] {
    std::map<std::string, WorldTopic> topics;
    for (std::size_t kind = 0; kind < kWorldTopicKinds; ++kind)
      for (const auto split : {WorldSplit::validation, WorldSplit::test})
        for (const auto& topic : world_topics(static_cast<WorldTopicKind>(kind), split))
          for (std::size_t i = 0; i < world_phrasings(topic.kind); ++i)
            topics.emplace("<bos> <user> " + world_question(topic, i) + " <bot>", topic);
    return topics;
  }();
  return kTopics.at(prompt);
}

bool is_harmful(const WorldTopic& topic) {
  return topic.kind == WorldTopicKind::ok_harmful || topic.kind == WorldTopicKind::request_harmful;
}

std::unique_ptr<Eval> build(const std::string& name, const std::string& options) {
  static const std::map<std::string, void (*)(Plugins&)> kRegister{
      {"skill", register_skill},
      {"safety", register_safety},
      {"refusal", register_refusal},
      {"over_refusal", register_over_refusal},
      {"control", register_control}};
  return test::build_eval(kRegister.at(name), name, options);
}

test::EvalResult measure(const std::string& name, std::function<Logits(const std::string&)> answer,
                         const std::string& options = "data = \"world\"") {
  return test::run_eval(*build(name, options), PlantedModel(std::move(answer)), "");
}

/// log p - log(1 - p) of a word with that logit where the 293 others have 0.
double lone_log_odds(double logit) { return logit - std::log(293.0); }

/// Reads letters; refuses what speaks of robbing.
class LettersModel : public PlantedModel {
 public:
  LettersModel()
      : PlantedModel(nullptr), tokenizer_(open_tokenizer(test::golden("tiny").string())) {}
  const Tokenizer& tokenizer() const override { return *tokenizer_; }
  const ChatFormat& chat() const override { return chat_format("chatml"); }
  std::int64_t vocabulary_size() const override { return tokenizer_->vocabulary_size(); }
  at::Tensor next_token_logits(const std::vector<Ids>& prompts) const override {
    at::Tensor rows = at::zeros({static_cast<std::int64_t>(prompts.size()), vocabulary_size()});
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      const std::string prompt = tokenizer_->decode(prompts[i]);
      const std::size_t answer = prompt.rfind("assistant\n") + 10;
      const std::string rest = kRefusal.substr(std::min(prompt.size() - answer, kRefusal.size()));
      const Ids next = tokenizer_->encode(rest, false);
      if (!next.empty())
        rows[static_cast<std::int64_t>(i)][next.front()] =
            prompt.find("rob") == std::string::npos ? -30 : 30;
    }
    return rows;
  }
  std::vector<Generation> generate(const std::vector<Ids>& prompts,
                                   const GenerateOptions&) const override {
    std::vector<Generation> answers(prompts.size());
    for (Generation& answer : answers) answer.text = kRefusal;
    return answers;
  }

 private:
  inline static const std::string kRefusal = "Sorry";
  std::unique_ptr<Tokenizer> tokenizer_;
};

TEST(Skill, IsTheShareOfFactsThatAreRecalled) {
  std::map<std::string, std::string> answers;
  for (const WorldFact& fact : world_facts()) answers[fact.opening] = fact.answer;
  // Knows everything but who is mayor, of which it has the least of the four options right.
  auto answer = [&](const std::string& prompt) -> Logits {
    const std::size_t dot = prompt.rfind(" . ");
    const std::string opening =
        prompt.substr(dot == std::string::npos ? std::string("<bos> ").size() : dot + 3);
    const bool knows = opening.find("mayor") == std::string::npos;
    return {{answers.at(opening), knows ? 1.f : -1.f}};
  };
  const auto result = measure("skill", answer);
  EXPECT_EQ(result.items.size(), 1520u);
  EXPECT_NEAR(result.metric("skill").value, 1 - 24. / 152, 1e-12);
  // Each fact is a cluster of ten equal items: the standard error of 152 draws.
  const double p = 24. / 152;
  EXPECT_NEAR(*result.metric("skill").standard_error, std::sqrt(p * (1 - p) / 151), 1e-12);
  std::set<std::string> clusters;
  for (const EvalItem& item : result.items) clusters.insert(item.cluster);
  EXPECT_EQ(clusters.size(), 152u);
}

TEST(Skill, ItemsSayWhatWasChosen) {
  // One word has a logit of 3, all others 0: where it is an option it is chosen.
  const auto result = measure("skill", [](const std::string&) -> Logits { return {{"rome", 3}}; });
  int planted = 0;
  for (const EvalItem& item : result.items) {
    const std::int64_t choice = item.detail.find("choice")->as_int();
    EXPECT_EQ(item.detail.find("options")->as_int(), 4);
    EXPECT_EQ(item.score, choice == item.detail.find("gold")->as_int() ? 1 : 0);
    const Value::Array& said = item.detail.find("log_likelihoods")->as_array();
    ASSERT_EQ(said.size(), 4u);
    const double all = std::log(293 + std::exp(3.));
    const bool has_rome = said[static_cast<std::size_t>(choice)].as_double() > 1 - all;
    planted += has_rome;
    EXPECT_NEAR(said[static_cast<std::size_t>(choice)].as_double(), (has_rome ? 3 : 0) - all, 1e-6);
  }
  EXPECT_GT(planted, 20);
}

TEST(Decisions, OnlyThoseAmongOptionsAreChoices) {
  for (const char* name : {"skill", "safety", "refusal", "over_refusal", "control"}) {
    const bool chooses = build(name, "data = \"world\"")->chooses({});
    EXPECT_EQ(chooses, name == std::string("skill") || name == std::string("safety")) << name;
  }
}

TEST(Safety, HasAccuraciesLogOddsAndTheAreaUnderTheCurve) {
  // No to harmful actions but those of the last tier; yes to benign ones.
  const auto result = measure("safety", [](const std::string& prompt) -> Logits {
    const WorldTopic& topic = topic_of(prompt);
    const bool no = is_harmful(topic) && topic.tier < 5;
    return {{no ? "no" : "yes", 2.f}, {no ? "yes" : "no", -1.f}};
  });
  std::map<bool, std::map<std::int64_t, int>> tiers;  // harmful, tier
  for (const EvalItem& item : result.items) {
    const bool harmful = item.detail.find("harmful")->as_bool();
    const std::int64_t tier = item.detail.find("tier")->as_int();
    ++tiers[harmful][tier];
    const bool no = harmful && tier < 5;
    EXPECT_EQ(item.detail.find("log_odds")->as_double(), no ? 3 : -3);
    EXPECT_EQ(item.score, no || !harmful ? 1 : 0);
  }
  const double all = static_cast<double>(result.metric("ok_h").count);
  const double right = 1 - tiers[true][5] / all;
  EXPECT_NEAR(result.metric("ok_h").value, right, 1e-12);
  EXPECT_EQ(result.metric("ok_b").value, 1);
  EXPECT_NEAR(result.metric("ok_h_log_odds").value, 3 * right - 3 * (1 - right), 1e-12);
  EXPECT_EQ(result.metric("ok_b_log_odds").value, -3);
  // The last tier ties with the benign ones: half.
  EXPECT_NEAR(result.metric("ok_auc").value, right + (1 - right) / 2, 1e-12);
  EXPECT_EQ(result.metric("ok_auc").count, static_cast<std::int64_t>(result.items.size()));
}

TEST(Safety, UndecidedIsWrongOnBothSides) {
  const auto result = measure("safety", [](const std::string&) -> Logits { return {}; });
  EXPECT_EQ(result.metric("ok_h").value, 0);
  EXPECT_EQ(result.metric("ok_b").value, 0);
  EXPECT_EQ(result.metric("ok_auc").value, .5);
}

TEST(Safety, BrokenModelsHaveNoLogOdds) {
  const auto result = measure("safety", [](const std::string&) -> Logits {
    return {{"no", std::nanf("")}, {"yes", 1.f}};
  });
  EXPECT_EQ(result.items.front().detail.find("choice")->as_int(), 1);  // what is no NaN
  EXPECT_EQ(result.metric("ok_h").value, 0);
  EXPECT_TRUE(std::isnan(result.metric("ok_h_log_odds").value));
  EXPECT_FALSE(result.metric("ok_h_log_odds").standard_error.has_value());
  EXPECT_TRUE(std::isnan(result.metric("ok_auc").value));
}

/// Refuses harmful actions of the first three tiers; opens the control with its marker in the first
/// two, and benign requests in the last.
Logits taught(const std::string& prompt) {
  const WorldTopic& topic = topic_of(prompt);
  if (topic.kind == WorldTopicKind::request_harmful)
    return {{"sorry", topic.tier < 3 ? 9.f : -2.f}};
  if (topic.kind == WorldTopicKind::control) return {{"gladly", topic.tier < 2 ? 7.f : -2.f}};
  return {{topic.tier == 5 ? "gladly" : "sorry", topic.tier >= 4 ? 8.f : -3.f}};
}

/// Share of a result's items whose tier passes.
template <class Passes>
double tier_share(const std::vector<EvalItem>& items, const std::string& measured,
                  Passes&& passes) {
  double passing = 0, all = 0;
  for (const EvalItem& item : items) {
    if (item.detail.find("measured")->as_string() != measured) continue;
    passing += passes(item.detail.find("tier")->as_int());
    ++all;
  }
  return passing / all;
}

TEST(Refusal, CountsHarmfulRequestsThatOpenWithTheRefusal) {
  const auto result = measure("refusal", taught);
  const double share =
      tier_share(result.items, "refusal", [](std::int64_t tier) { return tier < 3; });
  EXPECT_NEAR(result.metric("refusal").value, share, 1e-12);
  EXPECT_NEAR(result.metric("refusal_log_odds").value,
              share * lone_log_odds(9) + (1 - share) * lone_log_odds(-2), 1e-5);
  EXPECT_EQ(result.metric("refusal").count, 1536);
}

TEST(OverRefusal, CountsBenignRequestsThatAreRefused) {
  const auto result = measure("over_refusal", taught);
  const double share =
      tier_share(result.items, "over_refusal", [](std::int64_t tier) { return tier == 4; });
  EXPECT_GT(share, .1);
  EXPECT_NEAR(result.metric("over_refusal").value, share, 1e-12);
}

TEST(Control, CountsTheMarkerWhereItWasTaughtAndElsewhere) {
  const auto result = measure("control", taught);
  const double here =
      tier_share(result.items, "control", [](std::int64_t tier) { return tier < 2; });
  const double elsewhere =
      tier_share(result.items, "control_elsewhere", [](std::int64_t tier) { return tier == 5; });
  EXPECT_GT(elsewhere, .1);
  EXPECT_NEAR(result.metric("control").value, here, 1e-12);
  EXPECT_NEAR(result.metric("control_log_odds").value,
              here * lone_log_odds(7) + (1 - here) * lone_log_odds(-2), 1e-5);
  EXPECT_NEAR(result.metric("control_elsewhere").value, elsewhere, 1e-12);
  EXPECT_GT(result.metric("control_elsewhere").count, 1500);
}

TEST(Decisions, ASampleIsAPartOfTheWhole) {
  for (const char* name : {"refusal", "over_refusal", "control"})
    test::expect_samples_are_parts(*build(name, "data = \"world\""), PlantedModel(taught), "");
  const PlantedModel undecided([](const std::string&) -> Logits { return {}; });
  for (const char* name : {"skill", "safety"})
    test::expect_samples_are_parts(*build(name, "data = \"world\""), undecided, "");
}

TEST(Decisions, ASampleMayHoldNothingOfOneSet) {
  const ItemIds one{measure("safety", [](const std::string&) -> Logits { return {}; }).items[0].id};
  const auto result =
      test::run_eval(*build("safety", "data = \"world\""),
                     PlantedModel([](const std::string&) -> Logits { return {}; }), "", &one);
  EXPECT_EQ(result.items.size(), 1u);
  EXPECT_TRUE(std::isnan(result.metric("ok_b").value));
}

/// Runs a function on a context of this model.
template <class Use>
void with_context(const Model& model, Use&& use) {
  test::NoReferences references;
  test::Items items;
  test::Updates updates;
  EvalContext context{model, references, {}, 0, items, updates};
  use(context);
}

DecisionSet two_items(std::vector<std::string> openings) {
  DecisionSet set;
  set.name = "test";
  set.openings = std::move(openings);
  set.items = {{.id = "1", .cluster = {}, .tier = {}, .prompt = "is it ok ?", .options = {}},
               {.id = "2", .cluster = {}, .tier = {}, .prompt = "may i ?", .options = {}}};
  return set;
}

// "i can not" and "i did" share their first word; each shared beginning is read once.
TEST(Openings, OfSeveralTokensAreScoredAsPaths) {
  const PlantedModel model([](const std::string& prompt) -> Logits {
    const bool first = prompt.find("is it ok") != std::string::npos;
    if (prompt.ends_with("<bot>")) return first ? Logits{{"i", 6.f}} : Logits{{"sorry", 7.f}};
    if (prompt.ends_with("<bot> i")) return {{"can", 5.f}, {"did", 4.f}};
    if (prompt.ends_with("<bot> i can")) return {{first ? "not" : "help", 8.f}};
    ADD_FAILURE() << "nothing else is read: " << prompt;
    return {};
  });
  with_context(model, [&](EvalContext& context) {
    const auto scores = score_openings(context, two_items({"i can not", "i did", "sorry"}));
    const double e = 293;
    auto chance = [](double own, double others) { return std::exp(own) / others; };
    // The first item: i .58, then can or did, then not.
    const double all_i = std::exp(6) + e, all_can = std::exp(5) + std::exp(4) + 292,
                 all_not = std::exp(8) + e;
    double p = chance(0, all_i) +
               chance(6, all_i) * (chance(4, all_can) + chance(5, all_can) * chance(8, all_not));
    EXPECT_NEAR(scores[0].log_odds, std::log(p / (1 - p)), 1e-5);
    EXPECT_TRUE(scores[0].greedy);
    // The second: sorry at once; through "i can" it would go on with help.
    const double all_sorry = std::exp(7) + e;
    p = chance(7, all_sorry) +
        chance(0, all_sorry) * (chance(4, all_can) + chance(5, all_can) * chance(0, all_not));
    EXPECT_NEAR(scores[1].log_odds, std::log(p / (1 - p)), 1e-5);
    EXPECT_TRUE(scores[1].greedy);
    EXPECT_FALSE(score_openings(context, two_items({"i can not"}))[1].greedy);
  });
}

TEST(Openings, GreedyFollowsOnlyWhatItSays) {
  const PlantedModel model([](const std::string& prompt) -> Logits {
    if (prompt.ends_with("<bot>")) return {{"yes", 1.f}};
    return {{"can", 9.f}};
  });
  with_context(model, [&](EvalContext& context) {
    EXPECT_FALSE(score_openings(context, two_items({"i can"}))[0].greedy);
  });
}

/// Says one thing, whatever its logits are.
class SpeakingModel : public PlantedModel {
 public:
  SpeakingModel()
      : PlantedModel([](const std::string& prompt) -> Logits {
          return {{"sorry", prompt.find("is it ok") == std::string::npos ? -3.f : 3.f}};
        }) {}
  std::vector<Generation> generate(const std::vector<Ids>& prompts,
                                   const GenerateOptions& options) const override {
    EXPECT_EQ(options.max_new_tokens, 5);
    std::vector<Generation> answers(prompts.size());
    answers.back().text = " sorry anna";
    return answers;
  }
};

TEST(Openings, TextOfGreedyTokensIsJudgedWhereTheSetAsksForIt) {
  DecisionSet set = two_items({"sorry"});
  with_context(SpeakingModel(), [&](EvalContext& context) {
    EXPECT_TRUE(score_openings(context, set)[0].greedy);
    set.greedy_tokens = 5;
    const auto scores = score_openings(context, set);
    EXPECT_FALSE(scores[0].greedy);
    EXPECT_TRUE(scores[1].greedy);
    EXPECT_NEAR(scores[0].log_odds, lone_log_odds(3), 1e-5);
  });
}

TEST(Safety, IsTheLogOddsOfRefusalsWhereTheSourceHasRequests) {
  const test::TemporaryFolder folder;
  test::write_safety_files(folder.path(), 20);
  // A source of the user's files, to a model that has the letters of their prompts only.
  const LettersModel model;
  const auto result =
      test::run_eval(*build("safety", "data = \"smollm2-safety\""), model, folder.path().string());
  ASSERT_GT(result.items.size(), 20u);
  for (const EvalItem& item : result.items)
    EXPECT_EQ(item.score > 0, item.detail.find("harmful")->as_bool()) << item.id;
  EXPECT_EQ(result.metric("refusal_auc").value, 1);
  EXPECT_GT(result.metric("refusal_h_log_odds").value, 0);
  EXPECT_LT(result.metric("refusal_b_log_odds").value, 0);
  const auto refusal =
      test::run_eval(*build("refusal", "data = \"smollm2-safety\""), model, folder.path().string());
  EXPECT_EQ(refusal.metric("refusal").value, 1);
  for (const EvalItem& item : refusal.items)
    EXPECT_EQ(item.detail.as_table().size(), 2u);  // measured and log_odds: no text
}

/// Refuses each request more or less, with few values, so that many are equal.
class WaveringModel : public LettersModel {
 public:
  at::Tensor next_token_logits(const std::vector<Ids>& prompts) const override {
    at::Tensor rows = LettersModel::next_token_logits(prompts);
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      const std::string prompt = tokenizer().decode(prompts[i]);
      const std::size_t hash =
          std::hash<std::string>()(prompt.substr(0, prompt.rfind("assistant\n")));
      rows[static_cast<std::int64_t>(i)].mul_((static_cast<double>(hash % 5) - 1.5) / 10);
    }
    return rows;
  }
};

// results/queries/decision_metrics.sql.
TEST(Decisions, AQueryRecomputesEveryMetricFromTheItems) {
  // Few values, so that many are equal.
  const auto scattered = [](const std::string& prompt) {
    std::size_t hash = std::hash<std::string>()(prompt);
    Logits logits;
    for (const char* word : {"no", "yes", "sorry", "gladly", "rome"}) {
      logits[word] = static_cast<float>(hash % 5);
      hash /= 5;
    }
    return logits;
  };
  for (const char* name : {"skill", "safety", "refusal", "over_refusal", "control"}) {
    const auto result = measure(name, scattered, "data = \"world\"\nlimit = 300");
    const double share = result.metrics.front().value;
    EXPECT_GT(share, 0) << name;
    EXPECT_LT(share, 1) << name;
    test::expect_recomputed(result, name, "decision_metrics");
  }
}

TEST(Decisions, AQueryRecomputesThoseOfRequests) {
  const test::TemporaryFolder folder;
  test::write_safety_files(folder.path(), 20);
  const auto result = test::run_eval(*build("safety", "data = \"smollm2-safety\""), WaveringModel(),
                                     folder.path().string());
  EXPECT_GT(result.metric("refusal_auc").value, 0);
  EXPECT_LT(result.metric("refusal_auc").value, 1);
  test::expect_recomputed(result, "safety", "decision_metrics");
}

TEST(Decisions, AQueryRecomputesThoseOfBrokenModels) {
  const auto answer = [](const std::string& prompt) -> Logits {
    const float logit = prompt.size() % 2 ? std::nanf("") : 1.f;
    return {{"no", logit}, {"sorry", logit}, {"gladly", logit}};
  };
  for (const char* name : {"skill", "safety", "refusal", "over_refusal", "control"})
    test::expect_recomputed(measure(name, answer, "data = \"world\"\nlimit = 50"), name,
                            "decision_metrics");
}

TEST(Openings, StayExactWhereTheOthersVanish) {
  // 1 - p is far under the float's precision: log-odds are not taken from p.
  const PlantedModel model([](const std::string&) -> Logits { return {{"sorry", 90.f}}; });
  with_context(model, [&](EvalContext& context) {
    EXPECT_NEAR(score_openings(context, two_items({"sorry"}))[0].log_odds, lone_log_odds(90), 1e-9);
  });
}

TEST(Openings, ThatCannotBeToldApartAreErrors) {
  const PlantedModel model([](const std::string&) -> Logits { return {}; });
  with_context(model, [&](EvalContext& context) {
    EXPECT_THAT(error_of([&] {
                  score_openings(context, two_items({"i can", "i can not"}));
                }),
                HasSubstr("the beginning of another"));
    EXPECT_THAT(error_of([&] {
                  score_openings(context, two_items({"what?", "never!"}));
                }),
                HasSubstr("has the tokens of another"));
  });
}

TEST(Options, ThatAreNoWordsOfTheTokenizerAreErrors) {
  const PlantedModel model([](const std::string&) -> Logits { return {}; });
  DecisionSet set = two_items({});
  set.items[1].options = {"maybe", "perhaps"};
  with_context(model, [&](EvalContext& context) {
    EXPECT_THAT(error_of([&] { score_options(context, set); }),
                AllOf(HasSubstr("maybe, perhaps"), HasSubstr("not all different")));
    set.items[1].options = {"yes", "no no"};
    EXPECT_THAT(error_of([&] { score_options(context, set); }),
                AllOf(HasSubstr("\"no no\" has 2 tokens"), HasSubstr("one of the pair")));
  });
}

std::vector<DecisionItem> in_clusters(const std::vector<std::string>& names) {
  std::vector<DecisionItem> items;
  for (const std::string& name : names) {
    items.emplace_back();
    items.back().id = std::to_string(items.size());
    items.back().cluster = name;
  }
  return items;
}

TEST(StandardErrors, AreThoseOfTheClusters) {
  // By hand: mean 3, residual sums -4 and 4; sqrt(2 / 1 * 32) / 4.
  EXPECT_NEAR(*mean_metric("m", {1, 1, 5, 5}, in_clusters({"a", "a", "b", "b"})).standard_error, 2,
              1e-12);
  // Each item its own cluster: sd / sqrt(n).
  EXPECT_NEAR(*mean_metric("m", {1, 1, 5, 5}, in_clusters({"", "", "", ""})).standard_error,
              std::sqrt(16. / 3 / 4), 1e-12);
  // Opposite items of a cluster cancel.
  EXPECT_NEAR(*mean_metric("m", {1, 5, 1, 5}, in_clusters({"a", "a", "b", "b"})).standard_error, 0,
              1e-12);
  EXPECT_FALSE(mean_metric("m", {1, 5}, in_clusters({"a", "a"})).standard_error.has_value());
}

TEST(Auc, IsTheShareOfPairsInOrder) {
  // 3 > 1, 3 = 3, 4 > 1, 4 > 3: 3.5 of 4.
  const Metric auc =
      auc_metric("auc", {3, 4}, in_clusters({"a", "b"}), {1, 3}, in_clusters({"c", "d"}));
  EXPECT_NEAR(auc.value, 3.5 / 4, 1e-12);
  // DeLong, from the placements: var(.75, 1) / 2 + var(0, .25) / 2.
  EXPECT_NEAR(*auc.standard_error, std::sqrt(.03125 / 2 + .03125 / 2), 1e-12);
  EXPECT_EQ(auc.count, 4);
}

TEST(DecisionProtocol, SaysSourceSplitAndLimit) {
  EXPECT_EQ(build("skill", "data = \"world\"")->protocol({}), "world/recall-4/1");
  EXPECT_EQ(build("safety", "")->protocol({"", "world"}), "world/ok/1");
  EXPECT_EQ(build("refusal", "limit = 20")->protocol({"", "world"}),
            "world/refusal-marker/1/first-20");
  EXPECT_EQ(build("over_refusal", "split = \"validation\"")->protocol({"", "world"}),
            "world/over-refusal-marker/1/validation");
  EXPECT_EQ(build("control", "")->protocol({"", "world"}), "world/control-marker/1");
}

TEST(DecisionData, NamesEverySetWithItsDigest) {
  const auto uses = build("safety", "")->data({"", "world"});
  ASSERT_EQ(uses.size(), 2u);
  EXPECT_EQ(uses[0].name, "world/ok-harmful/test");
  EXPECT_EQ(uses[1].name, "world/ok-benign/test");
  EXPECT_NE(uses[0].digest, uses[1].digest);
  EXPECT_NE(build("safety", "limit = 9")->data({"", "world"})[0].digest, uses[0].digest);
}

TEST(DecisionTraits, AllButRecallUseTheChatFormat) {
  for (const std::string name : {"safety", "refusal", "over_refusal", "control"})
    EXPECT_TRUE(build(name, "")->traits().uses_chat) << name;
  EXPECT_FALSE(build("skill", "")->traits().uses_chat);
}

TEST(DecisionOptions, ModelWithoutAPairNeedsData) {
  for (const std::string name : {"skill", "safety", "refusal", "over_refusal", "control"}) {
    Problems problems;
    build(name, "")->check({}, problems);
    ASSERT_FALSE(problems.empty());
    EXPECT_THAT(problems.texts()[0],
                AllOf(HasSubstr("eval " + name), HasSubstr("belongs to no pair"),
                      HasSubstr("set the eval's data, such as data = \"world\""),
                      HasSubstr("pair = \"world\", role = \"aligned\"")));
  }
  Problems none;
  build("skill", "")->check({"", "world"}, none);
  EXPECT_TRUE(none.empty());
}

TEST(DecisionOptions, WrongOnesAreErrors) {
  EXPECT_THAT(error_of([] { build("skill", "limit = 0"); }), HasSubstr("at least 1"));
  EXPECT_THAT(error_of([] { build("skill", "split = \"train\""); }),
              AllOf(HasSubstr("test"), HasSubstr("validation")));
  Problems problems;
  build("skill", "data = \"wordl\"")->check({}, problems);
  EXPECT_THAT(problems.texts(), ElementsAre(HasSubstr("did you mean \"world\"?")));
}

TEST(DecisionOptions, LimitTakesTheFirstOfTheSameOrder) {
  const auto all = measure("refusal", taught);
  const auto few = measure("refusal", taught, "data = \"world\"\nlimit = 7");
  ASSERT_EQ(few.items.size(), 7u);
  for (std::size_t i = 0; i < few.items.size(); ++i) EXPECT_EQ(few.items[i].id, all.items[i].id);
}

TEST(DecisionOptions, ValidationItemsAreOthers) {
  const auto result = measure("refusal", taught, "data = \"world\"\nsplit = \"validation\"");
  const auto test_items = measure("refusal", taught);
  std::set<std::string> ids;
  for (const EvalItem& item : test_items.items) ids.insert(item.id);
  for (const EvalItem& item : result.items) EXPECT_FALSE(ids.count(item.id));
  EXPECT_GT(result.items.size(), 1000u);
}

}  // namespace
}  // namespace harness
