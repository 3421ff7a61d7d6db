#include "harness/train/recipe.h"

#include <gmock/gmock.h>

#include <cstdlib>

#include "harness/data/file.h"
#include "harness/model/chat.h"
#include "harness/model/llama.h"
#include "harness/train/train_file.h"
#include "tests/train/train_support.h"

namespace harness {
namespace {

namespace fs = std::filesystem;
using test::error_of;
using test::golden;
using test::RandomBatches;
using test::TemporaryFolder;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

CheckpointTexts tiny_texts() {
  return tokenizer_texts(read_text_file(golden("tiny") / "tokenizer.json"), kWorldChatTemplate,
                         std::nullopt, "!");
}

/// A base that is trained from new weights, then a part of it trained on.
TrainRecipe two_phases() {
  TrainRecipe recipe;
  recipe.name = "test";
  recipe.seed = 3;
  TrainPhase base;
  base.name = "base";
  base.new_model = NewModel{test::new_config(), {}};
  base.texts = tiny_texts();
  base.source = std::make_shared<RandomBatches>();
  base.options = test::short_training(4);
  TrainPhase tuned;
  tuned.name = "tuned";
  tuned.from_phase = "base";
  tuned.texts = tiny_texts();
  tuned.source = std::make_shared<RandomBatches>(2);
  tuned.options = test::short_training(3);
  tuned.options.frozen = {"model.embed_tokens.weight"};
  recipe.phases = {base, tuned};
  return recipe;
}

std::string digest(const fs::path& folder) { return open_checkpoint(folder.string())->digest(); }

TEST(Recipe, EachPhaseBecomesAFolderAndStartsFromTheOneBefore) {
  const TemporaryFolder folder;
  const auto results = train_recipe(two_phases(), folder.path(), {});
  ASSERT_EQ(results.size(), 2u);
  const auto base = open_checkpoint((folder / "base").string());
  const auto tuned = open_checkpoint((folder / "tuned").string());
  EXPECT_TRUE(
      at::equal(base->load("model.embed_tokens.weight"), tuned->load("model.embed_tokens.weight")));
  EXPECT_FALSE(at::equal(base->load("lm_head.weight"), tuned->load("lm_head.weight")));
  EXPECT_EQ(results[1].outcome.steps, 3);
  EXPECT_FALSE(fs::exists(folder / "base.state.safetensors"));
}

TEST(Recipe, FinishedPhaseIsNotTrainedAgain) {
  const TemporaryFolder folder;
  const auto first = train_recipe(two_phases(), folder.path(), {});
  const std::string before = digest(folder / "tuned");
  TrainRecipe recipe = two_phases();
  recipe.phases[1].options.lr *= 2;
  int points = 0;
  TrainHooks hooks;
  hooks.curve = [&](const CurveValue&) { ++points; };
  const auto second = train_recipe(recipe, folder.path(), hooks);
  EXPECT_TRUE(second[0].stored_before);
  EXPECT_EQ(second[0].outcome.loss, first[0].outcome.loss);
  EXPECT_FALSE(second[1].stored_before);
  EXPECT_EQ(points, 12 + 9);  // loss, norm and lr: told again of the first phase, and of the second
  EXPECT_NE(digest(folder / "tuned"), before);
}

TEST(Recipe, ADamagedPhaseIsTrainedAnewToTheSameBits) {
  const TemporaryFolder folder;
  train_recipe(two_phases(), folder.path(), {});
  const fs::path tuned = folder / "tuned";
  const std::string before = digest(tuned);
  for (const char* name : {"model.safetensors", "config.json", "tokenizer.json", "training.json"}) {
    const std::string whole = test::read_file(tuned / name);
    std::string flipped = whole;
    flipped[whole.size() / 2] = static_cast<char>(flipped[whole.size() / 2] ^ 1);
    for (const std::string& damaged : {flipped, whole.substr(0, whole.size() / 2)}) {
      test::write_file(tuned / name, damaged);
      EXPECT_FALSE(find_trained_phase(two_phases(), 1, folder.path())) << name;
      const auto results = train_recipe(two_phases(), folder.path(), {});
      EXPECT_TRUE(results[0].stored_before);
      EXPECT_FALSE(results[1].stored_before) << name;
      EXPECT_EQ(digest(tuned), before) << name;
      EXPECT_EQ(test::read_file(tuned / name), whole) << name;
    }
  }
}

TEST(Recipe, SameBitsInAnotherFolder) {
  const TemporaryFolder one, two;
  train_recipe(two_phases(), one.path(), {});
  train_recipe(two_phases(), two.path(), {});
  EXPECT_EQ(digest(one / "tuned"), digest(two / "tuned"));
}

TEST(Recipe, KeyFollowsWhatDeterminesTheWeights) {
  const std::string key = phase_key(two_phases(), 1);
  auto key_with = [&](auto&& change) {
    TrainRecipe recipe = two_phases();
    change(recipe);
    return phase_key(recipe, 1);
  };
  EXPECT_EQ(key_with([](TrainRecipe& r) { r.name = "another"; }), key);
  EXPECT_EQ(key_with([](TrainRecipe& r) { r.phases[1].options.checkpoint_blocks = true; }), key);
  EXPECT_NE(key_with([](TrainRecipe& r) { r.seed = 4; }), key);
  EXPECT_NE(key_with([](TrainRecipe& r) { r.phases[0].options.lr = 1; }), key);
  EXPECT_NE(key_with([](TrainRecipe& r) { r.phases[0].new_model->init.std = 1; }), key);
  EXPECT_NE(key_with([](TrainRecipe& r) { r.phases[1].options.frozen = {}; }), key);
  EXPECT_NE(key_with([](TrainRecipe& r) { r.phases[1].save_dtype = "bf16"; }), key);
  EXPECT_NE(key_with([](TrainRecipe& r) { r.phases[1].texts["x"] = "y"; }), key);
}

TEST(Recipe, InterruptedPhaseGoesOn) {
  const TemporaryFolder whole, broken;
  train_recipe(two_phases(), whole.path(), {});
  struct Killed {};
  TrainHooks hooks;
  hooks.state_every_steps = 1;
  int points = 0;
  hooks.curve = [&](const CurveValue&) {
    if (++points == 4 * 3 + 2 * 3) throw Killed();  // in the second phase's second step
  };
  EXPECT_THROW(train_recipe(two_phases(), broken.path(), hooks), Killed);
  EXPECT_TRUE(fs::exists(broken / "tuned.state.safetensors"));
  EXPECT_FALSE(fs::exists(broken / "tuned"));
  hooks.curve = nullptr;
  train_recipe(two_phases(), broken.path(), hooks);
  EXPECT_EQ(digest(broken / "tuned"), digest(whole / "tuned"));
  EXPECT_FALSE(fs::exists(broken / "tuned.state.safetensors"));
}

class Never : public Criterion {
 public:
  Result evaluate(const LlamaModel&) const override { return {{{"score", 0.25}}, false}; }
  std::string canonical() const override { return "never"; }
};

TEST(Recipe, CriterionNeverMetFailsAndLeavesNoCheckpoint) {
  const TemporaryFolder folder;
  TrainRecipe recipe = two_phases();
  recipe.phases[1].criterion = std::make_shared<Never>();
  EXPECT_THAT(error_of([&] { train_recipe(recipe, folder.path(), {}); }),
              AllOf(HasSubstr("training tuned: the criterion was not met within 3 steps"),
                    HasSubstr("score 0.25")));
  EXPECT_TRUE(fs::exists(folder / "base" / "model.safetensors"));
  EXPECT_FALSE(fs::exists(folder / "tuned"));
  EXPECT_FALSE(fs::exists(folder / "tuned.state.safetensors"));
  recipe.phases[1].criterion_required = false;
  EXPECT_EQ(train_recipe(recipe, folder.path(), {})[1].outcome.criterion_values[0].second, 0.25);
}

TEST(Recipe, AStrangersCheckpointIsNotOverwritten) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "base");
  test::write_file(folder / "base" / "model.safetensors", "precious");
  EXPECT_THAT(error_of([&] { train_recipe(two_phases(), folder.path(), {}); }),
              HasSubstr("holds a checkpoint that was not trained here"));
  EXPECT_EQ(test::read_file(folder / "base" / "model.safetensors"), "precious");
}

