#include "harness/core/experiment.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <sstream>

namespace harness {
namespace {

using Path = std::vector<std::string>;

Path split_path(const std::string& key) {
  Path path;
  std::istringstream parts(key);
  for (std::string part; std::getline(parts, part, '.');) path.push_back(part);
  return path;
}

/// A run while it is put together: its own table, and that table over the experiment's keys.
struct Draft {
  Value own;
  Value merged;
  std::string label;
  std::string suffix;  // " alpha=0.5" of swept keys
};

/// The element of a plugin list that is called `name`; a bare "rtn" becomes a table. nullptr: not
/// listed.
Value* find_plugin(Value& list, const std::string& name) {
  if (!list.is_array()) return nullptr;
  for (Value& element : list.as_array()) {
    if (element.is_string() && element.as_string() == name) {
      Value table(Value::Table{{"name", element}});
      table.set_where(element.where());
      element = std::move(table);
    }
    if (!element.is_table()) continue;
    const Value* found = element.find("name");
    if (found && found->is_string() && found->as_string() == name) return &element;
  }
  return nullptr;
}

void set_inside(Value& table, const Path& path, std::size_t at, const Value& value) {
  if (at + 1 == path.size()) {
    table.set(path[at], value);
    return;
  }
  Value* inner = table.find(path[at]);
  if (inner && inner->is_string() && path[at] == "format") {
    // A short text such as "w4a4kv4" is written out, so that one site of it can be changed.
    Problems problems;
    Value written = ValueTraits<Format>::write(ValueTraits<Format>::read(*inner, problems));
    written.set_where(inner->where());
    problems.throw_if_any();
    *inner = std::move(written);
  }
  if (inner && inner->is_int() && path[0] == "format")
    *inner = Value(Value::Table{{"bits", *inner}});
  if (!inner || !inner->is_table()) {
    Value empty{Value::Table{}};
    empty.set_where(value.where());
    table.set(path[at], std::move(empty));
    inner = table.find(path[at]);
  }
  set_inside(*inner, path, at + 1, value);
}

/// Sets methods.NAME.OPTION or evals.NAME.OPTION in the lists of a table; false when the plugin is
/// not listed.
bool set_option(Value& table, const Path& path, const Value& value) {
  Value* list = table.find(path[0]);
  Value* plugin = list && path.size() > 2 ? find_plugin(*list, path[1]) : nullptr;
  if (plugin) set_inside(*plugin, path, 2, value);
  return plugin != nullptr;
}

/// Whether a run's own table sets that key, or a key that holds it whole (format = "w4a16" sets
/// format.w.bits).
bool sets_itself(const Value& own, const Path& path) {
  const Value* value = &own;
  for (const std::string& key : path) {
    if (!value->is_table()) return true;
    value = value->find(key);
    if (!value) return false;
  }
  return true;
}

bool is_option(const Path& path) {
  return path.size() > 1 && (path[0] == "methods" || path[0] == "evals");
}

const Path kLabel = {"label"};

/// Sets a swept key of a run; false when the key is not for this run (it sets the key itself, or it
/// does not list the plugin).
bool sweep_key(Draft& draft, const Path& path, const Value& value) {
  if (path == kLabel) return false;  // names what the keys beside it do
  if (is_option(path)) return set_option(draft.merged, path, value);
  if (sets_itself(draft.own, path)) return false;
  set_inside(draft.merged, path, 0, value);
  return true;
}

std::string value_text(const Value& value) {
  return value.is_string() ? value.as_string() : canonical_text(value);
}

struct SweptKey {
  Path path;
  std::string name;  // as written, for messages
  Value::Array values;
};

/// The keys of [sweep]: dotted keys arrive from TOML as nested tables, quoted ones as they are.
void collect_swept(const Value& table, const Path& prefix, Problems& problems,
                   std::vector<SweptKey>& keys) {
  for (const auto& [key, value] : table.as_table()) {
    if (prefix.empty() && key == "paired") continue;
    Path path = prefix;
    for (const std::string& part : split_path(key)) path.push_back(part);
    if (value.is_table())
      collect_swept(value, path, problems, keys);
    else if (!value.is_array() || value.as_array().empty())
      problems.add(Error(value.where(), fmt::format("sweep key {} is {}", key, value.describe()),
                         "a list of values"));
    else
      keys.push_back({path, fmt::format("{}", fmt::join(path, ".")), value.as_array()});
  }
}

/// Groups of keys that move together: each paired list is one group, every other key its own.
std::vector<std::vector<SweptKey>> sweep_groups(const Value& sweep, Problems& problems) {
  std::vector<SweptKey> keys;
  collect_swept(sweep, {}, problems, keys);
  std::vector<std::vector<SweptKey>> groups;
  if (const Value* paired = sweep.find("paired")) {
    std::vector<std::vector<std::string>> lists;
    read_value(*paired, "paired", {}, problems, lists);
    for (const auto& list : lists) {
      std::vector<SweptKey> group;
      for (const std::string& name : list) {
        auto found = std::find_if(keys.begin(), keys.end(),
                                  [&](const SweptKey& key) { return key.name == name; });
        if (found == keys.end()) {
          problems.add(Error(paired->where(), fmt::format("paired names \"{}\"", name),
                             "a key of [sweep] that is in no other pair"));
          continue;
        }
        if (!group.empty() && group.front().values.size() != found->values.size())
          problems.add(Error(paired->where(),
                             fmt::format("{} has {} values, {} has {}", group.front().name,
                                         group.front().values.size(), name, found->values.size()),
                             "lists of equal length, since they are paired"));
        group.push_back(*found);
        keys.erase(found);
      }
      if (!group.empty()) groups.push_back(std::move(group));
    }
  }
  for (SweptKey& key : keys) groups.push_back({std::move(key)});
  return groups;
}

std::vector<Draft> expand(std::vector<Draft> drafts, const Value& sweep, Problems& problems) {
  auto groups = sweep_groups(sweep, problems);
  problems.throw_if_any();
  for (const auto& group : groups) {
    std::vector<Draft> expanded;
    bool used = false;
    for (const Draft& draft : drafts) {
      Draft probe = draft;
      bool applies = false;
      for (const SweptKey& key : group)
        applies = sweep_key(probe, key.path, key.values[0]) || applies;
      used = used || applies;
      if (!applies) {
        expanded.push_back(draft);
        continue;
      }
      for (std::size_t i = 0; i < group.front().values.size(); ++i) {
        Draft copy = draft;
        // The values of `label` name a group's points where KEY=VALUE would not be read.
        const auto named = std::find_if(group.begin(), group.end(),
                                        [](const SweptKey& key) { return key.path == kLabel; });
        if (named != group.end()) copy.suffix += fmt::format(" {}", value_text(named->values[i]));
        for (const SweptKey& key : group) {
          if (!sweep_key(copy, key.path, key.values[i]) || named != group.end()) continue;
          // Runs that differ in their seed, or in that of their pair's training, alone are one row
          // of a table: its mean and spread.
          if (key.path.back() != "seed")
            copy.suffix += fmt::format(" {}={}", key.path.back(), value_text(key.values[i]));
        }
        expanded.push_back(std::move(copy));
      }
    }
    if (!used)
      problems.add(
          Error(sweep.where(), fmt::format("sweep key {} changes no run", group.front().name),
                "a key that at least one run does not set itself, or an option of a plugin "
                "that a run lists"));
    drafts = std::move(expanded);
  }
  return drafts;
}

Value::Array* runs_of(Value& top) {
  Value* runs = top.find("run");
  return runs && runs->is_array() ? &runs->as_array() : nullptr;
}

std::string label_of(const Value& run) {
  const Value* label = run.is_table() ? run.find("label") : nullptr;
  return label && label->is_string() ? label->as_string() : "";
}

/// Sets a key of one run; what it so far takes from above the runs is copied first. False when the
/// plugin is not listed.
bool set_in_run(Value& run, const Value& top, const Path& path, const Value& value) {
  if (!run.find(path[0]) && top.find(path[0])) run.set(path[0], *top.find(path[0]));
  if (is_option(path)) return set_option(run, path, value);
  set_inside(run, path, 0, value);
  return true;
}

/// @param where of the setting, for messages
void apply_setting(const std::string& key, const Value& value, const std::string& where,
                   Value& top) {
  Value::Array none;
  Value::Array& runs = runs_of(top) ? *runs_of(top) : none;
  Path path = split_path(key);
  if (path[0] == "run") {
    std::vector<std::string> labels;
    for (Value& run : runs) {
      std::string label = label_of(run), prefix = "run." + label + ".";
      labels.push_back(label);
      if (label.empty() || !key.starts_with(prefix)) continue;
      if (set_in_run(run, top, split_path(key.substr(prefix.size())), value)) return;
    }
    throw Error(where, "no run of that label takes this key",
                fmt::format("run.LABEL.KEY with LABEL one of {}", fmt::join(labels, ", ")));
  }
  if (is_option(path)) {
    bool applied = set_option(top, path, value);
    for (Value& run : runs)
      if (run.is_table()) applied = set_option(run, path, value) || applied;
    if (!applied)
      throw Error(where, fmt::format("no run lists {}", path[1]), "a plugin of the file");
    return;
  }
  bool all_have_their_own =
      !runs.empty() && std::all_of(runs.begin(), runs.end(), [&](const Value& run) {
        return run.is_table() && sets_itself(run, path);
      });
  if (all_have_their_own)
    throw Error(where, fmt::format("every run sets {} itself", path[0]), "a key above the runs",
                "use run.LABEL.KEY for one run");
  if (path[0] == "sweep" && path.size() > 1) {
    if (!top.find("sweep")) top.set("sweep", Value(Value::Table{}));
    top.find("sweep")->set(key.substr(6), value);
    return;
  }
  set_inside(top, path, 0, value);
  // A run that has its own table around the key, without the key.
  for (Value& run : runs)
    if (run.is_table() && run.find(path[0]) && !sets_itself(run, path))
      set_inside(run, path, 0, value);
}

void apply_setting(const std::string& text, Value& top) {
  const std::string where = "--set " + text;
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0)
    throw Error(where, "no value",
                "KEY=VALUE, such as --set seed=3 or --set run.AAQ.methods.aaq.alpha=0.5");
  apply_setting(text.substr(0, equals),
                parse_toml_value(std::string_view(text).substr(equals + 1), where), where, top);
}

/// The settings of [set]: keys as --set has them, in quotes or as nested tables.
void apply_set_table(const Value& settings, const std::string& prefix, Value& top,
                     Problems& problems) {
  for (const auto& [key, value] : settings.as_table()) {
    if (value.is_table())
      apply_set_table(value, prefix + key + ".", top, problems);
    else
      problems.collect([&] {
        apply_setting(prefix + key, value, fmt::format("{} [set] {}{}", value.where(), prefix, key),
                      top);
      });
  }
}

/// The runs of `file` over those of the file it extends: keys of a run of the same label replace,
/// other runs follow.
void overlay_runs(const Value& file, Value& top, Problems& problems) {
  Value::Array* runs = runs_of(top);
  if (const Value* drop = file.find("drop")) {
    std::vector<std::string> labels;
    read_value(*drop, "drop", {}, problems, labels);
    for (const std::string& label : labels)
      if (!runs ||
          std::erase_if(*runs, [&](const Value& run) { return label_of(run) == label; }) == 0)
        problems.add(Error(drop->where(), fmt::format("no run \"{}\" to drop", label),
                           "a label of the file that is extended"));
  }
  const Value* own = file.find("run");
  if (!own || !own->is_array()) return;
  if (!runs) {
    top.set("run", *own);
    return;
  }
  for (const Value& run : own->as_array()) {
    const auto same = std::find_if(runs->begin(), runs->end(), [&](const Value& other) {
      return run.is_table() && !label_of(run).empty() && label_of(other) == label_of(run);
    });
    if (same == runs->end())
      runs->push_back(run);
    else
      for (const auto& [key, value] : run.as_table()) same->set(key, value);
  }
}

/// An experiment file as one table, with what it extends below it.
/// @param above the files that lead here
Value read_layers(const std::filesystem::path& path, std::vector<std::filesystem::path> above) {
  const std::filesystem::path real = std::filesystem::weakly_canonical(path);
  if (std::find(above.begin(), above.end(), real) != above.end())
    throw Error(path.string(), "this file extends itself, by way of what it extends",
                "a chain of files that ends");
  above.push_back(real);
  const Value file = parse_toml_file(path);
  Value top = file;
  Problems problems;
  if (const Value* extends = file.find("extends")) {
    if (!extends->is_string())
      throw Error(extends->where(), "extends is " + extends->describe(),
                  "the path of another experiment file, from this file's folder");
    top = read_layers(path.parent_path() / extends->as_string(), above);
    for (const auto& [key, value] : file.as_table())
      if (key != "extends" && key != "run" && key != "drop" && key != "set") top.set(key, value);
    overlay_runs(file, top, problems);
  } else if (const Value* drop = file.find("drop")) {
    problems.add(Error(drop->where(), "drop in a file that extends none", "extends = \"FILE\""));
  }
  if (const Value* set = file.find("set")) {
    if (set->is_table())
      apply_set_table(*set, "", top, problems);
    else
      problems.add(Error(set->where(), "set is " + set->describe(), "a table [set]"));
    top.erase("set");
  }
  problems.throw_if_any();
  return top;
}

std::vector<std::string> columns_of(const Value& top) {
  std::vector<std::string> columns;
  Problems problems;
  if (const Value* found = top.find("columns"))
    read_value(*found, "columns", {}, problems, columns);
  problems.throw_if_any();
  return columns;
}

}  // namespace

