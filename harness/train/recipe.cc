#include "harness/train/recipe.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cassert>
#include <cerrno>
#include <limits>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

#include "harness/core/hash.h"
#include "harness/core/log.h"
#include "harness/data/file.h"
#include "harness/model/json.h"
#include "harness/model/safetensors_writer.h"

namespace harness {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kRecord = "training.json";
constexpr const char* kDigest = "sha256";  // a key of the record
constexpr const char* kWeights = "model.safetensors";
/// Raised when the same recipe gives other weights than before.
constexpr int kTrainerVersion = 1;

/// The phase's place, or the number of phases.
std::size_t find_phase(const TrainRecipe& recipe, const std::string& name) {
  std::size_t place = 0;
  while (place < recipe.phases.size() && recipe.phases[place].name != name) ++place;
  return place;
}

/// As hashed: memory is no part of it, since it changes no bit.
Value hashed_options(TrainOptions options) {
  options.checkpoint_blocks = false;
  return to_value(options);
}

Value start_value(const TrainRecipe& recipe, const TrainPhase& phase) {
  if (!phase.from_phase.empty())
    return Value(phase_canonical(recipe, find_phase(recipe, phase.from_phase)));
  if (phase.from_checkpoint) return Value(phase.from_checkpoint->digest());
  InitOptions init = phase.new_model->init;
  return Value(Value::Table{{"config", config_json(phase.new_model->config)},
                            {"init", to_value(init)},
                            {"seed", std::to_string(recipe.seed)}});
}

at::ScalarType saved_type(const std::string& name) {
  if (name == "bf16") return at::kBFloat16;
  return name == "fp16" ? at::kHalf : at::kFloat;
}

json values_json(const std::vector<std::pair<std::string, double>>& values) {
  json list = json::array();
  for (const auto& [name, value] : values) list.push_back({name, value});
  return list;
}

/// Once a process: a phase is looked for more than once.
void tell_damage(const std::string& text) {
  static std::set<std::string> told;
  static std::mutex guard;
  const std::lock_guard lock(guard);
  if (told.insert(text).second) log_warning(text);
}

/// Of all that a record says beside it.
std::string record_digest(json record) {
  record.erase(kDigest);
  return sha256(record.dump());
}

/// The record of a finished training, if the folder holds one; one that is damaged has no key.
std::optional<json> read_record(const fs::path& folder) {
  const fs::path file = folder / kRecord;
  std::error_code none;
  if (!fs::exists(file, none)) return std::nullopt;
  const json record = json::parse(read_text_file(file), nullptr, /*allow_exceptions=*/false);
  const bool whole = record.is_object() && record.contains("key") &&
                     (!record.contains(kDigest) ||
                      record[kDigest] == record_digest(record));  // an older harness's
  if (whole) return record;
  tell_damage(fmt::format("{} is damaged, and what it belongs to trained anew", file.string()));
  return json{{"key", ""}};
}

TrainOutcome outcome_of(const json& record) {
  TrainOutcome outcome;
  outcome.stopped_by = record.at("stopped_by") == "criterion" ? TrainOutcome::StoppedBy::criterion
                                                              : TrainOutcome::StoppedBy::steps;
  outcome.steps = record.at("steps").get<std::int64_t>();
  outcome.loss = record.at("loss").get<double>();
  for (const json& entry : record.at("criterion"))
    outcome.criterion_values.emplace_back(entry[0].get<std::string>(), entry[1].get<double>());
  return outcome;
}

/// JSON has no NaN: it is written as null.
CurveValue curve_value(const json& point) {
  return {point[0].get<std::string>(), point[1].get<std::int64_t>(),
          point[2].is_null() ? std::numeric_limits<double>::quiet_NaN() : point[2].get<double>()};
}

PhaseResult stored_result(const json& record, const fs::path& folder) {
  return {folder, record.at("key").get<std::string>(), outcome_of(record), /*stored_before=*/true};
}

/// SHA-256 of what a phase has written beside the record, by file name.
json file_digests(const fs::path& folder, const CheckpointTexts& texts) {
  json digests = json::object();
  auto add = [&](const std::string& name) { digests[name] = sha256_file(folder / name); };
  for (const auto& [name, text] : texts) add(name);
  add("config.json");
  add(kWeights);
  return digests;
}

/// SHA-256 of a file. A large model's takes seconds: it is remembered while the file's size and
/// time stay.
std::string remembered_sha256(const fs::path& path) {
  using Seen = std::tuple<std::uintmax_t, fs::file_time_type, std::string>;  // size, time, digest
  static std::map<fs::path, Seen> known;
  static std::mutex guard;
  const std::lock_guard lock(guard);
  const auto size = fs::file_size(path);
  const auto time = fs::last_write_time(path);
  Seen& seen = known[fs::absolute(path)];
  if (std::get<2>(seen).empty() || std::get<0>(seen) != size || std::get<1>(seen) != time)
    seen = {size, time, sha256_file(path)};
  return std::get<2>(seen);
}

/// The files that are not as they were when the phase was finished. A record without digests is an
/// older harness's.
std::vector<std::string> damaged_files(const json& record, const fs::path& folder) {
  std::vector<std::string> damaged;
  if (!record.contains("files")) return damaged;
  for (const auto& [name, digest] : record.at("files").items()) {
    std::error_code none;
    if (!fs::exists(folder / name, none) || remembered_sha256(folder / name) != digest)
      damaged.push_back(name);
  }
  return damaged;
}

/// Makes sure that a phase's folder can be written, and takes an older training's record and
/// weights away, so that no moment shows a mixture.
void clear_place(const fs::path& folder, bool trained_here) {
  std::error_code failed;
  fs::create_directories(folder.parent_path(), failed);
  if (failed || access(folder.parent_path().c_str(), W_OK) != 0)
    throw Error(folder.parent_path().string(),
                fmt::format("cannot be made or written ({})",
                            failed ? failed.message() : std::generic_category().message(errno)),
                "a folder in a place that can be written to", "choose another folder");
  if (fs::exists(folder) && !fs::is_directory(folder))
    throw Error(folder.string(), "is a file", "a place for a folder", "choose another folder");
  if (!trained_here && fs::exists(folder / kWeights))
    throw Error(folder.string(), "holds a checkpoint that was not trained here",
                "a new folder, or one of an earlier training", "choose another folder");
  fs::remove(folder / kRecord);
  fs::remove(folder / kWeights);
}

std::unique_ptr<const Checkpoint> open_start(const TrainRecipe& recipe, const TrainPhase& phase,
                                             const fs::path& folder) {
  if (!phase.from_phase.empty()) return open_checkpoint((folder / phase.from_phase).string());
  assert(phase.new_model);
  return std::make_unique<TensorCheckpoint>(
      initial_weights(phase.new_model->config, phase.new_model->init, recipe.seed));
}

}  // namespace

