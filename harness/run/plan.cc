#include "harness/run/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "harness/core/hash.h"
#include "harness/model/tokenizer_check.h"
#include "harness/model/weight_memory.h"
#include "harness/quant/integer_execution.h"
#include "harness/quant/sites.h"
#include "harness/run/device.h"
#include "harness/run/drawn_calibration.h"
#include "harness/run/eval_shelf.h"
#include "harness/run/stage_cache.h"
#include "harness/run/training.h"
#include "harness/run/transcripts.h"

namespace harness {
namespace {

/// Opens each checkpoint once, however many runs name it.
class ModelShelf {
 public:
  std::shared_ptr<ModelFiles> get(const ModelReference& reference, const std::string& data_dir) {
    auto found = shelf_.find(reference.text);
    if (found == shelf_.end())
      found = shelf_.emplace(reference.text, find(reference, data_dir)).first;
    return found->second;
  }

  /// Both roles share one, so that it is trained once.
  std::shared_ptr<const Pair> pair(const PairReference& reference, const std::string& data_dir) {
    PairReference any_role = reference;
    any_role.role = "base";
    std::shared_ptr<const Pair>& slot = pairs_[any_role.text()];
    if (!slot) slot = open_pair(reference, data_dir);
    return slot;
  }

  /// vocabulary_difference() of two models whose tokenizers are there.
  const std::optional<std::string>& vocabulary_difference(const ModelFiles& ours,
                                                          const ModelFiles& theirs) {
    const auto key = std::pair(ours.tokenizer_digest, theirs.tokenizer_digest);
    auto found = differences_.find(key);
    if (found == differences_.end())
      found = differences_
                  .emplace(key, harness::vocabulary_difference(*ours.tokenizer, *theirs.tokenizer))
                  .first;
    return found->second;
  }

  /// The stages of all phases of a pair's training.
  const std::vector<StageRow>& train_stages(const Pair& of) {
    std::vector<StageRow>& stages = train_stages_[&of];
    if (stages.empty())
      for (std::size_t phase = 0; phase < of.recipe().phases.size(); ++phase)
        stages.push_back(training_stage(of.recipe(), phase));
    return stages;
  }

 private:
  std::shared_ptr<ModelFiles> find(const ModelReference& reference, const std::string& data_dir) {
    auto files = std::make_shared<ModelFiles>();
    files->reference = reference.text;
    if (!reference.pair) {
      open_files(*files, reference.text);
      return files;
    }
    const std::shared_ptr<const Pair> of = pair(*reference.pair, data_dir);
    const std::string& role = reference.pair->role;
    if (!of->trains(role)) {
      open_files(*files, of->reference(role));
      files->chat_template = of->base()->chat_template;
      return files;
    }
    files->pair = of;
    files->role = role;
    files->config = of->config();
    files->scheme = fmt::format("pair {}, trained here", of->name());
    files->digest = sha256(of->digest() + "\n" + role);
    files->tokenizer_digest = of->digest();
    return files;
  }

