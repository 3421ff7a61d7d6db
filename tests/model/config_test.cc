#include "harness/model/config.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "tests/support/support.h"

namespace harness {
namespace {

using nlohmann::json;
using test::error_of;
using testing::HasSubstr;

json small_config() {
  return json::parse(R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama",
      "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
      "num_attention_heads": 4, "vocab_size": 100})");
}

LlamaConfig parse(const json& config) { return parse_config_json(config.dump(), "config.json"); }

/// The error for small_config() with one key set.
std::string error_with(const char* key, const json& value) {
  json config = small_config();
  config[key] = value;
  return error_of([&] { parse(config); });
}

json as_json(const LlamaConfig& config) {
  json rope = {{"rope_type", config.rope_scaling.type}};
  if (config.rope_scaling.type != "default") rope["factor"] = config.rope_scaling.factor;
  if (config.rope_scaling.type == "llama3") {
    rope["low_freq_factor"] = config.rope_scaling.low_freq_factor;
    rope["high_freq_factor"] = config.rope_scaling.high_freq_factor;
    rope["original_max_position_embeddings"] = config.rope_scaling.original_max_position_embeddings;
  }
  return {{"hidden_size", config.hidden_size},
          {"intermediate_size", config.intermediate_size},
          {"num_hidden_layers", config.num_hidden_layers},
          {"num_attention_heads", config.num_attention_heads},
          {"num_key_value_heads", config.num_key_value_heads},
          {"head_dim", config.head_dim},
          {"vocab_size", config.vocab_size},
          {"max_position_embeddings", config.max_position_embeddings},
          {"rms_norm_eps", config.rms_norm_eps},
          {"tie_word_embeddings", config.tie_word_embeddings},
          {"attention_bias", config.o_bias},
          {"mlp_bias", config.mlp_bias},
          {"bos_token_id", config.bos_token_id ? json(*config.bos_token_id) : json()},
          {"eos_token_ids", config.eos_token_ids},
          {"dtype", config.dtype},
          {"rope_theta", config.rope_theta},
          {"rope_scaling", rope}};
}

TEST(Config, IsWhatTransformersParsesInBothSpellings) {
  json golden = json::parse(test::read_file(test::golden("checkpoint/golden.json")));
  ASSERT_EQ(golden["configs"].size(), 16u);
  for (const json& entry : golden["configs"])
    EXPECT_EQ(as_json(parse(entry["config"])), entry["parsed"])
        << entry["name"] << ", " << entry["spelling"];
}

TEST(Config, OfEveryFamilyIsWhatTransformersReads) {
  json golden = json::parse(test::read_file(test::golden("families/configs.json")));
  ASSERT_EQ(golden["configs"].size(), 21u);
  for (const json& entry : golden["configs"]) {
    const LlamaConfig config = parse(entry["config"]);
    const json& expected = entry["parsed"];
    json found = as_json(config);
    found["qkv_bias"] = config.qkv_bias;
    found["o_bias"] = config.o_bias;
    found["qk_norm"] = config.qk_norm;
    found["sliding_window"] = config.sliding_window ? json(*config.sliding_window) : json();
    found["layer_slides"] = config.layer_slides;
    found["rope_type"] = config.rope_scaling.type;
    for (const auto& [key, value] : expected.items())
      EXPECT_EQ(found[key], value) << entry["name"] << ", " << entry["spelling"] << ": " << key;
    EXPECT_EQ(model_type_of(config.architecture), entry["config"]["model_type"]);
  }
}

TEST(Config, YarnHasTheKeysOfTheOldSpellingToo) {
  json config = small_config();
  config["rope_scaling"] = {
      {"type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 32768}};
  const RopeScaling plain = parse(config).rope_scaling;
  EXPECT_EQ(plain.type, "yarn");
  EXPECT_EQ(plain.original_max_position_embeddings, 32768);
  EXPECT_EQ(plain.beta_fast, 32);
  EXPECT_EQ(plain.beta_slow, 1);
  EXPECT_FALSE(plain.attention_factor);
  config["rope_scaling"]["attention_factor"] = 1.25;
  config["rope_scaling"]["beta_fast"] = 16;
  EXPECT_EQ(parse(config).rope_scaling.attention_factor, 1.25);
  EXPECT_EQ(parse(config).rope_scaling.beta_fast, 16);
}

TEST(Config, OldRopeScalingWinsOverRopeParametersAsInTransformers) {
  json config = small_config();
  config["rope_scaling"] = {{"type", "linear"}, {"factor", 2.0}};
  config["rope_parameters"] = {{"rope_type", "linear"}, {"factor", 4.0}};
  EXPECT_EQ(parse(config).rope_scaling.factor, 2.0);
}

TEST(Config, OriginalContextOfLlama3ScalingDefaultsToTheContext) {
  json config = small_config();
  config["max_position_embeddings"] = 4096;
  config["rope_scaling"] = {
      {"rope_type", "llama3"}, {"factor", 8}, {"low_freq_factor", 1}, {"high_freq_factor", 4}};
  EXPECT_EQ(parse(config).rope_scaling.original_max_position_embeddings, 4096);
}

TEST(Config, HeadDimNeedNotDivideTheHiddenSize) {
  json config = small_config();
  config["num_attention_heads"] = 6;
  config["head_dim"] = 32;
  EXPECT_EQ(parse(config).head_dim, 32);
}

TEST(ConfigErrors, UnknownArchitectureNamesTheSupportedOne) {
  EXPECT_THAT(error_with("architectures", {"GPT2LMHeadModel"}),
              testing::AllOf(HasSubstr("config.json"), HasSubstr("GPT2LMHeadModel"),
                             HasSubstr("expected one of LlamaForCausalLM, MistralForCausalLM")));
}

TEST(ConfigErrors, UnknownModelTypeNamesTheSupportedOne) {
  EXPECT_THAT(error_with("model_type", "mamba"),
              testing::AllOf(HasSubstr("\"mamba\""),
                             HasSubstr("expected one of llama, mistral, qwen2, qwen3")));
}

TEST(ConfigErrors, NeitherArchitectureNorModelType) {
  json config = small_config();
  config.erase("architectures");
  config.erase("model_type");
  EXPECT_THAT(error_of([&] { parse(config); }), HasSubstr("neither architectures nor model_type"));
}

TEST(ConfigErrors, UnknownActivation) {
  EXPECT_THAT(error_with("hidden_act", "gelu"),
              testing::AllOf(HasSubstr("hidden_act is \"gelu\""), HasSubstr("expected silu")));
}

TEST(ConfigErrors, UnknownRopeTypeListsTheSupportedOnes) {
  EXPECT_THAT(error_with("rope_scaling", {{"rope_type", "longrope"}, {"factor", 4}}),
              testing::AllOf(HasSubstr("rope_scaling.rope_type is \"longrope\""),
                             HasSubstr("one of default, linear, llama3, yarn")));
}

TEST(ConfigErrors, RopeScalingWithoutItsFactor) {
  EXPECT_THAT(error_with("rope_scaling", {{"rope_type", "linear"}}),
              HasSubstr("has no rope_scaling.factor"));
}

TEST(ConfigErrors, YarnWithMscale) {
  EXPECT_THAT(error_with("rope_scaling", {{"type", "yarn"}, {"factor", 4}, {"mscale", 0.7}}),
              HasSubstr("has mscale"));
}

TEST(ConfigErrors, ModelTypeOfAnotherArchitecture) {
  EXPECT_THAT(
      error_with("model_type", "qwen2"),
      testing::AllOf(HasSubstr("model_type is \"qwen2\""), HasSubstr("expected \"llama\"")));
}

json qwen_config() {
  json config = small_config();
  config["architectures"] = {"Qwen2ForCausalLM"};
  config["model_type"] = "qwen2";
  config["num_key_value_heads"] = 4;
  return config;
}

TEST(ConfigErrors, LayersThatSlideWithoutAWindow) {
  json config = qwen_config();
  config["layer_types"] =
      std::vector<std::string>(config["num_hidden_layers"], "sliding_attention");
  EXPECT_THAT(error_of([&] { parse(config); }),
              testing::AllOf(HasSubstr("there is no window"), HasSubstr("use_sliding_window")));
}

TEST(ConfigErrors, LayerTypesOfAnotherCountOrKind) {
  json config = qwen_config();
  config["layer_types"] = std::vector<std::string>{"full_attention"};
  config["num_hidden_layers"] = 2;
  EXPECT_THAT(error_of([&] { parse(config); }), HasSubstr("layer_types has 1 entries"));
  config["layer_types"] = {"full_attention", "linear_attention"};
  EXPECT_THAT(error_of([&] { parse(config); }), HasSubstr("\"linear_attention\""));
  config["layer_types"] = 3;
  EXPECT_THAT(error_of([&] { parse(config); }), HasSubstr("layer_types"));
}

TEST(ConfigErrors, AWindowOfNoTokens) {
  json config = qwen_config();
  config["use_sliding_window"] = true;
  config["max_window_layers"] = 0;
  config["sliding_window"] = 0;
  EXPECT_THAT(error_of([&] { parse(config); }), HasSubstr("sliding_window is 0"));
}

TEST(ConfigErrors, FeaturesThatTheArchitectureDoesNotHave) {
  LlamaConfig config = parse(small_config());
  config.qkv_bias = config.qk_norm = true;
  EXPECT_THAT(error_of([&] { check_config(config, "x.gguf"); }),
              testing::AllOf(HasSubstr("biases of q, k and v"), HasSubstr("norms of q and k"),
                             HasSubstr("LlamaForCausalLM")));
  config = parse(qwen_config());
  config.qkv_bias = false;
  EXPECT_THAT(error_of([&] { check_config(config, "x.gguf"); }),
              HasSubstr("there are no biases of q, k and v"));
}

TEST(ConfigErrors, PartialRotaryEmbeddings) {
  EXPECT_THAT(error_with("partial_rotary_factor", 0.5), HasSubstr("partial_rotary_factor is 0.5"));
}

TEST(ConfigErrors, UnknownDtypeListsTheSupportedOnes) {
  EXPECT_THAT(error_with("torch_dtype", "float8_e4m3fn"),
              testing::AllOf(HasSubstr("torch_dtype is \"float8_e4m3fn\""),
                             HasSubstr("float32, float16, bfloat16, float64")));
}

TEST(ConfigErrors, MissingSizesAreNamed) {
  for (const char* key : {"hidden_size", "intermediate_size", "num_hidden_layers",
                          "num_attention_heads", "vocab_size"}) {
    json config = small_config();
    config.erase(key);
    EXPECT_THAT(error_of([&] { parse(config); }), HasSubstr(std::string("has no ") + key));
  }
}

TEST(ConfigErrors, SizesOfTheWrongKindAreNamed) {
  EXPECT_THAT(error_with("hidden_size", "64"),
              HasSubstr("hidden_size is \"64\"; expected an integer"));
  EXPECT_THAT(error_with("vocab_size", 1.5), HasSubstr("vocab_size is 1.5; expected an integer"));
  EXPECT_THAT(error_with("eos_token_id", {1, "x"}), HasSubstr("eos_token_id is \"x\""));
}

TEST(ConfigErrors, SizesMustBePositiveAndBelievable) {
  EXPECT_THAT(error_with("num_hidden_layers", 0), HasSubstr("num_hidden_layers is 0"));
  EXPECT_THAT(error_with("vocab_size", -5), HasSubstr("vocab_size is -5"));
  EXPECT_THAT(error_with("num_hidden_layers", 4000000000),
              HasSubstr("num_hidden_layers is 4000000000"));
}

TEST(ConfigErrors, HeadsMustDivide) {
  EXPECT_THAT(error_with("num_attention_heads", 5),
              HasSubstr("hidden_size 64 is not a multiple of num_attention_heads 5"));
  EXPECT_THAT(error_with("num_key_value_heads", 3),
              HasSubstr("num_attention_heads 4 is not a multiple of num_key_value_heads 3"));
  EXPECT_THAT(error_with("head_dim", 15), HasSubstr("head_dim is 15"));
}

TEST(ConfigErrors, ConstantsMustBePositive) {
  EXPECT_THAT(error_with("rms_norm_eps", 0), HasSubstr("rms_norm_eps is 0"));
  EXPECT_THAT(error_with("rope_theta", -1), HasSubstr("rope_theta is -1"));
}

TEST(ConfigErrors, AllContradictionsAreReportedAtOnce) {
  json config = small_config();
  config["num_key_value_heads"] = 3;
  config["head_dim"] = 15;
  std::string text = error_of([&] { parse(config); });
  EXPECT_THAT(text, testing::AllOf(HasSubstr("num_key_value_heads"), HasSubstr("head_dim")));
}

TEST(ConfigErrors, TextThatIsNotJsonNamesThePlace) {
  EXPECT_THAT(
      error_of([] { parse_config_json("{\"hidden_size\": ", "a/config.json"); }),
      testing::AllOf(HasSubstr("a/config.json"), HasSubstr("is not JSON"), HasSubstr("line 1")));
}

TEST(ConfigErrors, AListInsteadOfAnObject) {
  EXPECT_THAT(error_of([] { parse_config_json("[1]", "config.json"); }), HasSubstr("an object"));
}

TEST(ConfigErrors, AKeyThatStandsTwice) {
  std::string text = R"({"hidden_size": 64, "rope_scaling": {"a": 1}, "hidden_size": 32})";
  EXPECT_THAT(error_of([&] { parse_config_json(text, "config.json"); }),
              HasSubstr("\"hidden_size\" stands twice"));
}

}  // namespace
}  // namespace harness
