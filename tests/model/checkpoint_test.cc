#include "harness/model/checkpoint.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <set>

#include "harness/model/tokenizer_check.h"
#include "tests/model/checkpoint_files.h"

namespace harness {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::copy_sharded;
using test::error_of;
using test::set_json;
using testing::AllOf;
using testing::HasSubstr;

const char* const kFirstShard = "model-00001-of-00002.safetensors";
const char* const kSecondShard = "model-00002-of-00002.safetensors";
const char* const kIndex = "model.safetensors.index.json";

/// A copy of the tiny sharded LLaMA that a test may damage.
class DamagedCheckpoint : public testing::Test {
 protected:
  DamagedCheckpoint() { copy_sharded(folder_.path()); }
  fs::path file(const std::string& name) const { return folder_ / name; }
  /// The error on opening it, which must name the folder.
  std::string error() const {
    std::string text = error_of([&] { open_checkpoint(folder_.path().string()); });
    EXPECT_THAT(text, HasSubstr(folder_.path().string()));
    return text;
  }
  test::TemporaryFolder folder_;
};

TEST(Checkpoint, ShardedWeightsAreThoseThatWereSaved) {
  auto checkpoint = open_checkpoint(test::golden("checkpoint/sharded").string());
  json expected = test::golden_json()["safetensors"]["tiny"];
  ASSERT_EQ(checkpoint->names().size(), expected.size());
  for (const auto& [name, digest] : expected.items())
    EXPECT_EQ(test::float_digest(checkpoint->load(name)), digest) << name;
}

TEST(Checkpoint, ShapesAreKnownWithoutLoading) {
  auto checkpoint = open_checkpoint(test::golden("checkpoint/sharded").string());
  EXPECT_EQ(checkpoint->shape("model.layers.1.self_attn.q_proj.weight"),
            (std::vector<std::int64_t>{64, 32}));
  EXPECT_TRUE(checkpoint->contains("lm_head.weight"));
  EXPECT_FALSE(checkpoint->contains("lm_head.bias"));
}

TEST(Checkpoint, SchemeAndDtypeAreThoseStored) {
  auto checkpoint = open_checkpoint(test::golden("checkpoint/sharded").string());
  EXPECT_EQ(checkpoint->scheme(), "safetensors bf16");
  EXPECT_EQ(checkpoint->config().dtype, "bfloat16");
}

TEST(Checkpoint, ExpectedTensorsFollowTheConfig) {
  LlamaConfig config = open_checkpoint(test::golden("checkpoint/sharded").string())->config();
  config.qkv_bias = config.o_bias = config.mlp_bias = config.qk_norm = true;
  config.tie_word_embeddings = true;
  std::map<std::string, std::vector<std::int64_t>> shapes;
  for (const auto& [name, shape] : expected_tensors(config)) shapes[name] = shape;
  EXPECT_EQ(shapes.size(), 2u + 2 * (9 + 7 + 2));
  EXPECT_EQ(shapes.at("model.layers.0.self_attn.k_proj.bias"), std::vector<std::int64_t>{32});
  EXPECT_EQ(shapes.at("model.layers.1.self_attn.o_proj.weight"),
            (std::vector<std::int64_t>{32, 64}));
  EXPECT_EQ(shapes.at("model.layers.1.mlp.down_proj.bias"), std::vector<std::int64_t>{32});
  EXPECT_EQ(shapes.at("model.layers.1.self_attn.q_norm.weight"), std::vector<std::int64_t>{16});
  EXPECT_EQ(shapes.count("lm_head.weight"), 0u);
}

TEST(Checkpoint, FormatsAreARegistry) {
  EXPECT_EQ(checkpoint_formats().names(), (std::vector<std::string>{"gguf", "safetensors"}));
}

TEST_F(DamagedCheckpoint, ASingleFileServesAsWellAsShards) {
  set_json(file("config.json"), "/num_hidden_layers", 1);
  json header;
  int end = 0;
  LlamaConfig config = parse_config_json(test::read_file(file("config.json")), "config.json");
  for (const auto& [name, shape] : expected_tensors(config)) {
    int begin = end;
    end += static_cast<int>(c10::multiply_integers(shape)) * 2;
    header[name] = {{"dtype", "F16"}, {"shape", shape}, {"data_offsets", {begin, end}}};
  }
  std::string ones(static_cast<std::size_t>(end), '\0');
  for (std::size_t i = 1; i < ones.size(); i += 2) ones[i] = 0x3c;  // 1.0 in float16
  fs::remove(file(kIndex));
  test::write_file(file("model.safetensors"), test::safetensors_bytes(header, ones));
  auto checkpoint = open_checkpoint(folder_.path().string());
  EXPECT_EQ(checkpoint->scheme(), "safetensors fp16");
  EXPECT_TRUE(checkpoint->load("model.norm.weight").equal(at::ones({32}, at::kHalf)));
}

TEST_F(DamagedCheckpoint, TheIndexIsPreferredToASingleFile) {
  test::write_file(file("model.safetensors"), "no safetensors file");
  EXPECT_NO_THROW(open_checkpoint(folder_.path().string()));
}

TEST_F(DamagedCheckpoint, DigestChangesWithConfigAndWithEveryShard) {
  std::set<std::string> digests;
  auto add = [&] { digests.insert(open_checkpoint(folder_.path().string())->digest()); };
  add();
  add();
  EXPECT_EQ(digests.size(), 1u) << "the same files have the same digest";
  set_json(file("config.json"), "/rms_norm_eps", 1e-6);
  add();
  EXPECT_EQ(digests.size(), 2u);
  for (const char* shard : {kFirstShard, kSecondShard}) {
    std::string bytes = test::read_file(file(shard));
    bytes.back() ^= 1;
    test::write_file(file(shard), bytes);
    add();
  }
  EXPECT_EQ(digests.size(), 4u);
}

TEST_F(DamagedCheckpoint, MappedWeightsMayBeChangedWithoutChangingTheFile) {
  std::string before = test::read_file(file(kFirstShard));
  auto checkpoint = open_checkpoint(folder_.path().string());
  checkpoint->load("model.embed_tokens.weight").zero_();
  EXPECT_EQ(test::read_file(file(kFirstShard)), before);
}

TEST_F(DamagedCheckpoint, NoConfig) {
  fs::remove(file("config.json"));
  EXPECT_THAT(error(), HasSubstr("no config.json"));
}

TEST_F(DamagedCheckpoint, EmptyConfig) {
  test::write_file(file("config.json"), "");
  EXPECT_THAT(error(), AllOf(HasSubstr("config.json"), HasSubstr("empty")));
}

TEST_F(DamagedCheckpoint, NoWeights) {
  fs::remove(file(kIndex));
  EXPECT_THAT(error(), HasSubstr("neither model.safetensors nor model.safetensors.index.json"));
}

TEST_F(DamagedCheckpoint, AMissingShardIsNamed) {
  fs::remove(file(kSecondShard));
  EXPECT_THAT(error(), AllOf(HasSubstr(kIndex), HasSubstr(kSecondShard), HasSubstr("download")));
}

TEST_F(DamagedCheckpoint, AnIndexWithoutWeightMap) {
  test::write_file(file(kIndex), "{}");
  EXPECT_THAT(error(), HasSubstr("no weight_map"));
}

TEST_F(DamagedCheckpoint, AnIndexThatPointsOutsideTheFolder) {
  for (const std::string& name :
       {"../" + std::string(kSecondShard), std::string(".."), std::string("a/b.safetensors"),
        file(kSecondShard).string(), std::string(""), std::string("pytorch_model.bin")}) {
    set_json(file(kIndex), "/weight_map/lm_head.weight", name);
    EXPECT_THAT(error(), AllOf(HasSubstr("weight_map.lm_head.weight"),
                               HasSubstr("a .safetensors file in the same folder")))
        << name;
  }
}

TEST_F(DamagedCheckpoint, EveryMissingShardIsNamed) {
  fs::remove(file(kFirstShard));
  fs::remove(file(kSecondShard));
  EXPECT_THAT(error(), AllOf(HasSubstr(kFirstShard), HasSubstr(kSecondShard)));
}

TEST_F(DamagedCheckpoint, ShardsWithoutTheirIndex) {
  fs::remove(file(kIndex));
  EXPECT_THAT(error(), HasSubstr("the index of their shards"));
}

TEST_F(DamagedCheckpoint, ATensorInTwoShards) {
  const json index = json::parse(test::read_file(file(kIndex)));
  // The first shard's file under the second's name, too: every tensor of it stands twice.
  fs::copy_file(file(kFirstShard), file("model-00003-of-00003.safetensors"));
  set_json(file(kIndex), "/weight_map/model.embed_tokens.weight",
           "model-00003-of-00003.safetensors");
  EXPECT_THAT(error(), AllOf(HasSubstr(kIndex), HasSubstr("stands in"), HasSubstr(kFirstShard),
                             HasSubstr("model-00003-of-00003.safetensors")));
}

TEST_F(DamagedCheckpoint, AnEmbeddingOfAnotherVocabulary) {
  set_json(file("config.json"), "/vocab_size", 25);
  EXPECT_THAT(error(), HasSubstr("model.embed_tokens.weight is [24, 32], not [25, 32]"));
}

TEST_F(DamagedCheckpoint, ShardsMayBeLinks) {
  fs::rename(file(kFirstShard), file("blob"));
  fs::create_symlink("blob", file(kFirstShard));
  EXPECT_NO_THROW(open_checkpoint(folder_.path().string()));
  fs::remove(file("blob"));
  EXPECT_THAT(error(), AllOf(HasSubstr("links that lead nowhere"), HasSubstr(kFirstShard)));
}

TEST_F(DamagedCheckpoint, PicklesAreNeverRead) {
  for (const char* shard : {kFirstShard, kSecondShard, kIndex}) fs::remove(file(shard));
  for (const char* pickle : {"pytorch_model.bin", "model.pt", "consolidated.00.pth"}) {
    test::write_file(file(pickle), "not even a pickle");
    for (const std::string& reference : {folder_.path().string(), file(pickle).string()})
      EXPECT_THAT(error_of([&] { open_checkpoint(reference); }),
                  AllOf(HasSubstr(pickle), HasSubstr("execute any code"),
                        HasSubstr("save_pretrained"), HasSubstr(folder_.path().string())));
    fs::remove(file(pickle));
  }
}

TEST_F(DamagedCheckpoint, AnIndexThatNamesTheWrongShard) {
  set_json(file(kIndex), "/weight_map/lm_head.weight", kFirstShard);
  EXPECT_THAT(error(), AllOf(HasSubstr(kFirstShard), HasSubstr("holds lm_head.weight")));
}

TEST_F(DamagedCheckpoint, ATruncatedShard) {
  fs::resize_file(file(kSecondShard), fs::file_size(file(kSecondShard)) - 2);
  EXPECT_THAT(error(), AllOf(HasSubstr(kSecondShard), HasSubstr("truncated")));
}

TEST_F(DamagedCheckpoint, ShapesThatContradictTheConfig) {
  set_json(file("config.json"), "/intermediate_size", 48);
  EXPECT_THAT(error(),
              AllOf(HasSubstr("6 tensors have shapes that contradict the config"),
                    HasSubstr("model.layers.0.mlp.up_proj.weight is [64, 32], not [48, 32]")));
}

TEST_F(DamagedCheckpoint, MissingTensorsAreNamed) {
  set_json(file("config.json"), "/num_hidden_layers", 3);
  EXPECT_THAT(error(), AllOf(HasSubstr("9 tensors are missing"),
                             HasSubstr("model.layers.2.input_layernorm.weight")));
}

TEST_F(DamagedCheckpoint, TensorsBeyondTheConfigAreNamed) {
  set_json(file("config.json"), "/num_hidden_layers", 1);
  EXPECT_THAT(error(),
              AllOf(HasSubstr("9 tensors are none of this model's"), HasSubstr("model.layers.1.")));
}

TEST_F(DamagedCheckpoint, AMissingHeadIsNamedUnlessTied) {
  json index = json::parse(test::read_file(file(kIndex)));
  index["weight_map"].erase("lm_head.weight");
  test::write_file(file(kIndex), index.dump());
  EXPECT_THAT(error(), HasSubstr("1 tensors are missing: lm_head.weight"));
  set_json(file("config.json"), "/tie_word_embeddings", true);
  EXPECT_NO_THROW(open_checkpoint(folder_.path().string()));
}

TEST_F(DamagedCheckpoint, AHeadThatIsTiedMayStandInTheFile) {
  set_json(file("config.json"), "/tie_word_embeddings", true);
  EXPECT_NO_THROW(open_checkpoint(folder_.path().string()));
}

TEST_F(DamagedCheckpoint, WeightsOfAnIntegerDtype) {
  std::string bytes = test::read_file(file(kFirstShard));
  std::size_t at = bytes.find("\"BF16\"");
  for (; at != std::string::npos; at = bytes.find("\"BF16\"")) bytes.replace(at, 6, "\"I16\" ");
  test::write_file(file(kFirstShard), bytes);
  EXPECT_THAT(error(), AllOf(HasSubstr("is stored as Short"), HasSubstr("float32")));
}

TEST_F(DamagedCheckpoint, UnknownArchitecture) {
  set_json(file("config.json"), "/architectures/0", "GemmaForCausalLM");
  EXPECT_THAT(error(), AllOf(HasSubstr("config.json"), HasSubstr("GemmaForCausalLM"),
                             HasSubstr("expected one of LlamaForCausalLM, MistralForCausalLM")));
}

TEST(ResolveCheckpoint, AMissingPathNamesThePlace) {
  EXPECT_THAT(error_of([] { open_checkpoint("./no/such/folder"); }),
              AllOf(HasSubstr((fs::current_path() / "./no/such/folder").string()),
                    HasSubstr("org/name@revision in the local Hugging Face cache")));
}

TEST(ResolveCheckpoint, ARepositoryThatIsNotThereNamesEveryPlace) {
  test::TemporaryFolder hub;
  test::ScopedVariable variable("HF_HUB_CACHE", hub.path().string());
  EXPECT_THAT(error_of([] { open_checkpoint("no-org/no-model"); }),
              AllOf(HasSubstr((fs::current_path() / "no-org/no-model").string()),
                    HasSubstr(hub.path().string()), HasSubstr("models--no-org--no-model")));
}

TEST(ResolveCheckpoint, ARepositoryOfTheHubCacheIsOpened) {
  test::TemporaryFolder hub;
  test::ScopedVariable variable("HF_HUB_CACHE", hub.path().string());
  fs::path repository = hub / "models--some-org--tiny";
  fs::create_directories(repository / "refs");
  fs::create_directories(repository / "snapshots/abc");
  test::write_file(repository / "refs/main", "abc");
  copy_sharded(repository / "snapshots/abc");
  EXPECT_EQ(open_checkpoint("some-org/tiny")->config().hidden_size, 32);
}

/// The tiny sharded LLaMA as the hub library caches it.
class CachedCheckpoint : public testing::Test {
 protected:
  CachedCheckpoint() {
    fs::create_directories(repository_ / "refs");
    fs::create_directories(repository_ / "blobs");
    fs::create_directories(snapshot_);
    test::write_file(repository_ / "refs/main", "abc");
    for (const auto& entry : fs::directory_iterator(test::golden("checkpoint/sharded"))) {
      const fs::path name = entry.path().filename();
      fs::copy_file(entry.path(), repository_ / "blobs" / name);
      fs::create_symlink("../../blobs" / name, snapshot_ / name);
    }
  }
  static std::string error() {
    return error_of([] { open_checkpoint("some-org/tiny"); });
  }
  test::TemporaryFolder hub_;
  test::ScopedVariable variable_{"HF_HUB_CACHE", hub_.path().string()};
  fs::path repository_ = hub_ / "models--some-org--tiny", snapshot_ = repository_ / "snapshots/abc";
};

TEST_F(CachedCheckpoint, IsReadThroughItsLinks) {
  EXPECT_NO_THROW(open_checkpoint("some-org/tiny"));
  EXPECT_NO_THROW(open_checkpoint("some-org/tiny@main"));
}

TEST_F(CachedCheckpoint, WithoutTheContentOfAShard) {
  fs::remove(repository_ / "blobs" / kSecondShard);
  EXPECT_THAT(error(), AllOf(HasSubstr("broke off"), HasSubstr(kSecondShard),
                             HasSubstr("`hf download some-org/tiny`")));
}

TEST_F(CachedCheckpoint, WithoutAShardThatTheIndexNames) {
  fs::remove(snapshot_ / kSecondShard);
  test::write_file(repository_ / "blobs/x.incomplete", "half");
  EXPECT_THAT(error(), AllOf(HasSubstr(kIndex), HasSubstr(kSecondShard),
                             HasSubstr("`hf download some-org/tiny`")));
}

TEST_F(CachedCheckpoint, BrokenOffBeforeTheWeights) {
  for (const char* name : {kFirstShard, kSecondShard, kIndex}) fs::remove(snapshot_ / name);
  test::write_file(repository_ / "blobs/x.incomplete", "half");
  EXPECT_THAT(error(), AllOf(HasSubstr("no weights are there"), HasSubstr("broke off"),
                             HasSubstr("`hf download some-org/tiny`")));
}

TEST_F(CachedCheckpoint, GatedAndSeenFromOutside) {
  for (const char* name : {kFirstShard, kSecondShard, kIndex}) fs::remove(snapshot_ / name);
  test::write_file(snapshot_ / "README.md", "terms");
  EXPECT_THAT(error(), AllOf(HasSubstr("gated"), HasSubstr("hf auth login"),
                             HasSubstr("`hf download some-org/tiny`")));
}

TEST_F(CachedCheckpoint, DownloadedWithoutItsWeights) {
  for (const char* name : {kFirstShard, kSecondShard, kIndex}) fs::remove(snapshot_ / name);
  test::write_file(snapshot_ / "tokenizer.json", "{}");
  EXPECT_THAT(error(), AllOf(HasSubstr("no weights in safetensors"),
                             HasSubstr("`hf download some-org/tiny`")));
}

TEST(TokenizerOfACheckpoint, MustHaveAsManyTokensAsTheEmbeddingRows) {
  const auto tokenizer = open_tokenizer(test::golden("tiny").string());
  LlamaConfig config = open_checkpoint(test::golden("tiny").string())->config();
  EXPECT_NO_THROW(check_tokenizer(*tokenizer, config, "tiny"));
  config.vocab_size = 512;
  EXPECT_NO_THROW(check_tokenizer(*tokenizer, config, "tiny")) << "padded";
  config.vocab_size = 299;
  EXPECT_THAT(error_of([&] { check_tokenizer(*tokenizer, config, "tiny"); }),
              AllOf(HasSubstr("the tokenizer has 300 tokens, the embedding 299 rows"),
                    HasSubstr("same checkpoint")));
  config.vocab_size = 32000;
  EXPECT_THAT(error_of([&] { check_tokenizer(*tokenizer, config, "tiny"); }),
              HasSubstr("another model"));
}

TEST(ResolveCheckpoint, NoReference) {
  EXPECT_THAT(error_of([] { open_checkpoint(""); }), HasSubstr("no checkpoint is named"));
}

TEST(OpenCheckpoint, AFolderWithoutACheckpointListsTheFormats) {
  test::TemporaryFolder folder;
  EXPECT_THAT(error_of([&] { open_checkpoint(folder.path().string()); }),
              AllOf(HasSubstr("model.safetensors.index.json"), HasSubstr(".gguf")));
}

TEST(OpenCheckpoint, AFolderOfGgufFilesNamesThem) {
  test::TemporaryFolder folder;
  test::write_file(folder / "a.Q8_0.gguf", "GGUF");
  EXPECT_THAT(error_of([&] { open_checkpoint(folder.path().string()); }),
              HasSubstr("name one of the files in it: a.Q8_0.gguf"));
}

TEST(OpenCheckpoint, ASafetensorsFileAsksForItsFolder) {
  EXPECT_THAT(
      error_of([&] { open_checkpoint(test::golden("checkpoint/dtypes.safetensors").string()); }),
      HasSubstr("name the folder that holds it"));
}

}  // namespace
}  // namespace harness
