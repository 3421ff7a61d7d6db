#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "harness/core/experiment.h"
#include "harness/model/chat.h"
#include "harness/plugin/plugins.h"

namespace CLI {
class App;
}

namespace harness {

struct Table;

/// What the subcommands share.
struct Session {
  Plugins plugins;
  int exit_code = 0;
};

/// The option --db, the same for every command that reads or writes a database.
struct DatabaseOption {
  std::string path = "results/results.sqlite";
  void add_to(CLI::App& command);
};

/// The option --data, or HARNESS_DATA.
void add_data_option(CLI::App& command, std::string& folder);

/// The argument `model` of commands that read one, and --data, where a pair's data files are.
struct ModelArgument {
  std::string reference, data_dir;
  void add_to(CLI::App& command, const std::string& about, bool required = true);
  /// What open_checkpoint takes. A pair's model is trained first if it has to be.
  std::string find() const;
  /// The chat template by which it is talked to, after find().
  std::optional<ChatTemplate> chat_template() const;
};

/// The options --data, --set and --only of commands that run experiments.
struct ExperimentArguments {
  ExperimentOptions options;
  void add_to(CLI::App& command);
};

/// Plans and runs an experiment, prints its table and, where a reference is named (a label), how
/// the other runs compare with it item by item. @return the exit code
int run_and_report(const Experiment& experiment, const Session& session,
                   const std::string& database, const std::string& reference = {});

/// A table as markdown (md), latex, csv or text.
std::string render(const Table& table, const std::string& format);

/// Writes to the file `out`, or where it is empty to standard output.
/// @throws Error where the file cannot be written
void write_output(const std::string& text, const std::string& out);

// Each adds its subcommand, whose callback does the work and sets session.exit_code.
void add_cache(CLI::App& app, Session& session);
void add_compare(CLI::App& app, Session& session);
void add_describe(CLI::App& app, Session& session);
void add_doctor(CLI::App& app, Session& session);
void add_eval(CLI::App& app, Session& session);
void add_export(CLI::App& app, Session& session);
void add_generate(CLI::App& app, Session& session);
void add_labels(CLI::App& app, Session& session);
void add_list(CLI::App& app, Session& session);
void add_logits(CLI::App& app, Session& session);
void add_merge(CLI::App& app, Session& session);
void add_plot(CLI::App& app, Session& session);
void add_quantize(CLI::App& app, Session& session);
void add_report(CLI::App& app, Session& session);
void add_rescore(CLI::App& app, Session& session);
void add_run(CLI::App& app, Session& session);
void add_samples(CLI::App& app, Session& session);
void add_show(CLI::App& app, Session& session);
void add_sql(CLI::App& app, Session& session);
void add_tokenize(CLI::App& app, Session& session);
void add_train(CLI::App& app, Session& session);
void add_verify(CLI::App& app, Session& session);

}  // namespace harness
