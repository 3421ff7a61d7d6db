#include "harness/model/stored_linears.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <map>

#include "harness/core/rng.h"
#include "harness/model/llama.h"
#include "harness/model/safetensors.h"
#include "harness/model/safetensors_writer.h"
#include "tests/model/checkpoint_files.h"

// Golden formats/generate.py: two Linears for each way in which GPTQ, AWQ, compressed-tensors and
// bitsandbytes store them, "wide" [64, 96] and "tall" [96, 64], with the digests of what their own
// libraries dequantize (AutoGPTQ 0.7.1 and AutoAWQ 0.2.7 where those run on a CPU, else the layout
// they publish; the golden names the oracle of each).

namespace harness {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::error_of;
using testing::AllOf;
using testing::HasSubstr;

const ExpectedTensors kExpected = {{"wide.weight", {64, 96}}, {"tall.weight", {96, 64}}};

json golden_linears() {
  return json::parse(test::read_file(test::golden("formats/golden.json")))["linears"];
}

/// The tensors of one golden scheme, as "wide.qweight" and so on.
StoredTensors golden_tensors(const std::string& scheme) {
  static const SafetensorsFile file(test::golden("formats/linears.safetensors"));
  StoredTensors tensors;
  for (const auto& [name, entry] : file.entries())
    if (name.starts_with(scheme + "."))
      tensors.emplace(name.substr(scheme.size() + 1), file.load(name));
  return tensors;
}

TEST(StoredLinears, AreEqualToTheirOwnLibrariesToTheBit) {
  const json golden = golden_linears();
  EXPECT_EQ(golden.size(), 26u);
  for (const auto& [scheme, entry] : golden.items()) {
    const StoredTensors tensors = golden_tensors(scheme);
    const StoredLinears found =
        read_stored_linears(entry["config"], tensors, kExpected, "config.json");
    ASSERT_EQ(found.weights.size(), 2u) << scheme;
    EXPECT_EQ(found.parts.size(), tensors.size()) << scheme << ": every tensor has a use";
    for (const char* place : {"wide", "tall"}) {
      const at::Tensor values = found.weights.at(std::string(place) + ".weight").values();
      EXPECT_EQ(test::float_digest(values), entry["digests"][place]) << scheme << " " << place;
      EXPECT_EQ(c10::toString(values.scalar_type()),
                std::string(entry["dtype"] == "float16"    ? "Half"
                            : entry["dtype"] == "bfloat16" ? "BFloat16"
                                                           : "Float"))
          << scheme;
    }
  }
}

TEST(StoredLinears, SchemesSayMethodWidthAndGroups) {
  const std::map<std::string, std::string> expected = {
      {"gptq int4 g32 act_order", "GPTQ int4 g32 act_order"},
      {"gptq int4 symmetric channel", "GPTQ int4 channel"},
      {"gptq_v2 int3 g32", "GPTQ int3 g32"},
      {"awq gemm", "AWQ int4 g32"},
      {"awq gemv", "AWQ int4 g32 gemv"},
      {"ct int4 g16 asymmetric", "compressed-tensors int4 g16 asymmetric"},
      {"ct int8 channel", "compressed-tensors int8 channel, quantized activations left out"},
      {"ct fp8 tensor", "compressed-tensors fp8 tensor, quantized activations left out"},
      {"ct fp8 block", "compressed-tensors fp8 32x16 blocks"},
      {"bnb nf4", "bitsandbytes nf4"},
      {"bnb nf4 nested", "bitsandbytes nf4 double-quantized"},
      {"bnb fp4", "bitsandbytes fp4"},
  };
  const json golden = golden_linears();
  for (const auto& [scheme, text] : expected)
    EXPECT_EQ(read_stored_linears(golden[scheme]["config"], golden_tensors(scheme), kExpected, "c")
                  .scheme,
              text);
}

TEST(StoredLinears, CodesAreThereWhereTheWeightIsIntegersTimesScales) {
  const json golden = golden_linears();
  auto codes_of = [&](const std::string& scheme) {
    auto found = read_stored_linears(golden[scheme]["config"], golden_tensors(scheme), kExpected,
                                     "config.json");
    const StoredLinear& linear = found.weights.at("wide.weight");
    return linear.codes ? std::optional(linear.codes()) : std::nullopt;
  };
  auto asymmetric = codes_of("gptq int4 g32");
  ASSERT_TRUE(asymmetric);
  EXPECT_FALSE(asymmetric->weight.spec.symmetric);
  EXPECT_EQ(asymmetric->weight.spec.group, 32);
  EXPECT_EQ(asymmetric->weight.codes.scalar_type(), at::kByte);
  EXPECT_EQ(asymmetric->weight.codes.max().item<int>(), 15);
  EXPECT_EQ(asymmetric->weight.scales.sizes(), (at::IntArrayRef{64, 3}));
  EXPECT_EQ(asymmetric->weight.zeros.sizes(), (at::IntArrayRef{64, 3}));
  EXPECT_FALSE(asymmetric->order.defined());

  auto symmetric = codes_of("gptq int8 g32 symmetric");
  ASSERT_TRUE(symmetric);
  EXPECT_TRUE(symmetric->weight.spec.symmetric);
  EXPECT_EQ(symmetric->weight.codes.scalar_type(), at::kChar);
  EXPECT_FALSE(symmetric->weight.zeros.defined());

  auto ordered = codes_of("gptq int4 g32 act_order");
  ASSERT_TRUE(ordered && ordered->order.defined());
  EXPECT_TRUE(std::get<0>(ordered->order.sort()).equal(at::arange(96, at::kLong)));
  const at::Tensor g_idx = golden_tensors("gptq int4 g32 act_order").at("wide.g_idx");
  EXPECT_TRUE(
      g_idx.index_select(0, ordered->order).equal(at::arange(96, at::kInt).floor_divide_(32)));

  EXPECT_FALSE(codes_of("ct fp8 channel"));
  EXPECT_FALSE(codes_of("bnb nf4"));
}

TEST(StoredLinears, GptqZeroPointsReachBeyondTheCodes) {
  // A stored 15 is 16 (AutoGPTQ 0.7.1 adds one after the mask), so that a code 0 is -16 scales.
  StoredTensors tensors = {{"x.qweight", at::zeros({4, 32}, at::kInt)},
                           {"x.qzeros", at::full({1, 4}, -1, at::kInt)},
                           {"x.scales", at::ones({1, 32}, at::kHalf)}};
  auto found = read_stored_linears({{"quant_method", "gptq"}, {"bits", 4}, {"group_size", -1}},
                                   tensors, {{"x.weight", {32, 32}}}, "config.json");
  EXPECT_TRUE(found.weights.at("x.weight").values().eq(-16).all().item<bool>());
}

TEST(StoredLinears, AGroupThatNamesALinearComesBeforeTheOneOfAll) {
  json config = golden_linears()["ct int8 channel"]["config"];
  json wrong = config["config_groups"]["group_0"];
  wrong["weights"]["num_bits"] = 4;
  wrong["weights"]["type"] = "int";
  config["config_groups"]["group_0"]["targets"] = {"re:(wi|ta)", "nothing"};
  config["config_groups"]["a_first"] = wrong;  // of class Linear
  EXPECT_EQ(read_stored_linears(config, golden_tensors("ct int8 channel"), kExpected, "c").scheme,
            "compressed-tensors int8 channel, quantized activations left out");
}

/// A checkpoint's folder of a small LLaMA whose Linears are those of one golden scheme.
void write_model(const fs::path& folder, const std::string& scheme) {
  const json golden = golden_linears();
  write_text_file(folder / "config.json", json{{"architectures", {"LlamaForCausalLM"}},
                                               {"model_type", "llama"},
                                               {"hidden_size", 64},
                                               {"intermediate_size", 96},
                                               {"num_hidden_layers", 1},
                                               {"num_attention_heads", 3},
                                               {"num_key_value_heads", 3},
                                               {"head_dim", 32},
                                               {"vocab_size", 16},
                                               {"tie_word_embeddings", true},
                                               {"dtype", "bfloat16"},
                                               {"quantization_config", golden[scheme]["config"]}}
                                              .dump(1));
  std::map<std::string, at::Tensor> tensors = {
      {"model.embed_tokens.weight", at::ones({16, 64}, at::kBFloat16)},
      {"model.norm.weight", at::ones({64}, at::kBFloat16)},
      {"model.layers.0.input_layernorm.weight", at::ones({64}, at::kBFloat16)},
      {"model.layers.0.post_attention_layernorm.weight", at::ones({64}, at::kBFloat16)}};
  const std::map<std::string, std::string> places = {
      {"self_attn.q_proj", "tall"}, {"self_attn.k_proj", "tall"}, {"self_attn.v_proj", "tall"},
      {"self_attn.o_proj", "wide"}, {"mlp.gate_proj", "tall"},    {"mlp.up_proj", "tall"},
      {"mlp.down_proj", "wide"}};
  for (const auto& [linear, place] : places)
    for (const auto& [name, tensor] : golden_tensors(scheme))
      if (name.starts_with(place + "."))
        tensors["model.layers.0." + linear + name.substr(place.size())] = tensor.clone();
  write_safetensors(folder / "model.safetensors", tensors);
}

TEST(QuantizedCheckpoint, IsALlamaInEveryScheme) {
  const json golden = golden_linears();
  for (const auto& [scheme, entry] : golden.items()) {
    test::TemporaryFolder folder;
    write_model(folder.path(), scheme);
    auto checkpoint = open_checkpoint(folder.path().string());
    EXPECT_EQ(checkpoint->names().size(), 11u) << scheme;
    EXPECT_EQ(checkpoint->config().dtype, entry["dtype"]) << scheme;
    EXPECT_THAT(checkpoint->scheme(), testing::EndsWith(" (dequantized)"));
    const std::string down = "model.layers.0.mlp.down_proj.weight";
    EXPECT_TRUE(checkpoint->contains(down));
    EXPECT_FALSE(checkpoint->contains("model.layers.0.mlp.down_proj.scales"));
    EXPECT_EQ(checkpoint->shape(down), (std::vector<std::int64_t>{64, 96}));
    EXPECT_EQ(test::float_digest(checkpoint->load(down)), entry["digests"]["wide"]) << scheme;
    if (auto codes = checkpoint->codes(down)) {
      const at::Tensor values = checkpoint->load(down);
      EXPECT_TRUE(codes->dequantize(values.scalar_type()).equal(values)) << scheme;
    }
    EXPECT_FALSE(checkpoint->codes("model.norm.weight"));
    auto model = LlamaModel::load(*checkpoint, at::kFloat, at::kCPU);
    EXPECT_TRUE(model->logits(at::arange(8, at::kLong).view({1, 8})).isfinite().all().item<bool>())
        << scheme;
  }
}

TEST(QuantizedCheckpoint, DamagedConfigsAreErrorsOrSound) {
  for (const char* scheme : {"gptq int4 g32 act_order", "awq gemv", "ct fp8 block",
                             "ct int4 g16 asymmetric", "bnb nf4 nested"}) {
    test::TemporaryFolder folder;
    write_model(folder.path(), scheme);
    const std::string sound = test::read_file(folder / "config.json");
    const std::size_t start = sound.find("quantization_config");
    int refused = 0;
    for (std::uint64_t trial = 0; trial < 100; ++trial) {
      Philox rng(0, scheme, "damage", trial);
      std::string bytes = sound;
      for (std::uint64_t left = 1 + rng.below(3); left > 0; --left)
        bytes[start + rng.below(bytes.size() - start)] = "0123456789[]{}\":,-e "[rng.below(20)];
      test::write_file(folder / "config.json", bytes);
      try {
        auto checkpoint = open_checkpoint(folder.path().string());
        for (const std::string& name : checkpoint->names()) checkpoint->load(name);
      } catch (const Error&) {
        ++refused;
      }
    }
    EXPECT_GT(refused, 10) << scheme;
  }
}

/// One golden scheme, of which parts are changed or left out.
class Changed {
 public:
  explicit Changed(const std::string& scheme)
      : config_(golden_linears()[scheme]["config"]), tensors_(golden_tensors(scheme)) {}
  Changed& set(const std::string& pointer, const json& value) {
    config_[json::json_pointer(pointer)] = value;
    return *this;
  }
  Changed& drop(const std::string& tensor) {
    EXPECT_EQ(tensors_.erase(tensor), 1u) << tensor;
    return *this;
  }
  Changed& put(const std::string& tensor, const at::Tensor& value) {
    tensors_[tensor] = value;
    return *this;
  }
  const at::Tensor& at(const std::string& tensor) const { return tensors_.at(tensor); }
  std::string error() const {
    std::string text =
        error_of([&] { read_stored_linears(config_, tensors_, kExpected, "a/config.json"); });
    EXPECT_THAT(text, HasSubstr("a/config.json"));
    return text;
  }

