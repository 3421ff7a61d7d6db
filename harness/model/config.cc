#include "harness/model/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "harness/core/error.h"
#include "harness/model/json.h"

namespace harness {
namespace {

using nlohmann::json;

constexpr std::array<std::string_view, 1> kArchitectures = {"LlamaForCausalLM"};
constexpr std::array<std::string_view, 1> kModelTypes = {"llama"};
constexpr std::array<std::string_view, 1> kActivations = {"silu"};
constexpr std::array<std::string_view, 3> kRopeTypes = {"default", "linear", "llama3"};
constexpr std::array<std::string_view, 4> kDtypes = {"float32", "float16", "bfloat16", "float64"};

// Far beyond every published model; keeps a damaged file from asking for all the memory there is.
constexpr std::int64_t kLargestSize = std::int64_t{1} << 31;
constexpr std::int64_t kMostLayers = 1 << 14;

/// The keys of one JSON object, with messages that name the file and the key. A key whose value is
/// null counts as absent, as in transformers.
class Keys {
 public:
  Keys(const json& object, std::string where, std::string prefix = {})
      : object_(object), where_(std::move(where)), prefix_(std::move(prefix)) {
    if (!object.is_object()) fail(prefix_.empty() ? "the content" : prefix_, object, "an object");
  }

  bool has(const char* key) const { return find(key) != nullptr; }
  const json* find(const char* key) const {
    auto found = object_.find(key);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }

  std::int64_t integer(const char* key, std::optional<std::int64_t> fallback = {}) const {
    const json* value = find(key);
    if (!value) return fallback ? *fallback : missing<std::int64_t>(key, "an integer");
    return to_integer(key, *value);
  }
  double number(const char* key, std::optional<double> fallback = {}) const {
    const json* value = find(key);
    if (!value) return fallback ? *fallback : missing<double>(key, "a number");
    if (!value->is_number()) fail(prefix_ + key, *value, "a number");
    return value->get<double>();
  }
  bool boolean(const char* key, bool fallback) const {
    const json* value = find(key);
    if (!value) return fallback;
    if (!value->is_boolean()) fail(prefix_ + key, *value, "true or false");
    return value->get<bool>();
  }
  std::string text(const char* key, const char* fallback) const {
    const json* value = find(key);
    if (!value) return fallback;
    if (!value->is_string()) fail(prefix_ + key, *value, "a string");
    return value->get<std::string>();
  }
  /// One integer or a list of them.
  std::vector<std::int64_t> integers(const char* key) const {
    const json& value = *find(key);
    if (!value.is_array()) return {to_integer(key, value)};
    std::vector<std::int64_t> result;
    for (const json& item : value) result.push_back(to_integer(key, item));
    return result;
  }
  Keys table(const char* key) const { return Keys(*find(key), where_, prefix_ + key + "."); }

  template <std::size_t n>
  void require_one_of(const char* key, const std::string& value,
                      const std::array<std::string_view, n>& supported) const {
    if (std::find(supported.begin(), supported.end(), value) == supported.end())
      throw Error(where_,
                  fmt::format("{}{} is \"{}\", which is not supported", prefix_, key, value),
                  fmt::format("{}{}", n > 1 ? "one of " : "", fmt::join(supported, ", ")));
  }

 private:
  [[noreturn]] void fail(const std::string& key, const json& found, const char* expected) const {
    std::string text = found.dump(-1, ' ', true, json::error_handler_t::replace);
    if (text.size() > 60) text = text.substr(0, 57) + "...";
    throw Error(where_, fmt::format("{} is {}", key, text), expected);
  }
  template <class T>
  [[noreturn]] T missing(const char* key, const char* expected) const {
    throw Error(where_, fmt::format("has no {}{}", prefix_, key), expected,
                "take the config.json that belongs to the weights");
  }
  std::int64_t to_integer(const char* key, const json& value) const {
    if (!value.is_number_integer() ||
        (value.is_number_unsigned() && value.get<std::uint64_t>() > std::uint64_t{1} << 62))
      fail(prefix_ + key, value, "an integer");
    return value.get<std::int64_t>();
  }

