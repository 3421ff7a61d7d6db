#include "harness/model/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <string_view>

#include "harness/core/error.h"
#include "harness/model/json.h"

namespace harness {
namespace {

using nlohmann::json;

/// Which layers a family's sliding window is of.
enum class WindowRule { none, all_layers, upper_layers };

/// What sets a family apart, and the defaults of its config in transformers 5.23
/// (configuration_llama.py, _mistral.py, _qwen2.py, _qwen3.py).
struct Family {
  std::string_view architecture, model_type;
  std::int64_t key_value_heads;  // 0: as many as query heads
  std::int64_t head_dim;         // 0: hidden_size / num_attention_heads
  std::int64_t max_position_embeddings;
  bool has_token_ids;  // BOS 1 and EOS 2 where the key is absent; else none
  WindowRule window;
  bool always_qkv_bias;  // of q, k and v but not of o
  bool has_attention_bias, has_mlp_bias, has_qk_norm;
};
constexpr std::array<Family, 4> kFamilies = {{
    {"LlamaForCausalLM", "llama", 0, 0, 2048, true, WindowRule::none, false, true, true, false},
    {"MistralForCausalLM", "mistral", 8, 0, 131072, true, WindowRule::all_layers, false, false,
     false, false},
    {"Qwen2ForCausalLM", "qwen2", 32, 0, 32768, false, WindowRule::upper_layers, true, false, false,
     false},
    {"Qwen3ForCausalLM", "qwen3", 32, 128, 32768, false, WindowRule::upper_layers, false, true,
     false, true},
}};

constexpr auto kArchitectures = [] {
  std::array<std::string_view, kFamilies.size()> names;
  for (std::size_t i = 0; i < names.size(); ++i) names[i] = kFamilies[i].architecture;
  return names;
}();
constexpr auto kModelTypes = [] {
  std::array<std::string_view, kFamilies.size()> names;
  for (std::size_t i = 0; i < names.size(); ++i) names[i] = kFamilies[i].model_type;
  return names;
}();
constexpr std::array<std::string_view, 1> kActivations = {"silu"};
constexpr std::array<std::string_view, 4> kRopeTypes = {"default", "linear", "llama3", "yarn"};
constexpr std::array<std::string_view, 2> kLayerTypes = {"full_attention", "sliding_attention"};
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

const Family* find_family(std::string_view architecture) {
  for (const Family& family : kFamilies)
    if (family.architecture == architecture) return &family;
  return nullptr;
}

const Family& read_family(const Keys& keys, const std::string& where) {
  const json* architectures = keys.find("architectures");
  if (!architectures && !keys.has("model_type"))
    throw Error(where, "has neither architectures nor model_type",
                fmt::format("\"architectures\": [\"{}\"]", kArchitectures[0]),
                "take the config.json that belongs to the weights");
  std::string architecture;
  if (architectures) {
    if (!architectures->is_array() || architectures->empty() || !architectures->front().is_string())
      throw Error(where, "architectures is not a list of names",
                  fmt::format("[\"{}\"]", kArchitectures[0]));
    architecture = architectures->front().get<std::string>();
    keys.require_one_of("architectures", architecture, kArchitectures);
  }
  const std::string type = keys.text("model_type", "");
  if (keys.has("model_type")) keys.require_one_of("model_type", type, kModelTypes);
  for (const Family& family : kFamilies) {
    if (architectures && family.architecture != architecture) continue;
    if (keys.has("model_type") && family.model_type != type) {
      if (!architectures) continue;
      throw Error(where, fmt::format("model_type is \"{}\", architectures {}", type, architecture),
                  fmt::format("\"{}\", which is that of {}", family.model_type, architecture),
                  "take the config.json that belongs to the weights");
    }
    return family;
  }
  assert(false);
  return kFamilies[0];
}

void refuse_what_is_not_supported(const Keys& keys, const std::string& where) {
  keys.require_one_of("hidden_act", keys.text("hidden_act", "silu"), kActivations);
  if (keys.number("partial_rotary_factor", 1.0) != 1.0)
    throw Error(where,
                fmt::format("partial_rotary_factor is {}", keys.number("partial_rotary_factor")),
                "1: rotary embeddings over the whole head");
}

/// sliding_window, and for Qwen use_sliding_window, max_window_layers and layer_types.
void read_window(const Keys& keys, const json& object, const Family& family,
                 const std::string& where, LlamaConfig& config) {
  // transformers' default where the key is absent; an explicit null is "no window".
  constexpr std::int64_t kDefaultWindow = 4096;
  constexpr std::int64_t kDefaultFullLayers = 28;
  if (family.window == WindowRule::none) return;
  const bool in_use =
      family.window == WindowRule::all_layers || keys.boolean("use_sliding_window", false);
  if (in_use && !object.contains("sliding_window")) config.sliding_window = kDefaultWindow;
  if (in_use && keys.has("sliding_window")) config.sliding_window = keys.integer("sliding_window");
  const std::int64_t full_layers = family.window == WindowRule::all_layers
                                       ? 0
                                       : keys.integer("max_window_layers", kDefaultFullLayers);
  for (std::int64_t layer = 0; layer < config.num_hidden_layers && config.sliding_window; ++layer)
    config.layer_slides.push_back(layer >= full_layers);
  if (const json* types = keys.find("layer_types")) {
    config.layer_slides.clear();
    for (std::size_t layer = 0; layer < types->size(); ++layer) {
      const std::string type = types->is_array() && (*types)[layer].is_string()
                                   ? (*types)[layer].get<std::string>()
                                   : "";
      keys.require_one_of("layer_types", type, kLayerTypes);
      config.layer_slides.push_back(type == "sliding_attention");
    }
    if (types->size() != static_cast<std::size_t>(config.num_hidden_layers))
      throw Error(where, fmt::format("layer_types has {} entries", types->size()),
                  fmt::format("{}, one for each of num_hidden_layers", config.num_hidden_layers),
                  "take the config.json that belongs to the weights");
  }
  const bool slides = std::find(config.layer_slides.begin(), config.layer_slides.end(), true) !=
                      config.layer_slides.end();
  if (slides && !config.sliding_window)
    throw Error(where, "layer_types names layers of sliding_attention, but there is no window",
                family.window == WindowRule::all_layers
                    ? "sliding_window"
                    : "\"use_sliding_window\": true and sliding_window",
                "take the config.json that belongs to the weights");
  if (!slides) {
    config.sliding_window.reset();
    config.layer_slides.clear();
  }
}

void read_rope(const Keys& keys, const std::string& where, LlamaConfig& config) {
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
  if (scaling.type == "linear") return;
  scaling.original_max_position_embeddings =
      rope.integer("original_max_position_embeddings", config.max_position_embeddings);
  if (scaling.type == "llama3") {
    scaling.low_freq_factor = rope.number("low_freq_factor");
    scaling.high_freq_factor = rope.number("high_freq_factor");
    return;
  }
  if (rope.has("mscale") || rope.has("mscale_all_dim"))
    throw Error(where, "the yarn rope scaling has mscale", "attention_factor, or none",
                "use a checkpoint whose rope scaling has no mscale");
  scaling.beta_fast = rope.number("beta_fast", scaling.beta_fast);
  scaling.beta_slow = rope.number("beta_slow", scaling.beta_slow);
  if (rope.has("attention_factor")) scaling.attention_factor = rope.number("attention_factor");
  scaling.truncate = rope.boolean("truncate", true);
}

/// What the config.json of its architecture could not say.
template <class Contradiction>
void check_features(const LlamaConfig& config, const Contradiction& contradiction) {
  const Family* family = find_family(config.architecture);
  if (!family) {
    contradiction(fmt::format("the architecture is {}", config.architecture),
                  fmt::format("one of {}", fmt::join(kArchitectures, ", ")));
    return;
  }
  auto feature = [&](const char* what, bool there, bool possible, bool always = false) {
    if (there ? !possible : always)
      contradiction(fmt::format("there {} {}", there ? "are" : "are no", what),
                    fmt::format("{}, as {} has it", there ? "none" : "them", config.architecture));
  };
  feature("biases of q, k and v", config.qkv_bias,
          family->always_qkv_bias || (family->has_attention_bias && config.o_bias),
          family->always_qkv_bias || (family->has_attention_bias && config.o_bias));
  feature("biases of o", config.o_bias, family->has_attention_bias);
  feature("biases of gate, up and down", config.mlp_bias, family->has_mlp_bias);
  feature("norms of q and k", config.qk_norm, family->has_qk_norm, family->has_qk_norm);
  feature("layers with a sliding window", config.sliding_window.has_value(),
          family->window != WindowRule::none);
}

}  // namespace

std::string model_type_of(const std::string& architecture) {
  const Family* family = find_family(architecture);
  assert(family);
  return std::string(family->model_type);
}

LlamaConfig parse_config_json(const std::string& text, const std::string& where) {
  json object = parse_json(text, where);
  Keys keys(object, where);
  LlamaConfig config;
  const Family& family = read_family(keys, where);
  refuse_what_is_not_supported(keys, where);
  config.architecture = family.architecture;
  config.hidden_size = keys.integer("hidden_size");
  config.intermediate_size = keys.integer("intermediate_size");
  config.num_hidden_layers = keys.integer("num_hidden_layers");
  config.num_attention_heads = keys.integer("num_attention_heads");
  // An explicit null means one for each query head; an absent key has the family's default.
  config.num_key_value_heads = keys.integer(
      "num_key_value_heads", object.contains("num_key_value_heads") || family.key_value_heads == 0
                                 ? config.num_attention_heads
                                 : family.key_value_heads);
  config.vocab_size = keys.integer("vocab_size");
  config.max_position_embeddings =
      keys.integer("max_position_embeddings", family.max_position_embeddings);
  if (keys.has("head_dim")) {
    config.head_dim = keys.integer("head_dim");
  } else if (family.head_dim != 0 && !object.contains("head_dim")) {
    config.head_dim = family.head_dim;
  } else {
    if (config.num_attention_heads <= 0 || config.hidden_size % config.num_attention_heads != 0)
      throw Error(where,
                  fmt::format("hidden_size {} is not a multiple of num_attention_heads {}",
                              config.hidden_size, config.num_attention_heads),
                  "a multiple, or head_dim");
    config.head_dim = config.hidden_size / config.num_attention_heads;
  }
  config.rms_norm_eps = keys.number("rms_norm_eps", 1e-6);
  read_rope(keys, where, config);
  config.tie_word_embeddings = keys.boolean("tie_word_embeddings", false);
  config.o_bias = family.has_attention_bias && keys.boolean("attention_bias", false);
  config.qkv_bias = family.always_qkv_bias || config.o_bias;
  config.mlp_bias = family.has_mlp_bias && keys.boolean("mlp_bias", false);
  config.qk_norm = family.has_qk_norm;
  read_window(keys, object, family, where, config);
  const char* dtype = keys.has("dtype") ? "dtype" : "torch_dtype";
  config.dtype = keys.text(dtype, "float32");
  keys.require_one_of(dtype, config.dtype, kDtypes);
  // An explicit null means "none"; only an absent key has the default.
  if (family.has_token_ids && !object.contains("bos_token_id")) config.bos_token_id = 1;
  if (keys.has("bos_token_id")) config.bos_token_id = keys.integer("bos_token_id");
  if (family.has_token_ids && !object.contains("eos_token_id")) config.eos_token_ids = {2};
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
  }
  if (scaling.type == "llama3" || scaling.type == "yarn")
    size("the rope scaling's original_max_position_embeddings",
         scaling.original_max_position_embeddings, kLargestSize);
  if (scaling.type == "yarn") {
    positive("the rope scaling's beta_slow", scaling.beta_slow);
    if (!(scaling.beta_fast > scaling.beta_slow))
      contradiction(fmt::format("the rope scaling's beta_fast is {}, its beta_slow {}",
                                scaling.beta_fast, scaling.beta_slow),
                    "a beta_fast above the beta_slow");
    if (scaling.attention_factor)
      positive("the rope scaling's attention_factor", *scaling.attention_factor);
  }
  if (config.sliding_window) {
    size("sliding_window", *config.sliding_window, kLargestSize);
    if (config.layer_slides.size() != static_cast<std::size_t>(config.num_hidden_layers))
      contradiction(fmt::format("{} layers are said to slide or not", config.layer_slides.size()),
                    fmt::format("{}, all of the model's", config.num_hidden_layers));
  }
  check_features(config, contradiction);
  problems.throw_if_any();
}

}  // namespace harness