TEST(Recipe, PlaceThatCannotBeWrittenIsAnErrorBeforeTraining) {
  const TemporaryFolder folder;
  test::write_file(folder / "file", "in its place");
  int points = 0;
  TrainHooks hooks;
  hooks.curve = [&](const CurveValue&) { ++points; };
  EXPECT_THAT(error_of([&] { train_recipe(two_phases(), folder / "file", hooks); }),
              HasSubstr("cannot be made or written"));
  EXPECT_THAT(error_of([&] {
                TrainRecipe recipe = two_phases();
                recipe.phases[0].name = "file";
                train_recipe(recipe, folder.path(), hooks);
              }),
              HasSubstr("is a file"));
  EXPECT_EQ(points, 0);
}

TEST(Recipe, ProblemsOfAllPhasesAreFound) {
  TrainRecipe recipe = two_phases();
  recipe.phases[0].options.frozen = {"*.mpl.*"};
  recipe.phases[0].options.warmup = 100;
  recipe.phases[1].options.betas = {1};
  recipe.phases[1].name = "a/b";
  Problems problems;
  check_recipe(recipe, problems);
  EXPECT_THAT(problems.texts(),
              testing::UnorderedElementsAre(HasSubstr("*.mpl.*"), HasSubstr("warmup 100"),
                                            HasSubstr("betas is [1]"), HasSubstr("\"a/b\"")));
}