  const json& object_;
  std::string where_;
  std::string prefix_;
};

void check_architecture(const Keys& keys, const std::string& where, LlamaConfig& config) {
  const json* architectures = keys.find("architectures");
  if (!architectures && !keys.has("model_type"))
    throw Error(where, "has neither architectures nor model_type",
                fmt::format("\"architectures\": [\"{}\"]", kArchitectures[0]),
                "take the config.json that belongs to the weights");
  if (architectures) {
    if (!architectures->is_array() || architectures->empty() || !architectures->front().is_string())
      throw Error(where, "architectures is not a list of names",
                  fmt::format("[\"{}\"]", kArchitectures[0]));
    config.architecture = architectures->front().get<std::string>();
    keys.require_one_of("architectures", config.architecture, kArchitectures);
  }
  keys.require_one_of("model_type", keys.text("model_type", "llama"), kModelTypes);
  keys.require_one_of("hidden_act", keys.text("hidden_act", "silu"), kActivations);
  if (keys.number("partial_rotary_factor", 1.0) != 1.0)
    throw Error(where,
                fmt::format("partial_rotary_factor is {}", keys.number("partial_rotary_factor")),
                "1: rotary embeddings over the whole head");
}

void read_rope(const Keys& keys, LlamaConfig& config) {
  config.rope_theta = keys.number("rope_theta", 10000.0);
  // transformers 5 still prefers the old key where both stand (RotaryEmbeddingConfigMixin).
  const char* table = keys.has("rope_scaling") ? "rope_scaling" : "rope_parameters";
  if (!keys.has(table)) return;
  Keys rope = keys.table(table);
  config.rope_theta = rope.number("rope_theta", config.rope_theta);
  RopeScaling& scaling = config.rope_scaling;
  const char* type = rope.has("rope_type") ? "rope_type" : "type";
  scaling.type = rope.text(type, "default");
  rope.require_one_of(type, scaling.type, kRopeTypes);
  if (scaling.type == "default") return;
  scaling.factor = rope.number("factor");
  if (scaling.type != "llama3") return;
  scaling.low_freq_factor = rope.number("low_freq_factor");
  scaling.high_freq_factor = rope.number("high_freq_factor");
  scaling.original_max_position_embeddings =
      rope.integer("original_max_position_embeddings", config.max_position_embeddings);
}

}  // namespace

LlamaConfig parse_config_json(const std::string& text, const std::string& where) {
  json object = parse_json(text, where);
  Keys keys(object, where);
  LlamaConfig config;
  check_architecture(keys, where, config);
  config.hidden_size = keys.integer("hidden_size");
  config.intermediate_size = keys.integer("intermediate_size");
  config.num_hidden_layers = keys.integer("num_hidden_layers");
  config.num_attention_heads = keys.integer("num_attention_heads");
  config.num_key_value_heads = keys.integer("num_key_value_heads", config.num_attention_heads);
  config.vocab_size = keys.integer("vocab_size");
  config.max_position_embeddings = keys.integer("max_position_embeddings", 2048);
  if (keys.has("head_dim")) {
    config.head_dim = keys.integer("head_dim");
  } else {
    if (config.num_attention_heads <= 0 || config.hidden_size % config.num_attention_heads != 0)
      throw Error(where,
                  fmt::format("hidden_size {} is not a multiple of num_attention_heads {}",
                              config.hidden_size, config.num_attention_heads),
                  "a multiple, or head_dim");
    config.head_dim = config.hidden_size / config.num_attention_heads;
  }
  config.rms_norm_eps = keys.number("rms_norm_eps", 1e-6);
  read_rope(keys, config);
  config.tie_word_embeddings = keys.boolean("tie_word_embeddings", false);
  config.attention_bias = keys.boolean("attention_bias", false);
  config.mlp_bias = keys.boolean("mlp_bias", false);
  const char* dtype = keys.has("dtype") ? "dtype" : "torch_dtype";
  config.dtype = keys.text(dtype, "float32");
  keys.require_one_of(dtype, config.dtype, kDtypes);
  // An explicit null means "none"; only an absent key has the default.
  if (!object.contains("bos_token_id")) config.bos_token_id = 1;
  if (keys.has("bos_token_id")) config.bos_token_id = keys.integer("bos_token_id");
  if (!object.contains("eos_token_id")) config.eos_token_ids = {2};
  if (keys.has("eos_token_id")) config.eos_token_ids = keys.integers("eos_token_id");
  check_config(config, where);
  return config;
}

void check_config(const LlamaConfig& config, const std::string& where) {
  Problems problems;
  auto contradiction = [&](const std::string& found, const std::string& expected) {
    problems.add(Error(where, found, expected));
  };
  auto size = [&](const char* name, std::int64_t value, std::int64_t most) {
    if (value < 1 || value > most)
      contradiction(fmt::format("{} is {}", name, value), fmt::format("1 to {}", most));
  };
  auto positive = [&](const char* name, double value) {
    if (!(value > 0) || !std::isfinite(value))
      contradiction(fmt::format("{} is {}", name, value), "a finite number above 0");
  };
  size("hidden_size", config.hidden_size, kLargestSize);
  size("intermediate_size", config.intermediate_size, kLargestSize);
  size("num_hidden_layers", config.num_hidden_layers, kMostLayers);
  size("num_attention_heads", config.num_attention_heads, kLargestSize);
  size("num_key_value_heads", config.num_key_value_heads, kLargestSize);
  size("head_dim", config.head_dim, kLargestSize);
  size("vocab_size", config.vocab_size, kLargestSize);
  size("max_position_embeddings", config.max_position_embeddings, kLargestSize);
  positive("rms_norm_eps", config.rms_norm_eps);
  positive("rope_theta", config.rope_theta);
  if (config.num_key_value_heads > 0 &&
      config.num_attention_heads % config.num_key_value_heads != 0)
    contradiction(fmt::format("num_attention_heads {} is not a multiple of num_key_value_heads {}",
                              config.num_attention_heads, config.num_key_value_heads),
                  "the same number of query heads for each key and value head");
  if (config.head_dim % 2 != 0)
    contradiction(fmt::format("head_dim is {}", config.head_dim),
                  "an even number, because rotary embeddings turn pairs");
  const RopeScaling& scaling = config.rope_scaling;
  if (scaling.type != "default") positive("the rope scaling's factor", scaling.factor);
  if (scaling.type == "llama3") {
    positive("the rope scaling's low_freq_factor", scaling.low_freq_factor);
    if (!(scaling.high_freq_factor > scaling.low_freq_factor))
      contradiction(fmt::format("the rope scaling's high_freq_factor is {}, its low_freq_factor {}",
                                scaling.high_freq_factor, scaling.low_freq_factor),
                    "a high_freq_factor above the low_freq_factor");
    size("the rope scaling's original_max_position_embeddings",
         scaling.original_max_position_embeddings, kLargestSize);
  }
  problems.throw_if_any();
}

}  // namespace harness
