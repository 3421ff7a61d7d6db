#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "harness/train/recipe.h"

namespace harness {

/// Examples as a training file names them: `text` or `chat`.
struct DataOptions {
  std::string text, chat;
  std::int64_t sequences = 16;
  std::int64_t length = 256;
  std::string format;
  std::int64_t prompt_tokens = 0, answer_tokens = 0;

  template <class Visitor>
  void visit(Visitor&& v) {
    v("text", text, Field{.doc = "corpus name or path of a text file: windows of it"});
    v("chat", chat,
      Field{.doc = "JSON lines of {\"messages\": [...]} or {\"prompt\", \"response\"}: the loss is "
                   "on the answers"});
    v("sequences", sequences, Field{.doc = "of these data in a batch", .min = 1});
    v("length", length, Field{.doc = "tokens of a window of text", .min = 1});
    v("format", format, Field{.doc = "chat format; empty: the checkpoint's own"});
    v("prompt_tokens", prompt_tokens, Field{.doc = "most tokens of a prompt; 0: any", .min = 0});
    v("answer_tokens", answer_tokens, Field{.doc = "most tokens of an answer; 0: any", .min = 0});
  }
};

struct CriterionOptions {
  std::vector<DataOptions> data;
  std::int64_t batches = 8;
  double loss_below = 0;

  template <class Visitor>
  void visit(Visitor&& v) {
    v("data", data, Field{.doc = "as a phase's, but not trained on", .required = true});
    v("batches", batches, Field{.doc = "how many are looked at", .min = 1});
    v("loss_below", loss_below,
      Field{.doc = "stop below this mean cross-entropy; 0: only look, train all steps", .min = 0});
  }
};

/// The shape of a new model.
struct ModelOptions {
  std::string tokenizer;
  std::int64_t hidden_size = 0, intermediate_size = 0, num_hidden_layers = 0;
  std::int64_t num_attention_heads = 0;
  std::optional<std::int64_t> num_key_value_heads, head_dim;
  std::int64_t max_position_embeddings = 2048;
  double rms_norm_eps = 1e-5;
  double rope_theta = 10000;
  bool tie_word_embeddings = false;
  InitOptions init;

  template <class Visitor>
  void visit(Visitor&& v) {
    v("tokenizer", tokenizer,
      Field{.doc = "a checkpoint or tokenizer.json whose tokenizer it takes", .required = true});
    v("hidden_size", hidden_size, Field{.doc = "width", .min = 1, .required = true});
    v("intermediate_size", intermediate_size,
      Field{.doc = "width inside the MLP", .min = 1, .required = true});
    v("num_hidden_layers", num_hidden_layers, Field{.doc = "blocks", .min = 1, .required = true});
    v("num_attention_heads", num_attention_heads,
      Field{.doc = "query heads", .min = 1, .required = true});
    v("num_key_value_heads", num_key_value_heads,
      Field{.doc = "as many as query heads where not given", .min = 1});
    v("head_dim", head_dim,
      Field{.doc = "hidden_size / num_attention_heads where not given", .min = 2});
    v("max_position_embeddings", max_position_embeddings,
      Field{.doc = "longest sequence", .min = 2});
    v("rms_norm_eps", rms_norm_eps, Field{.doc = "of the norms", .min = 0});
    v("rope_theta", rope_theta, Field{.doc = "of the rotary positions", .min = 1});
    v("tie_word_embeddings", tie_word_embeddings, Field{.doc = "one matrix for both ends"});
    v("init", init, Field{.doc = "{ std, groups, embedding_offsets, scale_residual }"});
  }
};

struct PhaseOptions {
  std::string name, from;
  std::optional<ModelOptions> model;
  std::vector<DataOptions> data;
  std::optional<CriterionOptions> criterion;
  std::string save_dtype = "fp32";
  TrainOptions train;

  template <class Visitor>
  void visit(Visitor&& v) {
    v("name", name, Field{.doc = "of the checkpoint's folder inside out", .required = true});
    v("from", from, Field{.doc = "an earlier phase, or a checkpoint"});
    v("model", model, Field{.doc = "a new model instead of from"});
    v("data", data, Field{.doc = "[{ text or chat, ... }]", .required = true});
    v("criterion", criterion, Field{.doc = "{ data, batches, loss_below }: when to stop early"});
    v("save_dtype", save_dtype,
      Field{.doc = "of the weights on disk", .choices = {"fp32", "bf16", "fp16"}});
    train.visit(v);
  }
};

/// A training file (TOML).
struct TrainFile {
  std::string name;
  std::uint64_t seed = 0;
  std::string out;
  std::string data_dir;
  std::vector<PhaseOptions> phase;
  std::string toml;  // as written

  template <class Visitor>
  void visit(Visitor&& v) {
    v("name", name, Field{.doc = "of the training", .required = true});
    v("seed", seed, Field{.doc = "of new weights and of the order of the data", .min = 0});
    v("out", out, Field{.doc = "folder for the checkpoints", .required = true});
    v("data_dir", data_dir, Field{.doc = "where data files are looked for first"});
    v("phase", phase, Field{.doc = "[[phase]] tables", .required = true});
  }
};

/// @param data_dir --data; replaces the file's key when not empty
/// @throws Error with all problems of the file's keys
TrainFile read_train_file(const std::filesystem::path& path, const std::string& data_dir);
TrainFile parse_train_file(const std::string& toml, const std::string& name);

/// Opens checkpoints and tokenizers, reads and tokenises the data.
/// @throws Error with all problems, each with phase, file, line and field
TrainRecipe make_recipe(const TrainFile& file);

}  // namespace harness