  std::map<std::string, std::shared_ptr<ModelFiles>> shelf_;
  std::map<std::string, std::shared_ptr<const Pair>> pairs_;
  std::map<const Pair*, std::vector<StageRow>> train_stages_;
  std::map<std::pair<std::string, std::string>, std::optional<std::string>> differences_;
};

}  // namespace

void open_files(ModelFiles& files, const std::string& checkpoint) {
  files.place = checkpoint;
  files.checkpoint = open_checkpoint(checkpoint);
  files.tokenizer = open_tokenizer(checkpoint);
  files.config = files.checkpoint->config();
  files.scheme = files.checkpoint->scheme();
  check_tokenizer(*files.tokenizer, files.config, checkpoint);
  files.digest = files.checkpoint->digest();
  files.tokenizer_digest = files.tokenizer->digest();
  files.chat_template = read_chat_template(checkpoint);
}

namespace {

/// Of a model that `harness quantize` wrote.
std::optional<StoredRuntime> stored_runtime(const PlannedRun& run) {
  return run.model && run.model->checkpoint ? run.model->checkpoint->runtime() : std::nullopt;
}

}  // namespace

Format computed_format(const PlannedRun& run) {
  const std::optional<StoredRuntime> stored = stored_runtime(run);
  return stored ? stored->format : run.format;
}

DataContext data_of(const PlannedRun& run) {
  return {run.spec.data_dir, run.spec.model.pair ? run.spec.model.pair->pair : "",
          run.pair ? pair_transcripts_digest(*run.pair) : ""};
}

const std::shared_ptr<ModelFiles>& files_of(const PlannedRun& run, References::Role role) {
  return role == References::Role::aligned ? run.model : run.base;
}

namespace {

StageRow make_stage(const std::string& kind, const std::string& name, const std::string& parent,
                    Value::Table content) {
  content.emplace_back("kind", kind);
  content.emplace_back("name", name);
  content.emplace_back("parent", parent);
  StageRow row;
  row.kind = kind;
  row.name = name;
  row.parent_key = parent;
  row.canonical = canonical_text(Value(std::move(content)));
  row.key = sha256(row.canonical);
  return row;
}

/// The chat format of a model, with what a person could have changed in it.
std::string chat_text(const ModelFiles& files) {
  if (files.pair) return "of the pair";  // whose recipe holds the template
  if (!files.chat_template) return "none";
  const ChatFormat format = open_chat_format(*files.chat_template, *files.tokenizer);
  return fmt::format("{}: {}", format.name(),
                     format.render({{"user", "a"}, {"assistant", "b"}, {"user", "c"}}, true));
}

/// What the token ids of a text and of a conversation depend on.
std::string language_of(const ModelFiles& files) {
  return files.tokenizer_digest + (files.chat_template ? "\n" + files.chat_template->jinja : "");
}

/// An eval that means nothing without a chat format needs one of each model that it measures.
/// @param sound whether the eval's own check found nothing: only then it has a protocol
void check_chat_template(const Eval& eval, bool sound, const DataContext& data,
                         const ModelFiles& files, const std::string& where, Problems& problems) {
  // Of a model that is trained here the recipe holds the template.
  if (!eval.traits().needs_chat_template || files.pair || files.chat_template) return;
  problems.add(
      Error(where,
            fmt::format("{} talks to the model, but {} has no chat template",
                        sound ? "eval " + eval.protocol(data) : "an eval", files.reference),
            "a checkpoint with its chat template, as one that was tuned to chat has it",
            "take such a one, name the template in its tokenizer_config.json, or ask in "
            "plain text where the eval can (chat = false)"));
}

Value data_value(const std::vector<DataUse>& used) {
  Value::Array array;
  for (const DataUse& use : used) array.emplace_back(Value::Table{{use.name, use.digest}});
  return Value(std::move(array));
}

void check_methods(const RunSpec& spec, const std::string& where,
                   const std::vector<std::unique_ptr<Method>>& methods, Problems& problems) {
  int quantizers = 0;
  int transforms = 0;
  bool needs_calibration = false, needs_base = false, transforms_late = false;
  for (const auto& method : methods) {
    if (!method) return;  // its own problem is reported
    transforms_late = transforms_late || (quantizers > 0 && method->traits().transforms);
    quantizers += method->traits().quantizes_weights;
    transforms += method->traits().transforms;
    needs_calibration = needs_calibration || method->traits().needs_calibration;
    needs_base = needs_base || method->traits().needs_base;
  }
  if (spec.format.quantizes_weights() && quantizers == 0)
    problems.add(Error(where,
                       fmt::format("format {} quantizes weights, but no method of the run does",
                                   spec.format.label()),
                       "a weight quantizer in methods", "add one, such as methods = [\"rtn\"]"));
  if (quantizers > 1)
    problems.add(Error(where, fmt::format("{} methods quantize the weights", quantizers),
                       "one at the most"));
  if (transforms > 1)
    problems.add(Error(where, fmt::format("{} methods rotate or scale the weights", transforms),
                       "one at the most"));
  if (transforms_late)
    problems.add(Error(where, "weights are rotated or scaled after they were quantized",
                       "the weight quantizer last"));
  if (quantizers > 0 && !spec.format.quantizes_weights())
    problems.add(Error(where,
                       fmt::format("a weight quantizer, but format {} leaves weights untouched",
                                   spec.format.label()),
                       "format with w under 16 bits", "or drop the method"));
  if (needs_calibration && !spec.calibration)
    problems.add(
        Error(where, "a method needs calibration text, but the run names none",
              "calibration = { text = \"boolq-wiki-calibrate\", samples = 128, length = 2048 }"));
  if (needs_base && !spec.base)
    problems.add(Error(where, "a method needs the pre-trained base, but the run names none",
                       "base = \"...\""));
}

void check_stored(const PlannedRun& run, const std::string& where, Problems& problems) {
  const std::optional<StoredRuntime> stored = stored_runtime(run);
  if (stored && (run.spec.format != Format() || !run.spec.methods.empty()))
    problems.add(Error(
        where,
        fmt::format("{} is quantized already, as {}", run.model->reference, stored->format.label()),
        "a run without format and methods", "or name the model that it was made from"));
}

/// The uses of derived evals, or of the others.
std::vector<PluginUse> eval_uses(const RunSpec& spec, const Plugins& plugins, bool derived) {
  std::vector<PluginUse> uses;
  for (const PluginUse& use : spec.evals)
    if (plugins.derived_evals.contains(use.name) == derived) uses.push_back(use);
  return uses;
}

/// Which evals of the run a derived one reads.
std::vector<std::size_t> evals_read(const PlannedRun& run, const DerivedEval& derived,
                                    const DataContext& data, EvalShelf& shelf) {
  std::vector<std::size_t> read;
  for (std::size_t i = 0; i < run.evals.size(); ++i)
    if (shelf.reads(derived, *run.evals[i], data)) read.push_back(i);
  return read;
}

/// A derived eval compares with the unquantized models of the run; asked once its evals are built
/// and their data are there.
void check_derived(const PlannedRun& run, const Plugins& plugins, const std::string& where,
                   const DataContext& data, EvalShelf& shelf, Problems& problems) {
  const std::vector<PluginUse> uses = eval_uses(run.spec, plugins, /*derived=*/true);
  for (std::size_t i = 0; i < uses.size(); ++i) {
    const DerivedEval& derived = *run.derived_evals[i];
    const std::string& name = uses[i].name;
    if (!run.spec.base)
      problems.add(Error(
          where, fmt::format("eval {} needs the pre-trained base, but the run names none", name),
          "base = \"...\""));
    if (stored_runtime(run))
      problems.add(Error(where,
                         fmt::format("eval {} compares with the unquantized model, but {} is "
                                     "quantized already",
                                     name, run.model->reference),
                         "the model that it was made from, with a format and methods"));
    problems.collect([&] {
      const std::vector<std::size_t> read = evals_read(run, derived, data, shelf);
      if (read.empty())
        throw Error(where, fmt::format("eval {} has nothing to read among the run's evals", name),
                    derived.wanted(), "add one to evals");
      for (const std::size_t each : read)
        if (run.base) check_chat_template(*run.evals[each], true, data, *run.base, where, problems);
    });
  }
}

/// Whether ids mean the same to the model and its base.
void check_token_ids(const PlannedRun& run, const std::string& where, ModelShelf& shelf,
                     Problems& problems) {
  if (!run.model->tokenizer || !run.base->tokenizer) return;
  if (const auto& difference = shelf.vocabulary_difference(*run.model, *run.base))
    problems.add(Error(where,
                       fmt::format("{} and its base {} have different vocabularies: {}",
                                   run.model->reference, run.base->reference, *difference),
                       "the model's own pre-trained counterpart", "name another base"));
}

/// An eval that shows the base the model's own tokens compares distributions over one vocabulary.
void check_vocabularies(const PlannedRun& run, const std::string& where, ModelShelf& shelf,
                        Problems& problems) {
  if (!run.model || !run.base) return;
  const std::int64_t ours = run.model->config.vocab_size, theirs = run.base->config.vocab_size;
  if (ours != theirs)
    problems.add(Error(where,
                       fmt::format("base {} has a vocabulary of {} tokens, {} one of {}",
                                   run.base->reference, theirs, run.model->reference, ours),
                       "the model's own pre-trained counterpart",
                       "name another base, or leave out the evals that compare token by token"));
  else
    check_token_ids(run, where, shelf, problems);
}

/// A method that compares with the base reads both models' logits side by side.
void check_base(const PlannedRun& run, const std::string& where, ModelShelf& shelf,
                Problems& problems) {
  if (!run.model || !run.base ||
      std::none_of(run.methods.begin(), run.methods.end(),
                   [](const auto& method) { return method && method->traits().needs_base; }))
    return;
  const LlamaConfig &ours = run.model->config, &theirs = run.base->config;
  std::vector<std::string> differences;
  auto compare = [&](const char* name, std::int64_t LlamaConfig::*size) {
    if (ours.*size != theirs.*size)
      differences.push_back(fmt::format("{} {} instead of {}", name, theirs.*size, ours.*size));
  };
  compare("vocab_size", &LlamaConfig::vocab_size);
  compare("hidden_size", &LlamaConfig::hidden_size);
  compare("intermediate_size", &LlamaConfig::intermediate_size);
  compare("num_hidden_layers", &LlamaConfig::num_hidden_layers);
  compare("num_attention_heads", &LlamaConfig::num_attention_heads);
  compare("num_key_value_heads", &LlamaConfig::num_key_value_heads);
  if (!differences.empty())
    problems.add(Error(where,
                       fmt::format("base {} is of another shape than {}: {}", run.base->reference,
                                   run.model->reference, fmt::join(differences, ", ")),
                       "the model's own pre-trained counterpart", "name another base"));
  else
    check_token_ids(run, where, shelf, problems);
}

/// Whether the run's models go with its memory limit, and its methods with them.
/// @return whether a model's blocks come into memory one by one
bool check_memory_limit(PlannedRun& run, const std::string& where, Problems& problems) {
  problems.collect([&] { run.memory_limit = resolve_memory_limit(run.spec.memory_limit, where); });
  bool streams = false;
  for (const auto& files : {run.model, run.base})
    if (files)
      problems.collect(
          [&] { streams |= streams_at(files->config, run.dtype, run.device, run.memory_limit); });
  for (const auto& method : run.methods) {
    if (method && method->traits().transforms && run.model)
      problems.collect(
          [&] { check_room_for_head(run.model->config, run.dtype, run.device, run.memory_limit); });
    if (streams && method && !method->traits().block_by_block)
      problems.add(Error(where,
                         fmt::format("memory_limit is \"{}\", less than the weights, and a method "
                                     "wants all of them at once",
                                     run.spec.memory_limit),
                         "methods that go block by block",
                         "raise memory_limit, or leave it or the method out"));
  }
  return streams;
}

/// Whether an eval can talk to the run's model.
/// @param sound as of check_chat_template()
void check_chat(const PlannedRun& run, const Eval& eval, bool sound, const DataContext& data,
                const std::string& where, EvalShelf& shelf, Problems& problems) {
  if (!run.model) return;
  const EvalTraits traits = eval.traits();
  problems.collect([&] {
    if (traits.uses_chat) chat_text(*run.model);
    if (!sound || traits.transcripts.empty() || traits.transcripts == kPairTranscripts) return;
    const TranscriptInputs inputs{run.spec.data_dir, run.model->tokenizer, run.model->chat_template,
                                  run.pair};
    for (const std::string& text :
         shelf.transcript_problems(traits.transcripts, inputs, language_of(*run.model)))
      problems.add(Error(fmt::format("{}: {}", where, text)));
  });
  check_chat_template(eval, sound, data, *run.model, where, problems);
}

/// What can be said of the calibration before anything is run: all, but for a model that is still
/// to be trained.
void check_calibration_of(const PlannedRun& run, const std::string& where, EvalShelf& shelf,
                          Problems& problems) {
  const RunSpec& spec = run.spec;
  Problems own;
  check_calibration(*spec.calibration, spec.data_dir, run.pair.get(), where, own);
  for (const std::string& text : own.texts()) problems.add(Error(text));
  if (!own.empty() || !run.model || !run.model->tokenizer ||
      std::none_of(run.methods.begin(), run.methods.end(),
                   [](const auto& method) { return method && method->traits().needs_calibration; }))
    return;
  const CalibrationInputs inputs{spec.data_dir, run.model->tokenizer, run.model->chat_template,
                                 run.pair};
  for (const std::string& text :
       shelf.calibration_problems(*spec.calibration, inputs, language_of(*run.model)))
    problems.add(Error(fmt::format("{}: {}", where, text)));
}

PlannedRun plan_run(const RunSpec& spec, const Plugins& plugins, ModelShelf& shelf,
                    EvalShelf& evals, Problems& problems) {
  PlannedRun run;
  run.spec = spec;
  run.integer = spec.execution == "integer";
  std::string where = fmt::format("run \"{}\"", spec.label);

  problems.collect([&] { run.device = resolve_device(spec.device, where); });
  problems.collect([&] { run.dtype = resolve_dtype(spec.dtype); });
  problems.collect([&] { run.model = shelf.get(spec.model, spec.data_dir); });
  if (spec.base) problems.collect([&] { run.base = shelf.get(*spec.base, spec.data_dir); });
  if (run.model && spec.model.pair)
    problems.collect([&] { run.pair = shelf.pair(*spec.model.pair, spec.data_dir); });
  const DataContext data = data_of(run);
  for (const PluginUse& use : spec.methods) {
    problems.collect([&] {
      run.methods.push_back(
          plugins.methods.get(use.name, use.options.where()).build(use.options, problems));
    });
  }
  for (const PluginUse& use : spec.evals) {
    problems.collect([&] {
      if (plugins.derives(use.name, use.options.where()))
        run.derived_evals.push_back(evals.derived(use, data, problems));
      else
        run.evals.push_back(evals.eval(use, data, problems));
    });
  }
  if (spec.evals.empty())
    problems.add(Error(where, "no evals", "at least one", "add evals = [\"perplexity\"]"));

  check_methods(spec, where, run.methods, problems);
  check_base(run, where, shelf, problems);
  check_stored(run, where, problems);
  const bool streams = check_memory_limit(run, where, problems);
  run.format = spec.format;
  for (const auto& method : run.methods)
    if (method) run.format = method->adapted(run.format);
  if (run.model) {
    check_format(run.format, run.model->config, problems);
    if (run.integer)
      check_integer_execution(computed_format(run), run.model->config, run.dtype, run.device,
                              streams, where, problems);
    for (const auto& method : run.methods)
      if (method) method->check(run.format, run.model->config, problems);
  }
  Problems of_evals;
  for (const auto& eval : run.evals) {
    if (!eval) continue;
    const std::vector<std::string>& found = evals.problems(*eval, data);
    for (const std::string& text : found) of_evals.add(Error(text));
    if (eval->traits().shares_tokens) check_vocabularies(run, where, shelf, problems);
    if (eval->traits().needs_base && !spec.base)
      problems.add(Error(where, "an eval needs the pre-trained base, but the run names none",
                         "base = \"...\""));
    check_chat(run, *eval, found.empty(), data, where, evals, problems);
  }
  for (const std::string& text : of_evals.texts()) problems.add(Error(text));
  auto built = [](const auto& evals) {
    return std::all_of(evals.begin(), evals.end(), [](const auto& eval) { return !!eval; });
  };
  if (of_evals.empty() && built(run.evals) && built(run.derived_evals))
    check_derived(run, plugins, where, data, evals, problems);
  if (spec.calibration) check_calibration_of(run, where, evals, problems);
  return run;
}

/// Of the stage that trains a model; empty where none does.
std::string training_key(const ModelFiles& files, ModelShelf& models) {
  if (!files.pair) return "";
  for (const StageRow& stage : models.train_stages(*files.pair))
    if (stage.name == files.role) return stage.key;
  return "";
}

StageRow load_stage(const PlannedRun& run, const ModelFiles& files, ModelShelf& models) {
  return make_stage("load", "checkpoint", training_key(files, models),
                    {{"digest", files.digest},
                     {"dtype", run.spec.dtype},
                     {"device", c10::DeviceTypeName(run.device.type(), true)}});
}

/// What every stage of one eval of the run has in common, whatever model it measures.
struct EvalStages {
  const PlannedRun& run;
  const Eval& eval;
  std::string name, protocol;
  Value options, data;