 private:
  json config_;
  StoredTensors tensors_;
};

TEST(StoredLinearsErrors, UnknownMethodsListThoseThatAreKnown) {
  EXPECT_THAT(Changed("awq gemm").set("/quant_method", "hqq").error(),
              AllOf(HasSubstr("quant_method is \"hqq\""),
                    HasSubstr("gptq, awq, compressed-tensors, bitsandbytes")));
  EXPECT_THAT(error_of([] { read_stored_linears("gptq", {}, kExpected, "a/config.json"); }),
              HasSubstr("quantization_config is no object"));
}

TEST(StoredLinearsErrors, AMethodThatNoTensorShows) {
  EXPECT_THAT(error_of([] {
                read_stored_linears({{"quant_method", "gptq"}, {"bits", 4}},
                                    {{"wide.weight", at::ones({64, 96})}}, kExpected, "c.json");
              }),
              AllOf(HasSubstr("GPTQ"), HasSubstr("none is stored so")));
}

TEST(StoredLinearsErrors, UnknownBits) {
  EXPECT_THAT(Changed("gptq int4 g32").set("/bits", 5).error(),
              AllOf(HasSubstr("quantization_config.bits is 5"), HasSubstr("2, 3, 4 or 8")));
  EXPECT_THAT(Changed("gptq int4 g32").set("/bits", "four").error(), HasSubstr("an integer"));
  EXPECT_THAT(Changed("awq gemm").set("/bits", 8).error(), HasSubstr("bits is 8"));
  EXPECT_THAT(
      Changed("ct int4 g32").set("/config_groups/group_0/weights/num_bits", 9).error(),
      HasSubstr("quantization_config.config_groups.group_0.weights.num_bits is 9 of type int"));
  EXPECT_THAT(Changed("ct fp8 tensor").set("/config_groups/group_0/weights/num_bits", 4).error(),
              HasSubstr("num_bits is 4 of type float"));
  EXPECT_THAT(Changed("bnb nf4").set("/load_in_8bit", true).error(), HasSubstr("load_in_4bit"));
}

TEST(StoredLinearsErrors, UnknownPackings) {
  EXPECT_THAT(Changed("gptq int4 g32").set("/checkpoint_format", "marlin").error(),
              AllOf(HasSubstr("checkpoint_format is \"marlin\""), HasSubstr("gptq_v2")));
  EXPECT_THAT(Changed("awq gemm").set("/version", "gemv_fast").error(),
              AllOf(HasSubstr("version is \"gemv_fast\""), HasSubstr("gemm or gemv")));
  EXPECT_THAT(Changed("ct int4 g32").set("/format", "marlin-24").error(),
              AllOf(HasSubstr("format is \"marlin-24\""), HasSubstr("pack-quantized")));
  EXPECT_THAT(Changed("ct int4 g32").set("/config_groups/group_0/weights/type", "nf").error(),
              HasSubstr("type is \"nf\""));
  EXPECT_THAT(
      Changed("ct int4 g32").set("/config_groups/group_0/weights/strategy", "token").error(),
      HasSubstr("strategy is \"token\""));
  EXPECT_THAT(Changed("bnb nf4").set("/bnb_4bit_quant_type", "int4").error(),
              HasSubstr("nf4 or fp4"));
}

TEST(StoredLinearsErrors, MissingParts) {
  EXPECT_THAT(Changed("gptq int4 g32").drop("wide.scales").error(),
              AllOf(HasSubstr("wide.scales is missing"), HasSubstr("wide.weight [64, 96]")));
  EXPECT_THAT(Changed("gptq int4 g32").drop("tall.qzeros").error(),
              HasSubstr("tall.qzeros is missing"));
  EXPECT_THAT(Changed("gptq int4 g32").drop("tall.qweight").error(),
              HasSubstr("tall.qweight is missing"));
  EXPECT_THAT(Changed("gptq int4 g32 act_order").drop("wide.g_idx").error(),
              AllOf(HasSubstr("wide.g_idx is missing"), HasSubstr("desc_act")));
  EXPECT_THAT(Changed("awq gemm").drop("wide.qzeros").error(), HasSubstr("wide.qzeros is missing"));
  EXPECT_THAT(Changed("ct int4 g32").drop("wide.weight_scale").error(),
              HasSubstr("wide.weight_scale is missing"));
  EXPECT_THAT(Changed("ct int4 g16 asymmetric").drop("wide.weight_zero_point").error(),
              HasSubstr("wide.weight_zero_point is missing"));
  EXPECT_THAT(Changed("bnb nf4").drop("wide.weight.absmax").error(),
              HasSubstr("wide.weight.absmax is missing"));
  EXPECT_THAT(Changed("bnb nf4").drop("wide.weight.quant_map").error(),
              HasSubstr("wide.weight.quant_map is missing"));
  EXPECT_THAT(Changed("bnb nf4").drop("wide.weight.quant_state.bitsandbytes__nf4").error(),
              HasSubstr("quant_state.bitsandbytes__nf4 is missing"));
  EXPECT_THAT(Changed("bnb nf4 nested").drop("wide.weight.nested_quant_map").error(),
              HasSubstr("nested_quant_map is missing"));
}

TEST(StoredLinearsErrors, GroupsOfInputsThatAreNone) {
  Changed outside("gptq int4 g32 act_order");
  outside.put("wide.g_idx", outside.at("wide.g_idx").clone().fill_(3));
  EXPECT_THAT(outside.error(), AllOf(HasSubstr("wide.g_idx names group 3"), HasSubstr("0 to 2")));
  Changed negative("ct int4 g32 g_idx");
  negative.put("tall.weight_g_idx", at::full({64}, -1, at::kInt));
  EXPECT_THAT(negative.error(), HasSubstr("tall.weight_g_idx names group -1"));
  Changed uneven("gptq int4 g32 act_order");
  uneven.put("wide.g_idx", at::zeros({96}, at::kInt));
  EXPECT_THAT(uneven.error(), AllOf(HasSubstr("different numbers of inputs"),
                                    HasSubstr("32 inputs for each of 3 groups")));
}

TEST(StoredLinearsErrors, GroupSizesThatDoNotDivide) {
  for (const char* scheme : {"gptq int4 g32", "awq gemm"})
    EXPECT_THAT(Changed(scheme).set("/group_size", 40).error(),
                AllOf(HasSubstr("groups of 40 inputs"), HasSubstr("divides 96")));
  EXPECT_THAT(Changed("gptq int4 g32").set("/group_size", -7).error(), HasSubstr("groups of -7"));
  EXPECT_THAT(Changed("ct int4 g32").set("/config_groups/group_0/weights/group_size", 100).error(),
              HasSubstr("groups of 100 inputs"));
  EXPECT_THAT(Changed("ct int4 g32").set("/config_groups/group_0/weights/group_size", 0).error(),
              HasSubstr("group_size is 0"));
}

TEST(StoredLinearsErrors, ShapesThatContradictTheModelOrTheConfig) {
  EXPECT_THAT(Changed("gptq int4 g32").set("/bits", 8).error(),
              AllOf(HasSubstr("wide.qweight is [12, 64]"), HasSubstr("[24, 64]")));
  EXPECT_THAT(Changed("gptq int4 g32").set("/group_size", 16).error(),
              AllOf(HasSubstr("wide.qzeros is [3, 8]"), HasSubstr("[6, 8]")));
  EXPECT_THAT(Changed("awq gemm").set("/version", "gemv").error(), HasSubstr("wide.qweight is"));
  EXPECT_THAT(
      Changed("ct int4 g32").put("wide.weight_shape", at::tensor({96, 64}, at::kLong)).error(),
      AllOf(HasSubstr("wide.weight_shape is [96, 64]"), HasSubstr("expected [64, 96]")));
  EXPECT_THAT(Changed("ct fp8 tensor").put("tall.weight_scale", at::ones({2})).error(),
              HasSubstr("tall.weight_scale has 2 values"));
  EXPECT_THAT(Changed("bnb nf4").put("tall.weight.absmax", at::ones({5})).error(),
              AllOf(HasSubstr("tall.weight.absmax is [5]"), HasSubstr("expected [96]")));
}

TEST(StoredLinearsErrors, TypesThatContradictTheMethod) {
  EXPECT_THAT(Changed("gptq int4 g32").put("wide.qweight", at::zeros({12, 64})).error(),
              AllOf(HasSubstr("wide.qweight is stored as Float"), HasSubstr("Int")));
  EXPECT_THAT(Changed("gptq int4 g32").put("wide.scales", at::zeros({3, 64}, at::kInt)).error(),
              HasSubstr("wide.scales is stored as Int"));
  EXPECT_THAT(Changed("ct int8 channel").put("wide.weight", at::zeros({64, 96})).error(),
              HasSubstr("wide.weight is stored as Float"));
}

TEST(StoredLinearsErrors, LinearsThatNoConfigGroupNames) {
  EXPECT_THAT(Changed("ct int4 g32").set("/config_groups/group_0/targets", {"tall"}).error(),
              HasSubstr("no config group has the target wide"));
  EXPECT_THAT(Changed("ct int4 g32").set("/config_groups/group_0/targets", {"re:("}).error(),
              AllOf(HasSubstr("re:("), HasSubstr("a regular expression")));
}

TEST(StoredLinearsErrors, QuantStatesThatAreDamaged) {
  const std::string name = "wide.weight.quant_state.bitsandbytes__nf4";
  auto bytes = [](const std::string& text) {
    at::Tensor result = at::empty({static_cast<std::int64_t>(text.size())}, at::kByte);
    std::memcpy(result.data_ptr(), text.data(), text.size());
    return result;
  };
  auto error_of_state = [&](const std::string& text) {
    StoredTensors tensors = golden_tensors("bnb nf4");
    tensors[name] = bytes(text);
    return error_of([&] {
      read_stored_linears(golden_linears()["bnb nf4"]["config"], tensors, kExpected, "c.json");
    });
  };
  const at::Tensor state = golden_tensors("bnb nf4").at(name);
  const json sound = json::parse(std::string(static_cast<const char*>(state.data_ptr()),
                                             static_cast<std::size_t>(state.numel())));
  auto error_with = [&](const char* key, const json& value) {
    json changed = sound;
    changed[key] = value;
    return error_of_state(changed.dump());
  };
  EXPECT_THAT(error_with("blocksize", 0), AllOf(HasSubstr(name), HasSubstr("blocksize is 0")));
  EXPECT_THAT(error_with("shape", {64, 95}), HasSubstr("shape is [64,95]"));
  EXPECT_THAT(error_with("dtype", "int8"), HasSubstr("dtype is \"int8\""));
  EXPECT_THAT(error_of_state("{\"quant_type\": "),
              AllOf(HasSubstr(name), HasSubstr("is not JSON")));
}

}  // namespace
}  // namespace harness
