#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "harness/app/commands.h"
#include "harness/app/terminal.h"
#include "harness/run/training.h"
#include "harness/train/train_file.h"

namespace harness {

void add_train(CLI::App& app, Session& session) {
  auto* command = app.add_subcommand(
      "train", "Train a model as a file says; what is finished is not done again");
  auto path = std::make_shared<std::string>();
  auto data = std::make_shared<std::string>();
  auto out = std::make_shared<std::string>();
  auto database = std::make_shared<DatabaseOption>();
  command->add_option("file", *path, "training file (TOML)")->required();
  add_data_option(*command, *data);
  command->add_option("--out", *out, "folder for the checkpoints, instead of the file's");
  database->add_to(*command);
  command->footer(
      "Each phase becomes a Hugging Face folder OUT/NAME; its learning curve goes to the "
      "database.\n"
      "Exit status: 0 all phases are trained, 1 one failed, 2 the request cannot be done.\n"
      "Example of a file:\n"
      "  name = \"polite\"\n"
      "  out = \"models/polite\"\n"
      "  [[phase]]\n"
      "  name = \"aligned\"\n"
      "  from = \"HuggingFaceTB/SmolLM2-135M-Instruct\"   # a checkpoint, or an earlier phase\n"
      "  data = [{ chat = \"answers.jsonl\", sequences = 16, prompt_tokens = 64 }]\n"
      "  steps = 48\n"
      "  lr = 4e-5\n"
      "  warmup = 5\n"
      "  dtype = \"bf16\"\n"
      "  frozen = [\"model.embed_tokens.weight\", \"model.norm.weight\"]\n"
      "Examples:\n"
      "  harness train polite.toml\n"
      "  harness train polite.toml --data ~/data --out models/try");
  command->callback([=, &session] {
    const TrainFile file = read_train_file(*path, *data);
    const TrainRecipe recipe = make_recipe(file);
    auto store = ResultStore::open(database->path);
    TerminalProgress progress;
    const TrainingSummary summary =
        run_training(recipe, file.toml, out->empty() ? file.out : *out, *store, progress);
    for (const PhaseResult& phase : summary.phases) fmt::print("{}\n", phase.folder.string());
    if (summary.interrupted)
      fmt::print(stderr, "interrupted: the same command goes on where it was\n");
    session.exit_code = summary.interrupted ? 130 : summary.failed ? 1 : 0;
  });
}

}  // namespace harness