PluginUse ValueTraits<PluginUse>::read(const Value& value, Problems&) {
  PluginUse use;
  if (value.is_string()) {
    use.name = value.as_string();
    use.options = Value(Value::Table{{"name", value}});
    use.options.set_where(value.where());
    return use;
  }
  const Value* name = value.is_table() ? value.find("name") : nullptr;
  if (!name || !name->is_string())
    throw Error(value.where(), "a plugin is given as " + value.describe() + " without a name",
                "\"name\" or { name = \"name\", option = ... }");
  use.name = name->as_string();
  use.options = value;
  return use;
}

Value apply_settings(Value file, const std::vector<std::string>& settings) {
  Problems problems;
  for (const std::string& text : settings) problems.collect([&] { apply_setting(text, file); });
  problems.throw_if_any();
  return file;
}

bool Experiment::selected(const RunSpec& run) const {
  return only.empty() || std::find(only.begin(), only.end(), run.label) != only.end();
}

void erase_places(Value& run) {
  run.erase("data_dir");
  run.erase("memory_limit");
  const Value* execution = run.find("execution");
  if (execution && execution->as_string() == RunSpec().execution) run.erase("execution");
}

std::string Experiment::canonical() const {
  Value::Array array;
  for (const RunSpec& run : runs) {
    Value value = to_value(run);
    erase_places(value);
    array.push_back(std::move(value));
  }
  return canonical_text(Value(Value::Table{{"name", name}, {"run", std::move(array)}}));
}