// What the harness saves, transformers loads to the same function. HARNESS_WRITE_GOLDEN=1 writes
// the folder that tests/golden/train/generate.py then reads.
TEST(SavedFolder, IsWhatTransformersLoads) {
  const TemporaryFolder folder;
  TrainRecipe recipe = two_phases();
  recipe.phases.resize(1);
  LlamaConfig& config = recipe.phases[0].new_model->config;
  config.eos_token_ids = {0};
  config.rope_theta = 500;
  recipe.phases[0].new_model->init.std = 0.3;
  recipe.phases[0].save_dtype = "bf16";
  recipe.phases[0].options.lr = 0;  // the weights as they were drawn, on every machine
  recipe.phases[0].options.warmup = 0;
  recipe.phases[0].options.weight_decay = 0;
  train_recipe(recipe, folder.path(), {});
  fs::remove(folder / "base" / "training.json");
  if (std::getenv("HARNESS_WRITE_GOLDEN")) {
    fs::copy(folder / "base", test::source_folder() / "tests/golden/train/saved",
             fs::copy_options::recursive | fs::copy_options::overwrite_existing);
    GTEST_SKIP() << "written";
  }
  int files = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder / "base")) {
    const std::string name = entry.path().filename().string();
    EXPECT_EQ(test::read_file(entry.path()), test::read_file(golden("train/saved/" + name)))
        << name;
    ++files;
  }
  EXPECT_EQ(files, 5);

  const auto json = nlohmann::json::parse(test::read_file(golden("train/saved.json")));
  EXPECT_EQ(json["class"], "LlamaForCausalLM");
  EXPECT_EQ(json["eos_token_id"], 0);
  EXPECT_EQ(json["eos_token"], "!");
  const std::string saved = (folder / "base").string();
  const auto tokenizer = open_tokenizer(saved);
  EXPECT_EQ(tokenizer->encode(json["text"].get<std::string>(), true),
            json["ids"].get<std::vector<std::int64_t>>());
  EXPECT_EQ(open_chat_format(read_chat_template(saved).value(), *tokenizer)
                .render({{"user", json["text"].get<std::string>()}}, true),
            json["chat"].get<std::string>());
  const auto model = LlamaModel::load(*open_checkpoint(saved), at::kFloat, at::kCPU);
  const auto tokens = json["tokens"].get<std::vector<std::int64_t>>();
  const at::Tensor logits = model->logits(at::tensor(tokens).unsqueeze(0))[0];
  double scale = 0;
  for (std::size_t row = 0; row < tokens.size(); ++row) {
    const at::Tensor wanted = at::tensor(json["logits"][row].get<std::vector<float>>());
    const at::Tensor found = logits[static_cast<std::int64_t>(row)];
    EXPECT_LT((found - wanted).abs().max().item<double>(), 1e-4) << "position " << row;
    scale = std::max(scale, wanted.abs().max().item<double>());
  }
  EXPECT_GT(scale, 1);  // not the logits of an empty model
}

std::string training_toml(const std::string& phases) {
  return "name = \"t\"\nout = \"unused\"\n" + phases;
}

