#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "harness/core/config.h"
#include "harness/core/format.h"
#include "harness/core/format_value.h"
#include "harness/core/model_reference.h"

namespace harness {

/// A method or eval as an experiment names it: "rtn", or a table with its name and options.
struct PluginUse {
  std::string name;
  Value options;  // the table, `name` included; the plugin's config reads it
};

template <>
struct ValueTraits<PluginUse> {
  static PluginUse read(const Value& value, Problems& problems);
  static Value write(const PluginUse& use) { return use.options; }
  static std::string type_name() { return "a name or { name = ..., options }"; }
};

/// A share of the calibration: a text, or chat transcripts.
struct CalibrationPart {
  std::string text = {}, chat = {};
  double share = 1;
  template <class Visitor>
  void visit(Visitor&& v) {
    v("text", text, Field{.doc = "corpus name or path of a text file"});
    v("chat", chat,
      Field{.doc = "chat transcripts: JSON lines of { messages }, or \"pair\": what the model's "
                   "pair is fine-tuned on"});
    v("share", share, Field{.doc = "of the sequences, among those of all parts", .min = 1e-6});
  }
};

/// Sequences on which methods calibrate.
struct CalibrationSpec {
  std::string text = {}, chat = {};
  std::vector<CalibrationPart> mix = {};
  std::int64_t samples = 128;
  std::int64_t length = 2048;
  bool allow_overlap = false;
  template <class Visitor>
  void visit(Visitor&& v) {
    v("text", text,
      Field{.doc = "corpus name or path of a text file; where neither this nor chat nor mix "
                   "stands, boolq-wiki-calibrate"});
    v("chat", chat,
      Field{.doc = "chat transcripts: JSON lines of { messages }, or \"pair\": what the model's "
                   "pair is fine-tuned on"});
    v("mix", mix, Field{.doc = "[{ text or chat, share }]: several of them"});
    v("samples", samples, Field{.doc = "sequences", .min = 1});
    v("length", length, Field{.doc = "tokens a sequence", .min = 2});
    v("allow_overlap", allow_overlap,
      Field{.doc = "let an eval measure on the calibration text; tables show it"});
  }
  /// What the sequences come from: mix, or the one text or chat.
  std::vector<CalibrationPart> parts() const {
    if (!mix.empty()) return mix;
    if (!chat.empty()) return {{{}, chat}};
    return {{text.empty() ? "boolq-wiki-calibrate" : text, {}}};
  }
};

/// One row of the experiment's table: a model, how it is quantized, and what is measured.
struct RunSpec {
  std::string label;
  ModelReference model;
  std::optional<ModelReference> base;
  std::string dtype = "bf16";
  std::string execution = "simulated";
  std::string device = "auto";
  std::string memory_limit;
  std::uint64_t seed = 0;
  Format format;
  std::optional<CalibrationSpec> calibration;
  std::vector<PluginUse> methods;
  std::vector<PluginUse> evals;
  std::string data_dir;
  std::int64_t batch_tokens = 4096;

  template <class Visitor>
  void visit(Visitor&& v) {
    v("label", label, Field{.doc = "name of the row"});
    v("model", model,
      Field{.doc = "a folder, a .gguf file, org/name in the local Hugging Face cache, or "
                   "{ pair = NAME, role = \"aligned\" | \"base\", seed }",
            .required = true});
    v("base", base,
      Field{.doc = "the pre-trained counterpart, for methods and evals that compare; of a pair's "
                   "aligned model the pair's base"});
    v("dtype", dtype,
      Field{.doc = "floating type of weights and activations",
            .choices = {"fp32", "bf16", "fp16", "fp64"}});
    v("execution", execution,
      Field{.doc = "how the Linears of quantized blocks are computed: simulated, in dtype from "
                   "quantized and dequantized weights and inputs, or as products of their integer "
                   "codes (CPU)",
            .choices = {"simulated", "integer"}});
    v("device", device, Field{.doc = "auto, cpu, cuda or cuda:N"});
    v("memory_limit", memory_limit,
      Field{.doc = "memory for a model's weights, such as \"8 GiB\": a model with more has them on "
                   "disk and brings them in block by block, with the same results; default: all "
                   "in memory"});
    v("seed", seed, Field{.doc = "of everything that draws", .min = 0});
    v("format", format, Field{.doc = "numeric format of weights, activations, K and V"});
    v("calibration", calibration, Field{.doc = "{ text, chat or mix, samples, length }"});
    v("methods", methods, Field{.doc = "applied in order; the last quantizes the weights"});
    v("evals", evals, Field{.doc = "what is measured"});
    v("data_dir", data_dir, Field{.doc = "where data files are looked for first"});
    v("batch_tokens", batch_tokens,
      Field{.doc = "that are computed at once where requests are scored; the last digits of a "
                   "score depend on it",
            .min = 1});
  }
};

/// Takes out of a run's table what changes no result: where files are found (their digests are in
/// the stages) and where weights are held; and an execution that is simulated, as all once were.
void erase_places(Value& run);

/// A parsed experiment file, sweeps expanded. No plugin has been looked at yet.
struct Experiment {
  std::string name;
  std::string toml;  // the file as written
  std::vector<RunSpec> runs;
  std::vector<std::string> only;  // labels to run; empty: all
  /// Metrics that people see in the table, in any order; empty: all. No result depends on it.
  std::vector<std::string> columns;
  /// Whether `only` lets this run be run.
  bool selected(const RunSpec& run) const;
  /// Everything the results depend on, defaults included; what is hashed.
  std::string canonical() const;
};

struct ExperimentOptions {
  std::vector<std::string> set = {};   // "key=value", as --set has it
  std::vector<std::string> only = {};  // labels; empty: all runs
  std::string data_dir = {};           // --data; replaces the file's key when not empty
};

/// An experiment file's table with settings ("key=value") written into it; the rules stand at
/// read_experiment.
Value apply_settings(Value file, const std::vector<std::string>& settings);

/// The key `columns` of an experiment file's text.
std::vector<std::string> table_columns(const std::string& toml);

/// Reads an experiment file: merges each [[run]] over the keys above it, applies --set, expands
/// [sweep]. A swept or --set key changes every run that does not set that key itself;
/// "methods.NAME.OPTION" and "evals.NAME.OPTION" change the runs that list the plugin;
/// "run.LABEL.KEY" changes that run only (--set and [set] only). [sweep] makes a grid of its keys;
/// `paired =
/// [["a", "b"]]` in it makes lists of equal length move together. A run's label gets KEY=VALUE for
/// each swept key but seeds; `label = ["x", "y"]`, paired with a key, says it in words instead.
///
/// A file may lie over another: extends = "FILE", from its own folder. Its keys then replace the
/// other's, [sweep] as a whole; a [[run]] of the same label replaces keys of that run, others
/// follow; drop = ["LABEL"] leaves runs out; [set] changes single keys of what there is then, as
/// --set does.
/// @throws Error with all problems found, each with file and line
Experiment read_experiment(const std::filesystem::path& path,
                           const ExperimentOptions& options = {});
Experiment parse_experiment(const std::string& toml, const std::string& name,
                            const ExperimentOptions& options = {});

}  // namespace harness