  /// @param integer how the model is computed
  StageRow on(const ModelFiles& model, const Format& format, bool integer,
              const std::string& parent) const {
    const EvalTraits traits = eval.traits();
    Value::Table content = {
        {"options", options},
        {"version", eval.version()},
        {"protocol", protocol},
        {"format", to_value(format)},
        {"tokenizer", model.tokenizer_digest},
        {"data", data},
        {"batch_tokens", run.spec.batch_tokens},
        {"base", Value(traits.needs_base && run.base ? run.base->digest : "")},
        {"seed", traits.uses_seed ? Value(static_cast<std::int64_t>(run.spec.seed)) : Value()}};
    if (traits.uses_chat) content.emplace_back("chat", chat_text(model));
    if (integer) content.emplace_back("execution", "integer");
    StageRow stage = make_stage("eval", name, parent, std::move(content));
    stage.protocol = protocol;
    return stage;
  }
};

/// The stages of what derived evals read and do.
/// @param evals one for each eval of the run
void key_derived(PlannedRun& run, const Plugins& plugins, const std::vector<EvalStages>& evals,
                 const DataContext& data, EvalShelf& shelf) {
  // Of the reference stage of that eval on that model, which is added where it is none of the run.
  auto reference_key = [&](References::Role role, std::size_t eval) {
    const bool aligned = role == References::Role::aligned;
    const StageRow stage = evals[eval].on(*files_of(run, role), Format(), false,
                                          aligned ? run.load_stage.key : run.base_load_stage.key);
    auto is_known = [&](const StageRow& other) { return other.key == stage.key; };
    if (std::none_of(run.eval_stages.begin(), run.eval_stages.end(), is_known) &&
        std::none_of(run.reference_stages.begin(), run.reference_stages.end(),
                     [&](const ReferenceStage& other) { return is_known(other.stage); }))
      run.reference_stages.push_back({role, eval, stage});
    return stage.key;
  };
  const std::vector<PluginUse> uses = eval_uses(run.spec, plugins, /*derived=*/true);
  for (std::size_t i = 0; i < run.derived_evals.size(); ++i) {
    const DerivedEval& derived = *run.derived_evals[i];
    for (const std::size_t eval : evals_read(run, derived, data, shelf)) {
      const std::string own = run.eval_stages[eval].key;
      const std::string aligned = reference_key(References::Role::aligned, eval);
      const std::string base = reference_key(References::Role::base, eval);
      const std::string protocol = derived.protocol(evals[eval].protocol);
      StageRow stage = make_stage(
          "eval", uses[i].name, own,
          {{"options", plugins.derived_evals.get(uses[i].name).canonical(uses[i].options)},
           {"version", derived.version()},
           {"protocol", protocol},
           {"reads", Value::Table{{"run", own}, {"aligned", aligned}, {"base", base}}}});
      stage.protocol = protocol;
      run.derived_stages.push_back({i, eval, aligned, base, std::move(stage)});
    }
  }
}

/// Keys and rows of a run that has no problem.
void key_run(PlannedRun& run, const Plugins& plugins, const std::string& experiment_key,
             int position, ModelShelf& models, EvalShelf& shelf, Problems& problems) {
  const RunSpec& spec = run.spec;
  DataContext data = data_of(run);
  Value format = to_value(run.format);
  auto base_digest = [&](bool needed) { return Value(needed && run.base ? run.base->digest : ""); };

  Value calibration;
  std::vector<DataUse> calibrated_on;
  if (spec.calibration) {
    calibrated_on = shelf.calibration(*spec.calibration, spec.data_dir, run.pair.get());
    calibration = to_value(*spec.calibration);
    calibration.set("data", data_value(calibrated_on));
    calibration.set("tokenizer", run.model->tokenizer_digest);
    calibration.set("seed", static_cast<std::int64_t>(spec.seed));
    for (const CalibrationPart& part : spec.calibration->parts())
      if (!part.chat.empty()) calibration.set("chat format", chat_text(*run.model));
    for (const DataUse& use : calibrated_on)
      run.data_provenance.emplace_back("data.calibration." + use.name,
                                       use.source + " sha256:" + use.digest);
  }
  for (const auto& files : {run.model, run.base}) {
    if (!files || !files->pair ||
        std::find(run.pairs.begin(), run.pairs.end(), files->pair) != run.pairs.end())
      continue;
    run.pairs.push_back(files->pair);
    for (const StageRow& stage : models.train_stages(*files->pair))
      run.train_stages.push_back(stage);
  }
  run.load_stage = load_stage(run, *run.model, models);
  if (run.base) run.base_load_stage = load_stage(run, *run.base, models);
  run.inputs_key =
      sha256(fmt::format("{}\n{}\n{}", run.load_stage.key, run.base ? run.base->digest : "",
                         canonical_text(calibration)));
  std::string parent = run.load_stage.key;
  for (std::size_t i = 0; i < run.methods.size(); ++i) {
    const PluginUse& use = spec.methods[i];
    MethodTraits traits = run.methods[i]->traits();
    Value::Table content = {
        {"options", plugins.methods.get(use.name).canonical(use.options)},
        {"version", run.methods[i]->version()},
        {"format", format},
        {"calibration", traits.needs_calibration ? calibration : Value()},
        {"base", base_digest(traits.needs_base)},
        {"seed", traits.uses_seed ? Value(static_cast<std::int64_t>(spec.seed)) : Value()}};
    run.method_stages.push_back(make_stage("method", use.name, parent, std::move(content)));
    parent = run.method_stages.back().key;
  }
  const std::vector<PluginUse> uses = eval_uses(spec, plugins, /*derived=*/false);
  std::vector<EvalStages> evals;
  for (std::size_t i = 0; i < run.evals.size(); ++i) {
    const PluginUse& use = uses[i];
    const Eval& eval = *run.evals[i];
    const std::vector<DataUse>& used = shelf.data(eval, data);
    for (const DataUse& use_of_data : used) {
      run.data_provenance.emplace_back("data." + use_of_data.name,
                                       use_of_data.source + " sha256:" + use_of_data.digest);
      for (const DataUse& calibrated : calibrated_on)
        if (use_of_data.digest == calibrated.digest && !spec.calibration->allow_overlap)
          problems.add(Error(fmt::format("run \"{}\"", spec.label),
                             fmt::format("calibration text \"{}\" is what eval {} measures on",
                                         calibrated.name, use.name),
                             "two texts that do not overlap",
                             "choose another text, or set calibration.allow_overlap = true"));
    }
    evals.push_back({run, eval, use.name, shelf.protocol(eval, data),
                     plugins.evals.get(use.name).canonical(use.options), data_value(used)});
    run.eval_stages.push_back(evals.back().on(*run.model, run.format, run.integer, parent));
  }
  key_derived(run, plugins, evals, data, shelf);

  Value canonical = to_value(spec);
  erase_places(canonical);
  run.row.experiment_key = experiment_key;
  run.row.label = spec.label;
  run.row.position = position;
  run.row.canonical = canonical_text(canonical);
  run.row.model = spec.model.text;
  run.row.scheme = run.model->scheme;
  run.row.format = computed_format(run).label();
  std::vector<std::string> names;
  for (const PluginUse& use : spec.methods) names.push_back(use.name);
  run.row.methods = fmt::format("{}", fmt::join(names, " + "));
  run.row.seed = static_cast<std::int64_t>(spec.seed);
  std::string stages;
  for (const StageRow& stage : run.eval_stages) stages += stage.key;
  for (const DerivedStage& each : run.derived_stages) stages += each.stage.key;
  run.row.key = sha256(experiment_key + "\n" + run.row.canonical + "\n" + stages);
}

}  // namespace

CheckpointTexts ModelFiles::tokenizer_texts() const {
  CheckpointTexts texts = read_tokenizer_texts(place);
  if (chat_template) texts["chat_template.jinja"] = chat_template->jinja;
  return texts;
}

void ModelFiles::open() {
  if (checkpoint) return;
  place = pair->reference(role);
  tokenizer = open_tokenizer(place);
  chat_template = read_chat_template(place);
  checkpoint = open_checkpoint(place);
}

Plan make_plan(const Experiment& experiment, const Plugins& plugins) {
  Plan plan;
  plan.kept = stage_folder();
  plan.experiment.name = experiment.name;
  plan.experiment.toml = experiment.toml;
  plan.experiment.canonical = experiment.canonical();
  plan.experiment.key = sha256(plan.experiment.canonical);
  Problems problems;
  problems.collect([] { stage_cache_limit(); });
  ModelShelf models;
  EvalShelf evals(plugins);
  std::vector<int> positions;
  for (std::size_t i = 0; i < experiment.runs.size(); ++i) {
    if (!experiment.selected(experiment.runs[i])) continue;
    plan.runs.push_back(plan_run(experiment.runs[i], plugins, models, evals, problems));
    positions.push_back(static_cast<int>(i));
  }
  problems.throw_if_any();
  for (std::size_t i = 0; i < plan.runs.size(); ++i)
    problems.collect([&] {
      key_run(plan.runs[i], plugins, plan.experiment.key, positions[i], models, evals, problems);
    });
  problems.throw_if_any();
  return plan;
}

}  // namespace harness