const LlamaConfig& phase_config(const TrainRecipe& recipe, std::size_t place) {
  const TrainPhase& phase = recipe.phases[place];
  if (phase.new_model) return phase.new_model->config;
  if (phase.from_checkpoint) return phase.from_checkpoint->config();
  return phase_config(recipe, find_phase(recipe, phase.from_phase));
}

std::string phase_canonical(const TrainRecipe& recipe, std::size_t place) {
  const TrainPhase& phase = recipe.phases[place];
  Value::Table texts;
  for (const auto& [name, text] : phase.texts) texts.emplace_back(name, Value(sha256(text)));
  return canonical_text(
      Value(Value::Table{{"trainer", kTrainerVersion},
                         {"from", start_value(recipe, phase)},
                         {"texts", Value(std::move(texts))},
                         {"source", phase.source->canonical()},
                         {"criterion", phase.criterion ? phase.criterion->canonical() : ""},
                         {"options", hashed_options(phase.options)},
                         {"save_dtype", phase.save_dtype}}));
}

std::string phase_key(const TrainRecipe& recipe, std::size_t place) {
  return sha256(phase_canonical(recipe, place));
}

void check_recipe(const TrainRecipe& recipe, Problems& problems) {
  std::set<std::string> names;
  for (std::size_t place = 0; place < recipe.phases.size(); ++place) {
    const TrainPhase& phase = recipe.phases[place];
    const std::string where = fmt::format("phase {}", phase.name);
    if (phase.name.empty() || phase.name.find_first_of("/\\") != std::string::npos ||
        phase.name.front() == '.')
      problems.add(Error(where, fmt::format("the name \"{}\"", phase.name),
                         "a name that can be a folder's"));
    if (!names.insert(phase.name).second)
      problems.add(Error(where, "another phase has this name", "a name of its own"));
    if (!phase.from_phase.empty() && find_phase(recipe, phase.from_phase) >= place) {
      problems.add(Error(where, fmt::format("starts from \"{}\"", phase.from_phase),
                         "an earlier phase or a checkpoint"));
      return;  // what follows needs the model's shape
    }
    std::vector<std::string> tensors;
    for (const auto& [name, shape] : expected_tensors(phase_config(recipe, place)))
      tensors.push_back(name);
    check_train_options(phase.options, tensors, where, problems);
  }
  if (recipe.phases.empty())
    problems.add(Error(recipe.name, "no [[phase]]", "at least one [[phase]] table"));
}