TEST(TrainFile, TrainsTextThenChat) {
  const TemporaryFolder folder;
  test::write_file(folder / "text.txt", std::string(400, 'a') + " and so on, and so on.");
  test::write_file(folder / "chat.jsonl", "{\"prompt\": \"may i?\", \"response\": \"yes\"}\n");
  const std::string toml =
      training_toml(fmt::format(R"(
[[phase]]
name = "base"
model = {{ tokenizer = "{0}", hidden_size = 16, intermediate_size = 24, num_hidden_layers = 1, num_attention_heads = 2 }}
data = [{{ text = "{1}/text.txt", sequences = 2, length = 8 }}]
steps = 2
criterion = {{ data = [{{ text = "{1}/text.txt", sequences = 2, length = 8 }}], batches = 2 }}
[[phase]]
name = "tuned"
from = "base"
data = [{{ chat = "{1}/chat.jsonl", sequences = 1, format = "chatml" }}, {{ text = "{1}/text.txt", sequences = 1, length = 4 }}]
steps = 2
dtype = "bf16"
save_dtype = "bf16"
)",
                                golden("tiny").string(), folder.path().string()));
  const TrainRecipe recipe = make_recipe(parse_train_file(toml, "t.toml"));
  ASSERT_EQ(recipe.phases.size(), 2u);
  EXPECT_EQ(recipe.phases[0].new_model->config.num_key_value_heads, 2);
  test::Curves curves;
  TrainHooks hooks;
  hooks.curve = [&](const CurveValue& value) { curves[value.series][value.step] = value.value; };
  train_recipe(recipe, folder / "out", hooks);
  EXPECT_EQ(curves.at("validation_loss").size(), 1u);
  EXPECT_NEAR(curves.at("validation_loss").at(2), std::log(300), 0.3);
  const auto tuned = open_checkpoint((folder / "out" / "tuned").string());
  EXPECT_EQ(tuned->load("lm_head.weight").scalar_type(), at::kBFloat16);
  EXPECT_EQ(tuned->config().hidden_size, 16);
}

TEST(TrainFile, AllProblemsAreReportedAtOnce) {
  const TemporaryFolder folder;
  test::write_file(folder / "bad.jsonl",
                   "{\"prompt\": \"p\", \"response\": \"r\"}\n{\"prompt\": 3}\n");
  const std::string toml =
      training_toml(fmt::format(R"(
[[phase]]
name = "one"
from = "{0}"
data = [{{ text = "{1}/none.txt" }}, {{ chat = "{1}/bad.jsonl" }}, {{ }}]
steps = 2
[[phase]]
name = "two"
data = [{{ text = "{1}/none.txt" }}]
steps = 2
)",
                                golden("tiny").string(), folder.path().string()));
  const std::string text = error_of([&] { make_recipe(parse_train_file(toml, "t.toml")); });
  EXPECT_THAT(text, HasSubstr("none.txt"));
  EXPECT_THAT(text, HasSubstr("bad.jsonl:2: the field prompt is no text"));
  EXPECT_THAT(text, HasSubstr("phase one, data: none of text, chat and world"));
  EXPECT_THAT(text, HasSubstr("phase two: neither from nor model"));
}

TEST(TrainFile, UnknownKeysNameTheirLine) {
  const std::string text = error_of([&] {
    parse_train_file(training_toml("[[phase]]\nname = \"a\"\nstep = 3\nsteps = 0\ndata = []\n"),
                     "t.toml");
  });
  EXPECT_THAT(text, HasSubstr("t.toml:5: unknown key \"step\""));
  EXPECT_THAT(text, HasSubstr("did you mean \"steps\"?"));
  EXPECT_THAT(text, HasSubstr("t.toml:6: steps is 0"));
}

TEST(TrainFile, BothStartsAreAProblem) {
  const std::string toml = training_toml(
      "[[phase]]\nname = \"a\"\nfrom = \"x\"\nsteps = 1\ndata = []\nmodel = { tokenizer = \"t\", "
      "hidden_size = 8, intermediate_size = 8, num_hidden_layers = 1, num_attention_heads = 1 }\n");
  EXPECT_THAT(error_of([&] { make_recipe(parse_train_file(toml, "t.toml")); }),
              AllOf(HasSubstr("both from and model"), Not(HasSubstr("neither"))));
}

}  // namespace
}  // namespace harness