std::vector<std::string> table_columns(const std::string& toml) {
  return columns_of(parse_toml(toml, "the stored experiment file"));
}

namespace {

/// @param toml what is kept of the file
Experiment make_experiment(Value top, std::string toml, const std::string& file,
                           const ExperimentOptions& options) {
  top = apply_settings(std::move(top), options.set);
  Problems problems;
  Experiment experiment;
  experiment.toml = std::move(toml);

  Value sweep{Value::Table{}};
  sweep.set_where(file);
  if (const Value* found = top.find("sweep")) {
    if (found->is_table())
      sweep = *found;
    else
      problems.add(Error(found->where(), "sweep is " + found->describe(), "a table [sweep]"));
  }
  Value::Array run_tables;
  if (const Value* found = top.find("run")) {
    if (found->is_array())
      run_tables = found->as_array();
    else
      problems.add(Error(found->where(), "run is " + found->describe(), "[[run]] tables"));
  }
  if (run_tables.empty()) problems.add(Error(file, "no [[run]]", "at least one [[run]] table"));

  problems.collect([&] { experiment.columns = columns_of(top); });
  Value common = top;
  for (const char* key : {"name", "columns", "run", "sweep"}) common.erase(key);
  if (!options.data_dir.empty()) {
    Value folder(options.data_dir);
    folder.set_where("--data");
    common.set("data_dir", folder);
  }
  std::vector<Draft> drafts;
  for (const Value& table : run_tables) {
    if (!table.is_table()) {
      problems.add(Error(table.where(), "a run is " + table.describe(), "a [[run]] table"));
      continue;
    }
    Draft draft{table, common, "", ""};
    draft.merged.set_where(table.where());
    for (const auto& [key, value] : table.as_table()) draft.merged.set(key, value);
    if (const Value* label = table.find("label"); label && label->is_string())
      draft.label = label->as_string();
    else
      problems.add(Error(table.where(), "a run has no label", "label = \"NAME\""));
    drafts.push_back(std::move(draft));
  }
  problems.throw_if_any();

  const Value* name = top.find("name");
  if (name && name->is_string() && !name->as_string().empty())
    experiment.name = name->as_string();
  else
    problems.add(Error(file, "the experiment has no name", "name = \"NAME\" at the top"));
  drafts = expand(std::move(drafts), sweep, problems);

  std::map<std::tuple<std::string, std::uint64_t, std::string>, std::string> seen;
  for (const Draft& draft : drafts) {
    RunSpec run;
    read_config(draft.merged, "the experiment", problems, run);
    run.label = draft.label + draft.suffix;
    if (run.model.pair && run.model.pair->role == "aligned" && !run.base) {
      PairReference base = *run.model.pair;
      base.role = "base";
      run.base = ModelReference(std::move(base));
    }
    auto [twin, is_new] =
        seen.emplace(std::tuple(run.label, run.seed, run.model.text), draft.own.where());
    if (!is_new)
      problems.add(Error(draft.own.where(),
                         fmt::format("label \"{}\" with seed {} stands at {} too", run.label,
                                     run.seed, twin->second),
                         "a label of its own for each run"));
    experiment.runs.push_back(std::move(run));
  }
  for (const std::string& label : options.only)
    if (std::none_of(experiment.runs.begin(), experiment.runs.end(),
                     [&](const RunSpec& run) { return run.label == label; })) {
      std::vector<std::string> labels;
      for (const RunSpec& run : experiment.runs) labels.push_back(run.label);
      problems.add(Error("--only " + label, "no run has this label",
                         fmt::format("one of {}", fmt::join(labels, ", ")),
                         did_you_mean(label, labels)));
    }
  problems.throw_if_any();
  experiment.only = options.only;
  return experiment;
}

}  // namespace

Experiment parse_experiment(const std::string& toml, const std::string& name,
                            const ExperimentOptions& options) {
  return make_experiment(parse_toml(toml, name), toml, name, options);
}

Experiment read_experiment(const std::filesystem::path& path, const ExperimentOptions& options) {
  const Value top = read_layers(path, {});
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  // Of a file that extends another all is kept, in one.
  return make_experiment(
      top,
      parse_toml(text.str(), path.string()).find("extends")
          ? fmt::format("# {} with what it extends\n{}", path.filename().string(), to_toml(top))
          : text.str(),
      path.string(), options);
}

}  // namespace harness
