#include "harness/app/program.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <csignal>
#include <ctime>

#include "harness/app/commands.h"
#include "harness/app/terminal.h"
#include "harness/core/memory.h"
#include "harness/core/version.h"
#include "harness/train/pair.h"

namespace harness {
namespace {

std::atomic<std::time_t> first_signal{0};

/// The first asks to stop, a later one does not wait. Two in the same moment count as one:
/// `timeout` and batch systems signal the process and its group.
void on_signal(int signal) {
  std::time_t now = std::time(nullptr), none = 0;
  request_interrupt();
  if (first_signal.compare_exchange_strong(none, now) || now - none < 2) return;
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

}  // namespace

void add_data_option(CLI::App& command, std::string& folder) {
  command.add_option("--data", folder, "folder where data files are looked for first")
      ->envname("HARNESS_DATA");
}

void DatabaseOption::add_to(CLI::App& command) {
  command.add_option("--db", path, "database of results")->capture_default_str();
}

void ModelArgument::add_to(CLI::App& command, const std::string& about, bool required) {
  command
      .add_option("model", reference,
                  about +
                      "; a path, org/name, org/name@revision or pair:NAME/ROLE, such as "
                      "pair:world/aligned")
      ->required(required);
  add_data_option(command, data_dir);
}

std::string ModelArgument::find() const {
  TerminalProgress progress;
  return local_model(reference, data_dir, progress);
}

std::optional<ChatTemplate> ModelArgument::chat_template() const {
  return local_chat_template(reference, data_dir);
}

void ExperimentArguments::add_to(CLI::App& command) {
  add_data_option(command, options.data_dir);
  command
      .add_option("--set", options.set,
                  "KEY=VALUE: change a key, such as seed=3, evals.perplexity.limit=4 or "
                  "run.LABEL.format=w8a8 (repeatable)")
      ->allow_extra_args(false);
  command.add_option("--only", options.only, "run only the row with this label (repeatable)")
      ->allow_extra_args(false);
}

int run_program(int argc, char** argv) {
  reuse_freed_memory();
  set_log_sink(terminal_log);
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);

  CLI::App app(
      "Quantizes language models and measures what that did to their language, skill and safety.");
  app.set_version_flag("--version", fmt::format("harness {} ({}{})", kVersion, kCommit,
                                                kCommitDirty ? ", dirty" : ""));
  app.require_subcommand(1);
  app.footer(
      "Examples:\n"
      "  harness run experiments/quickstart.toml\n"
      "  harness eval ~/models/Llama-3.2-1B-Instruct --format none w4a16 --methods rtn\n"
      "  harness COMMAND --help shows more of them.");
  Session session;
  try {
    register_all_plugins(session.plugins);
    for (auto* add :
         {add_run,      add_eval,   add_list,    add_describe, add_show,    add_sql,
          add_report,   add_plot,   add_compare, add_samples,  add_doctor,  add_generate,
          add_tokenize, add_logits, add_train,   add_quantize, add_rescore, add_labels,
          add_merge,    add_export, add_cache,   add_verify})
      add(app, session);
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const Interrupted&) {
    return 130;
  } catch (const std::exception& error) {
    terminal_error(error.what());
    return 2;
  }
  return session.exit_code;
}

}  // namespace harness
