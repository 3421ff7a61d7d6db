#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "harness/app/commands.h"
#include "harness/app/terminal.h"
#include "harness/run/runner.h"

namespace harness {

void add_quantize(CLI::App& app, Session& session) {
  auto* command = app.add_subcommand(
      "quantize", "Write the model of one run of an experiment, quantized, as a checkpoint folder");
  auto file = std::make_shared<std::string>();
  auto label = std::make_shared<std::string>();
  auto folder = std::make_shared<std::string>();
  auto database = std::make_shared<DatabaseOption>();
  auto arguments = std::make_shared<ExperimentArguments>();
  command->add_option("experiment", *file, "experiment file (TOML)")->required();
  command->add_option("--run", *label, "label of the run")->required();
  command->add_option("--out", *folder, "folder to write")->required();
  database->add_to(*command);
  arguments->add_to(*command);
  command->footer(
      "The folder holds codes, scales, zero points and what is not quantized, the format and the\n"
      "transform; FOLDER/fake-quantized is a Hugging Face folder with dequantized weights. Both "
      "are\n"
      "models for the other commands, which then compute what the run computes.\n"
      "Examples:\n"
      "  harness quantize experiments/quickstart.toml --run AAQ --out aaq\n"
      "  harness eval aaq --evals perplexity\n"
      "  harness logits aaq/fake-quantized --tokens 1,2,3 --out logits.npy");
  command->callback([=, &session] {
    arguments->options.only = {*label};
    const Plan plan = make_plan(read_experiment(*file, arguments->options), session.plugins);
    auto store = ResultStore::open(database->path);
    TerminalProgress progress;
    quantize_run(plan, *store, progress, *folder);
    fmt::print("{}\n", *folder);
  });
}

}  // namespace harness