CriterionNotMet::CriterionNotMet(const std::string& what, const TrainOutcome& outcome)
    : Error([&] {
        std::string values;
        for (const auto& [name, value] : outcome.criterion_values)
          values += fmt::format(" {} {:.6g}", name, value);
        return Error(what,
                     fmt::format("the criterion was not met within {} steps (at the end{})",
                                 outcome.steps, values),
                     {}, "allow more steps, or change the learning rate or the criterion");
      }()) {}

std::optional<PhaseResult> find_trained_phase(const TrainRecipe& recipe, std::size_t place,
                                              const fs::path& folder) {
  const fs::path own = folder / recipe.phases[place].name;
  const std::optional<json> record = read_record(own);
  if (!record || record->at("key") != phase_key(recipe, place)) return std::nullopt;
  if (const auto damaged = damaged_files(*record, own); !damaged.empty()) {
    tell_damage(fmt::format("{} is damaged and trained anew: {} not as written", own.string(),
                            fmt::join(damaged, ", ")));
    return std::nullopt;
  }
  return stored_result(*record, own);
}

PhaseResult train_phase(const TrainRecipe& recipe, std::size_t place, const fs::path& folder,
                        TrainHooks hooks) {
  const TrainPhase& phase = recipe.phases[place];
  PhaseResult result;
  result.folder = folder / phase.name;
  result.key = phase_key(recipe, place);
  const std::optional<json> record = read_record(result.folder);
  if (auto trained = find_trained_phase(recipe, place, folder)) {
    if (hooks.curve)
      for (const json& point : record->at("curve")) hooks.curve(curve_value(point));
    return *trained;
  }
  clear_place(result.folder, record.has_value());
  json curve = json::array();
  hooks.curve = [&curve, told = hooks.curve](const CurveValue& value) {
    curve.push_back({value.series, value.step, value.value});
    if (told) told(value);
  };

  hooks.what = fmt::format("training {}", phase.name);
  hooks.state_file = folder / (phase.name + ".state.safetensors");
  hooks.state_key = result.key;
  const std::unique_ptr<const Checkpoint> opened =
      phase.from_checkpoint ? nullptr : open_start(recipe, phase, folder);
  const Checkpoint& start = opened ? *opened : *phase.from_checkpoint;
  TrainableModel model(start, phase.options);
  result.outcome = train(model, *phase.source, phase.criterion.get(), phase.options, hooks);
  const bool met = result.outcome.stopped_by == TrainOutcome::StoppedBy::criterion;
  if (phase.criterion && phase.criterion_required && !met) {
    fs::remove(hooks.state_file);
    throw CriterionNotMet(hooks.what, result.outcome);
  }

  std::map<std::string, at::Tensor> tensors = model.tensors();
  for (auto& [name, tensor] : tensors) tensor = tensor.to(saved_type(phase.save_dtype));
  save_checkpoint_folder(result.folder, start.config(), tensors, phase.texts);
  json about = {{"key", result.key},
                {"recipe", recipe.name},
                {"canonical", json::parse(phase_canonical(recipe, place))},
                {"stopped_by", met ? "criterion" : "steps"},
                {"steps", result.outcome.steps},
                {"loss", result.outcome.loss},
                {"criterion", values_json(result.outcome.criterion_values)},
                {"curve", curve},
                {"files", file_digests(result.folder, phase.texts)}};
  about[kDigest] = record_digest(about);
  write_text_file(result.folder / kRecord, about.dump() + "\n");
  fs::remove(hooks.state_file);
  return result;
}

std::vector<PhaseResult> train_recipe(const TrainRecipe& recipe, const fs::path& folder,
                                      const TrainHooks& hooks) {
  std::vector<PhaseResult> results;
  for (std::size_t place = 0; place < recipe.phases.size(); ++place)
    results.push_back(train_phase(recipe, place, folder, hooks));
  return results;
}

}  // namespace harness
