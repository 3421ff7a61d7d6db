#include "harness/model/checkpoint.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <string_view>

#include "harness/core/error.h"
#include "harness/core/hub.h"
#include "harness/core/paths.h"
#include "harness/model/gguf_checkpoint.h"
#include "harness/model/safetensors.h"
#include "harness/model/stored_linears.h"

namespace harness {
namespace {

namespace fs = std::filesystem;
using Shape = std::vector<std::int64_t>;

std::string shape_text(const Shape& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

/// At most a handful of the items, so that a message stays readable.
std::string some_of(const std::vector<std::string>& items) {
  constexpr std::size_t kMost = 6;
  if (items.size() <= kMost) return fmt::format("{}", fmt::join(items, ", "));
  return fmt::format(
      "{} and {} more",
      fmt::join(items.begin(), items.begin() + static_cast<std::ptrdiff_t>(kMost), ", "),
      items.size() - kMost);
}

/// Tensors that old files carry and that follow from the config.
bool is_redundant(const std::string& name, const LlamaConfig& config) {
  std::string_view text(name);
  return text.ends_with(".rotary_emb.inv_freq") ||
         (config.tie_word_embeddings && text == "lm_head.weight");
}

/// Compares what is in the checkpoint with what its config asks for.
void check_tensors(const Checkpoint& checkpoint, const std::string& where) {
  std::vector<std::string> missing, wrong, unexpected;
  std::set<std::string> known;
  for (const auto& [name, shape] : expected_tensors(checkpoint.config())) {
    known.insert(name);
    if (!checkpoint.contains(name))
      missing.push_back(name);
    else if (Shape found = checkpoint.shape(name); found != shape)
      wrong.push_back(fmt::format("{} is {}, not {}", name, shape_text(found), shape_text(shape)));
  }
  for (const std::string& name : checkpoint.names()) {
    if (!known.count(name) && !is_redundant(name, checkpoint.config())) unexpected.push_back(name);
  }
  Problems problems;
  const char* remedy = "take the weights and the config from the same checkpoint";
  if (!missing.empty())
    problems.add(Error(where,
                       fmt::format("{} tensors are missing: {}", missing.size(), some_of(missing)),
                       "every tensor of the model", remedy));
  if (!wrong.empty())
    problems.add(Error(where,
                       fmt::format("{} tensors have shapes that contradict the config: {}",
                                   wrong.size(), some_of(wrong)),
                       "the shapes that follow from the config", remedy));
  if (!unexpected.empty())
    problems.add(Error(where,
                       fmt::format("{} tensors are none of this model's: {}", unexpected.size(),
                                   some_of(unexpected)),
                       "a plain LLaMA (layers, biases and tying as the config says)", remedy));
  problems.throw_if_any();
}

bool is_pickle(const fs::path& path) {
  const std::string extension = path.extension().string();
  for (const char* pickle : {".bin", ".pt", ".pth", ".ckpt", ".pkl"})
    if (extension == pickle) return true;
  return false;
}

[[noreturn]] void refuse_pickles(const fs::path& folder, const std::vector<std::string>& names) {
  throw Error(
      folder.string(),
      fmt::format("holds weights only as pickles ({}), and reading a pickle can execute any "
                  "code that is in it",
                  some_of(names)),
      "weights in safetensors",
      fmt::format("take the safetensors version of the checkpoint, or, if you trust this one, "
                  "convert it: python3 -c \"from transformers import AutoModelForCausalLM as "
                  "M, AutoTokenizer as T; a, b = '{}', 'NEW_FOLDER'; M.from_pretrained(a, "
                  "dtype='auto').save_pretrained(b); T.from_pretrained(a).save_pretrained(b)\"",
                  folder.string()));
}

/// Before any format looks at it: weights that are never read, and downloads that broke off or were
/// refused.
void check_place(const fs::path& path) {
  std::error_code ignored;
  if (!fs::is_directory(path, ignored)) {
    if (is_pickle(path)) refuse_pickles(path.parent_path(), {path.filename().string()});
    return;
  }
  std::vector<std::string> pickles, broken;
  bool weights = false, config = false;
  for (const auto& entry : fs::directory_iterator(path, ignored)) {
    const std::string name = entry.path().filename().string();
    const bool needed = name.ends_with(".safetensors") || name == "config.json" ||
                        name == "model.safetensors.index.json";
    if (needed && !entry.exists(ignored)) broken.push_back(name);
    if (is_pickle(entry.path())) pickles.push_back(name);
    weights |= needed && name != "config.json";
    config |= name == "config.json";
  }
  std::sort(pickles.begin(), pickles.end());
  std::sort(broken.begin(), broken.end());
  const std::optional<HubSnapshot> snapshot = inspect_hub_snapshot(path);
  if (!broken.empty())
    throw Error(
        path.string(),
        snapshot ? snapshot->state() : fmt::format("links that lead nowhere: {}", some_of(broken)),
        "a complete checkpoint",
        snapshot ? snapshot->remedy() : "copy what they link to, or download it again");
  if (weights) return;
  if (snapshot && !snapshot->state().empty())
    throw Error(path.string(), "no weights are there; " + snapshot->state(),
                "a complete checkpoint", snapshot->remedy());
  if (!pickles.empty()) refuse_pickles(path, pickles);
  if (snapshot && config)
    throw Error(path.string(),
                fmt::format("the snapshot of {} has a config.json and no weights in safetensors",
                            snapshot->repository.text()),
                "a complete checkpoint", snapshot->remedy());
}

/// What would help someone whose file or folder no format reads.
std::string advice(const fs::path& path) {
  if (path.extension() == ".safetensors") return "name the folder that holds it";
  std::vector<std::string> gguf;
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    for (const auto& entry : fs::directory_iterator(path, ignored))
      if (entry.path().extension() == ".gguf") gguf.push_back(entry.path().filename().string());
  }
  std::sort(gguf.begin(), gguf.end());
  return gguf.empty() ? std::string("check the path")
                      : fmt::format("name one of the files in it: {}", some_of(gguf));
}

Registry<CheckpointFormat> make_formats() {
  Registry<CheckpointFormat> formats("checkpoint format");
  formats.add("safetensors",
              {"a folder with config.json and model.safetensors, or shards with "
               "model.safetensors.index.json: F64, F32, F16, BF16, or dequantized from what " +
                   quantization_methods() + " stored",
               is_safetensors_folder, open_safetensors});
  formats.add("gguf",
              {"a .gguf file of a LLaMA: F32, F16, BF16, or dequantized from " + gguf_block_types(),
               is_gguf_file, open_gguf});
  return formats;
}

}  // namespace

at::Tensor StoredCodes::dequantize(at::ScalarType dtype) const {
  at::Tensor values = weight.dequantize(dtype);
  return order.defined() ? at::empty_like(values).index_copy_(1, order, values) : values;
}

const Registry<CheckpointFormat>& checkpoint_formats() {
  static const Registry<CheckpointFormat> formats = make_formats();
  return formats;
}

std::unique_ptr<Checkpoint> open_checkpoint(const std::string& reference) {
  fs::path path = find_model(reference);
  check_place(path);
  std::vector<std::string> readable;
  for (const std::string& name : checkpoint_formats().names()) {
    const CheckpointFormat& format = checkpoint_formats().get(name);
    if (!format.recognises(path)) {
      readable.push_back(format.doc);
      continue;
    }
    std::unique_ptr<Checkpoint> checkpoint = format.open(path);
    check_tensors(*checkpoint, path.string());
    return checkpoint;
  }
  throw Error(path.string(), "holds no checkpoint of a known format",
              fmt::format("{}", fmt::join(readable, ", or ")), advice(path));
}

std::vector<std::pair<std::string, Shape>> expected_tensors(const LlamaConfig& config) {
  std::int64_t hidden = config.hidden_size;
  std::int64_t inner = config.intermediate_size;
  std::int64_t queries = config.num_attention_heads * config.head_dim;
  std::int64_t keys = config.num_key_value_heads * config.head_dim;
  std::vector<std::pair<std::string, Shape>> result;
  result.emplace_back("model.embed_tokens.weight", Shape{config.vocab_size, hidden});
  for (std::int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    std::string prefix = fmt::format("model.layers.{}.", layer);
    auto linear = [&](const char* name, std::int64_t out, std::int64_t in, bool bias) {
      result.emplace_back(prefix + name + ".weight", Shape{out, in});
      if (bias) result.emplace_back(prefix + name + ".bias", Shape{out});
    };
    result.emplace_back(prefix + "input_layernorm.weight", Shape{hidden});
    linear("self_attn.q_proj", queries, hidden, config.qkv_bias);
    linear("self_attn.k_proj", keys, hidden, config.qkv_bias);
    linear("self_attn.v_proj", keys, hidden, config.qkv_bias);
    linear("self_attn.o_proj", hidden, queries, config.o_bias);
    if (config.qk_norm)
      for (const char* name : {"self_attn.q_norm.weight", "self_attn.k_norm.weight"})
        result.emplace_back(prefix + name, Shape{config.head_dim});
    result.emplace_back(prefix + "post_attention_layernorm.weight", Shape{hidden});
    linear("mlp.gate_proj", inner, hidden, config.mlp_bias);
    linear("mlp.up_proj", inner, hidden, config.mlp_bias);
    linear("mlp.down_proj", hidden, inner, config.mlp_bias);
  }
  result.emplace_back("model.norm.weight", Shape{hidden});
  if (!config.tie_word_embeddings)
    result.emplace_back("lm_head.weight", Shape{config.vocab_size, hidden});
  return result;
}

}  // namespace harness
