#include "harness/run/runner.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <thread>

#include "harness/kernels/integer_linear.h"
#include "harness/model/weight_memory.h"
#include "harness/quant/integer_execution.h"
#include "harness/quant/quantized_folder.h"
#include "harness/quant/sites.h"
#include "harness/run/attempt.h"
#include "harness/run/device.h"
#include "harness/run/drawn_calibration.h"
#include "harness/run/loaded_model.h"
#include "harness/run/score_file.h"
#include "harness/run/stage_cache.h"
#include "harness/run/stored_items.h"
#include "harness/run/training.h"
#include "harness/run/transcripts.h"
#include "harness/store/work_lock.h"

namespace harness {
namespace {

constexpr const char* kWeights = "model.weights";  // of provenance

/// What a stage leaves in the database.
struct StageResult {
  std::vector<MetricRow> metrics;
  std::vector<ItemRow> items;
  ProvenanceRow provenance = {};  // beside the run's
};

class CollectingSink : public ItemSink {
 public:
  explicit CollectingSink(std::vector<ItemRow>& rows) : rows_(rows) {}
  void add(EvalItem item) override {
    rows_.push_back({std::move(item.id), static_cast<std::int64_t>(rows_.size()), item.score,
                     std::move(item.cluster),
                     item.detail.is_table() ? json_text(std::move(item.detail)) : std::string()});
    for (Completion& completion : item.completions) {
      std::vector<VerdictRow> verdicts;
      for (Verdict& verdict : completion.verdicts)
        verdicts.push_back({std::move(verdict.scorer), verdict.complied});
      rows_.back().completions.push_back({std::move(completion.prompt), std::move(completion.text),
                                          std::move(completion.ending), completion.tokens,
                                          std::move(verdicts)});
    }
  }

 private:
  std::vector<ItemRow>& rows_;
};

/// What a method says of its work: curves go to the database, also of one that fails; metrics wait
/// for its end.
class StoredRecord : public MethodRecord {
 public:
  /// @param parts what becomes of the model; may be null
  StoredRecord(CurveWriter& curves, std::vector<MetricRow>& metrics, QuantizedParts* parts)
      : curves_(curves), metrics_(metrics), parts_(parts) {}
  void curve(const std::string& series, std::int64_t step, double value) override {
    curves_.add(series, step, value);
  }
  void metric(const std::string& name, double value) override {
    metrics_.push_back({name, value, std::nullopt, 1});
  }
  void weight(const std::string& name, const QuantizedWeight& weight) override {
    if (parts_) parts_->weights[name] = weight;
  }
  void transform(const Transform& transform) override {
    if (parts_) parts_->transform = transform;
  }

 private:
  CurveWriter& curves_;
  std::vector<MetricRow>& metrics_;
  QuantizedParts* parts_;
};

const char* role_name(References::Role role) {
  return role == References::Role::aligned ? "aligned" : "base";
}

/// @param measured the model that the stage is about: the run's, or its base. What weights a pair's
/// has is known once it is open
ProvenanceRow provenance_of(const PlannedRun& run, const ModelFiles& measured) {
  ProvenanceRow rows = library_provenance();
  rows.emplace_back("device", run.device.str());
  rows.emplace_back("device.name", device_name(run.device));
  if (run.memory_limit) rows.emplace_back("memory_limit", std::to_string(*run.memory_limit));
  if (run.integer)
    rows.emplace_back("execution", fmt::format("integer, {}", integer_implementation()));
  rows.emplace_back("model", measured.reference);
  rows.emplace_back("model.digest", measured.digest);
  rows.emplace_back("model.scheme", measured.scheme);
  rows.emplace_back("model.parameters", std::to_string(parameter_count(measured.config)));
  if (measured.pair && measured.checkpoint)
    rows.emplace_back(kWeights, measured.checkpoint->digest());
  rows.emplace_back("tokenizer.digest", measured.tokenizer_digest);
  if (run.base && &measured == run.model.get()) {
    rows.emplace_back("base", run.base->reference);
    rows.emplace_back("base.digest", run.base->digest);
  }
  for (const auto& [key, value] : run.data_provenance) rows.emplace_back(key, value);
  return rows;
}

/// Claims a run or a stage; waits while another process has it.
/// @param what for messages
std::unique_ptr<WorkLock> wait_for(const ResultStore& store, const std::string& key,
                                   const std::string& what) {
  for (bool told = false;; told = true) {
    if (auto lock = WorkLock::claim(store.path(), key)) return lock;
    if (!told) log_info(fmt::format("{}: another process is at it; waiting", what));
    check_interrupted();
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

/// Runs the stages of one run and writes down how each went.
class RunExecution {
 public:
  /// @param run of the plan
  /// @param since a moment of the store: stages that have failed after it, in whatever process,
  /// are not tried again
  RunExecution(const PlannedRun& run, const Plan& plan, ResultStore& store, Progress& progress,
               const std::string& since)
      : run_(run),
        plan_(plan),
        store_(store),
        progress_(progress),
        since_(since),
        provenance_(provenance_of(run, *run.model)) {}

  /// True when every eval is stored.
  bool execute() {
    std::vector<std::size_t> pending;
    for (std::size_t i = 0; i < run_.evals.size(); ++i)
      if (is_pending(run_.eval_stages[i])) pending.push_back(i);
    std::vector<const DerivedStage*> derived;
    for (const DerivedStage& each : run_.derived_stages)
      if (is_pending(each.stage)) derived.push_back(&each);
    if (pending.empty() && derived.empty()) {
      log_info(fmt::format("{}: already stored", run_.spec.label));
      return true;
    }
    bool all_good = true;
    if (!pending.empty()) {
      QuantizedParts parts;
      if (!prepare_model(run_.integer ? &parts : nullptr)) return false;
      install_quantizers(loaded_->llama(), run_.format);
      if (run_.integer) use_codes(std::move(parts));
      all_good = measure(pending);
    }
    if (!derived.empty()) {
      loaded_.reset();  // the unquantized models take its place
      references_.reset();
      for (const auto role : {References::Role::aligned, References::Role::base})
        all_good = measure_reference(role, derived) && all_good;
      provenance_ = provenance_of(run_, *run_.model);
      // No model is looked at, and whether it happens to be open tells nothing.
      std::erase_if(provenance_, [](const auto& row) { return row.first == kWeights; });
      for (const DerivedStage* each : derived) {
        const auto lock = wait_for(store_, each->stage.key, each->stage.protocol);
        all_good = (store_.stage_done(each->stage.key) ||
                    attempt(each->stage, [&] { return run_derived(*each); })) &&
                   all_good;
      }
    }
    return all_good;
  }

  /// Writes the model as the methods leave it. False when a stage failed: stored and logged.
  bool quantize(const std::filesystem::path& folder) {
    QuantizedParts parts;
    const bool good = prepare_model(&parts);
    if (good)
      save_quantized_folder(folder, loaded_->llama(), parts, run_.format,
                            run_.model->tokenizer_texts());
    return good;
  }

 private:
  /// The items that a stage's eval measures; null: all.
  const ItemIds* sample_of(const StageRow& stage) const {
    const auto found = plan_.samples.find(stage.key);
    return found == plan_.samples.end() ? nullptr : &found->second;
  }

  bool is_pending(const StageRow& stage) const {
    const ItemIds* sample = sample_of(stage);
    return !(sample && sample->empty()) && !store_.stage_done(stage.key);
  }

  /// From here on the model is computed from the codes of its weights: those that the run's methods
  /// have made, or that the model was stored with.
  void use_codes(QuantizedParts parts) {
    execute_as_integers(loaded_->llama(), computed_format(run_), [&](const std::string& name) {
      auto made = parts.weights.extract(name);
      return made ? std::move(made.mapped()) : run_.model->checkpoint->codes(name).value().weight;
    });
  }

  /// The run's own evals on its model, which is prepared. False when one failed.
  bool measure(const std::vector<std::size_t>& evals) {
    loaded_->llama().pack_weights();
    bool all_good = true;
    for (std::size_t i : evals)
      all_good = evaluate(
                     run_.eval_stages[i], *run_.evals[i],
                     [&]() -> LlamaTextModel& { return *loaded_; }, run_.spec.label) &&
                 all_good;
    return all_good;
  }

  /// What those derived stages read of an unquantized model and is not stored yet: measured as in a
  /// run of that model by itself.
  bool measure_reference(References::Role role, const std::vector<const DerivedStage*>& derived) {
    auto is_read = [&](const ReferenceStage& reference) {
      return std::any_of(derived.begin(), derived.end(), [&](const DerivedStage* each) {
        return each->aligned_key == reference.stage.key || each->base_key == reference.stage.key;
      });
    };
    const std::string name = fmt::format("{}, {} model", run_.spec.label, role_name(role));
    std::unique_ptr<LlamaTextModel> model;
    bool all_good = true;
    for (const ReferenceStage& reference : run_.reference_stages) {
      if (reference.role != role || !is_read(reference) || !is_pending(reference.stage)) continue;
      if (!prepare_pairs()) return false;
      ModelFiles& files = *files_of(run_, role);
      provenance_ = provenance_of(run_, files);
      auto loaded = [&]() -> LlamaTextModel& {
        if (!model) {
          files.open();
          provenance_ = provenance_of(run_, files);
          model = load_model(files, run_);
          model->llama().pack_weights();
        }
        return *model;
      };
      all_good = evaluate(reference.stage, *run_.evals[reference.eval], loaded, name) && all_good;
    }
    return all_good;
  }

  StageResult run_derived(const DerivedStage& derived) {
    StageResult result;
    CollectingSink sink(result.items);
    const StoredItems reader(store_,
                             {{ItemsOf::run, run_.eval_stages[derived.eval].key},
                              {ItemsOf::aligned, derived.aligned_key},
                              {ItemsOf::base, derived.base_key}},
                             derived.stage.protocol);
    DerivedContext context{reader, sink};
    take_metrics(run_.derived_evals[derived.derived]->run(context), derived.stage.protocol,
                 run_.spec.label, result);
    return result;
  }

  /// Trains what the pairs lack, and stores their curves.
  bool prepare_pairs() {
    bool good = true;
    for (const auto& pair : run_.pairs)
      pair->locked([&] {
        for (std::size_t phase = 0; good && phase < pair->recipe().phases.size(); ++phase)
          good = train(*pair, phase);
      });
    return good;
  }

  bool train(const Pair& pair, std::size_t phase) {
    const StageRow stage = training_stage(pair.recipe(), phase);
    if (failed_just_now(stage)) return false;
    const AttemptOutcome outcome =
        attempt_phase(pair.recipe(), phase, pair.home(), run_.row.key, store_, progress_).outcome;
    if (outcome.status == AttemptStatus::interrupted) throw Interrupted();
    return outcome.status == AttemptStatus::succeeded;
  }

  /// Whether a stage has failed since_: its work may take minutes, and would fail again. Says so.
  bool failed_just_now(const StageRow& stage) const {
    const auto found = store_.query(
        "SELECT message FROM attempts WHERE stage_key = :stage AND status = 'failed' AND "
        "ended_at > :since LIMIT 1",
        {{"stage", stage.key}, {"since", since_}});
    if (found.rows.empty()) return false;
    log_warning(fmt::format("{}: {} {} has failed just now, and is not tried again: {}",
                            run_.spec.label, stage.kind, stage.name,
                            found.rows[0][0].value_or("")));
    return true;
  }

  /// @param parts where what the methods make is wanted; or null
  bool prepare_model(QuantizedParts* parts) {
    if (!prepare_pairs()) return false;
    bool good = attempt(run_.load_stage, [&] {
      run_.model->open();
      provenance_ = provenance_of(run_, *run_.model);
      loaded_ = load_model(*run_.model, run_);
      references_ = std::make_unique<LazyReferences>(run_);
      if (run_.spec.calibration)
        calibration_ = std::make_unique<DrawnCalibration>(
            *run_.spec.calibration,
            CalibrationInputs{run_.spec.data_dir, run_.model->tokenizer, run_.model->chat_template,
                              run_.pair},
            run_.spec.seed);
      return StageResult{};
    });
    for (std::size_t i = 0; good && i < run_.methods.size(); ++i)
      good = attempt(run_.method_stages[i],
                     [&](const Attempt& attempt) { return apply_method(i, attempt, parts); });
    return good;
  }

  StageResult apply_method(std::size_t index, const Attempt& attempt, QuantizedParts* parts) {
    StageResult result;
    CurveWriter curves(store_, attempt.id());
    StoredRecord record(curves, result.metrics, parts);
    MethodContext context{
        loaded_->llama(), run_.format,
        *references_,     calibration_.get(),
        run_.spec.seed,   progress_,
        record,           {plan_.kept, run_.method_stages[index].key, run_.inputs_key}};
    try {
      run_.methods[index]->apply(context);
    } catch (...) {
      curves.flush();
      throw;
    }
    curves.flush();
    if (calibration_ && run_.methods[index]->traits().needs_calibration)
      result.provenance.emplace_back("calibration.tokens", calibration_->digest());
    return result;
  }

  /// Measures an eval. What is scored waits in a file, so that a kill loses one batch. One that
  /// another process measures is waited for.
  /// @param model loads it, where it is not loaded yet
  /// @param name  of the model, for messages
  bool evaluate(const StageRow& stage, const Eval& eval,
                const std::function<LlamaTextModel&()>& model, const std::string& name) {
    const auto lock = wait_for(store_, stage.key, fmt::format("{}: {}", name, stage.protocol));
    if (store_.stage_done(stage.key)) return true;
    ScoreFile scores(plan_.kept / (stage.key + ".scores"));
    LlamaTextModel* loaded = nullptr;
    const bool good = attempt(stage, [&] {
      loaded = &model();
      loaded->score_by({run_.spec.batch_tokens, &scores});
      return run_eval(eval, sample_of(stage), *loaded, name);
    });
    if (loaded) loaded->score_by({run_.spec.batch_tokens});
    if (good) scores.remove();
    return good;
  }

  /// @param only the items to measure; null: all
  /// @param name of the model, for messages
  StageResult run_eval(const Eval& eval, const ItemIds* only, const LlamaTextModel& model,
                       const std::string& name) {
    StageResult result;
    CollectingSink sink(result.items);
    if (!references_) references_ = std::make_unique<LazyReferences>(run_);
    RunTranscripts transcripts(
        {run_.spec.data_dir, run_.model->tokenizer, run_.model->chat_template, run_.pair});
    EvalContext context{model, *references_, data_of(run_), run_.spec.seed,
                        sink,  progress_,    transcripts,   plan_.kept};
    context.llama = &model.llama();
    context.only = only;
    take_metrics(eval.run(context), eval.protocol(context.data), name, result);
    return result;
  }

  /// Keeps what was measured, and says it.
  static void take_metrics(const std::vector<Metric>& metrics, const std::string& protocol,
                           const std::string& name, StageResult& result) {
    std::string said;
    for (const Metric& metric : metrics) {
      result.metrics.push_back({metric.name, metric.value, metric.standard_error, metric.count});
      said += fmt::format("  {} {:.6g}", metric.name, metric.value);
      if (metric.standard_error) said += fmt::format(" ± {:.2g}", *metric.standard_error);
    }
    log_info(fmt::format("{}: {}{}", name, protocol, said));
  }

  /// Runs one stage as one attempt. A failure is stored and logged; Interrupted is stored and goes
  /// on up. One that has failed just now is not tried again.
  template <class Body>
  bool attempt(const StageRow& stage, Body&& body) {
    if (failed_just_now(stage)) return false;
    Attempt attempt(store_, run_.row.key, stage.key, provenance_);
    StageResult result;
    AttemptOutcome outcome = attempt.run([&] {
      if constexpr (std::is_invocable_v<Body, const Attempt&>)
        result = body(attempt);
      else
        result = body();
    });
    if (outcome.status == AttemptStatus::failed)
      log_warning(fmt::format("{}: {} {} failed: {}", run_.spec.label, stage.kind, stage.name,
                              outcome.message));
    if (outcome.status != AttemptStatus::succeeded) result = {};
    outcome.provenance = provenance_;  // of a pair's weights it is known only now
    outcome.provenance.insert(outcome.provenance.end(), result.provenance.begin(),
                              result.provenance.end());
    attempt.finish(outcome, result.metrics, result.items);
    if (outcome.status == AttemptStatus::interrupted) throw Interrupted();
    return outcome.status == AttemptStatus::succeeded;
  }

  const PlannedRun& run_;
  const Plan& plan_;
  ResultStore& store_;
  Progress& progress_;
  const std::string& since_;
  ProvenanceRow provenance_;
  std::unique_ptr<LlamaTextModel> loaded_;
  std::unique_ptr<LazyReferences> references_;
  std::unique_ptr<DrawnCalibration> calibration_;
};

}  // namespace

namespace {

/// The rows of everything that is to be run.
void put_rows(const Plan& plan, ResultStore& store) {
  store.put_experiment(plan.experiment);
  for (const PlannedRun& run : plan.runs) {
    store.put_run(run.row);
    int position = 0;
    auto put = [&](const StageRow& stage) {
      store.put_stage(stage);
      store.link(run.row.key, stage.key, position++);
    };
    for (const StageRow& stage : run.train_stages) put(stage);
    put(run.load_stage);
    for (const StageRow& stage : run.method_stages) put(stage);
    for (const StageRow& stage : run.eval_stages) put(stage);
    // What is read of other models is no result of this run: it is named by the derived stages.
    if (!run.derived_stages.empty()) store.put_stage(run.base_load_stage);
    for (const ReferenceStage& reference : run.reference_stages) store.put_stage(reference.stage);
    for (const DerivedStage& derived : run.derived_stages) put(derived.stage);
  }
}

/// The moment at which an attempt ended last; empty: none has.
std::string latest_end(const ResultStore& store) {
  return store.query("SELECT max(ended_at) FROM attempts").rows.at(0)[0].value_or("");
}

void put_plan(const Plan& plan, ResultStore& store) {
  store.retire_abandoned();
  store.at_once([&] { put_rows(plan, store); });
}

}  // namespace

RunSummary run_plan(const Plan& plan, ResultStore& store, Progress& progress) {
  RunSummary summary;
  const auto start = std::filesystem::file_time_type::clock::now();
  put_plan(plan, store);
  const std::string since = latest_end(store);
  auto execute = [&](const PlannedRun& run) {
    if (RunExecution(run, plan, store, progress, since).execute())
      ++summary.succeeded;
    else
      ++summary.failed;
  };
  try {
    // Processes that run the same experiment share its runs.
    std::vector<const PlannedRun*> taken;
    for (const PlannedRun& run : plan.runs) {
      if (const auto lock = WorkLock::claim(store.path(), run.row.key))
        execute(run);
      else
        taken.push_back(&run);
    }
    for (const PlannedRun* run : taken) {
      const auto lock = wait_for(store, run->row.key, run->spec.label);
      execute(*run);
    }
  } catch (const Interrupted&) {
    summary.interrupted = true;
  }
  limit_stages(plan.kept, start);
  return summary;
}

void quantize_run(const Plan& plan, ResultStore& store, Progress& progress,
                  const std::filesystem::path& folder) {
  if (plan.runs.size() != 1) {
    std::vector<std::string> labels;
    for (const PlannedRun& run : plan.runs) labels.push_back(run.spec.label);
    throw Error("quantize", fmt::format("{} runs: {}", labels.size(), fmt::join(labels, ", ")),
                "one run", "name it with --run, and a swept seed or model with --set");
  }
  const PlannedRun& run = plan.runs.front();
  if (streams_at(run.model->config, run.dtype, run.device, run.memory_limit))
    throw Error(
        fmt::format("run \"{}\"", run.spec.label),
        fmt::format("memory_limit = \"{}\", less than the model's weights", run.spec.memory_limit),
        "a model that is in memory as a whole when it is written",
        "leave out memory_limit, or raise it");
  put_plan(plan, store);
  const std::string since = latest_end(store);
  if (!RunExecution(run, plan, store, progress, since).quantize(folder))
    throw Error(fmt::format("run \"{}\"", run.spec.label), "a stage of it failed, as said above",
                "a run whose methods succeed");
}

}  // namespace harness
