#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>

#include "harness/app/commands.h"
#include "harness/model/tokenizer.h"

namespace harness {

void add_tokenize(CLI::App& app, Session&) {
  auto* command = app.add_subcommand("tokenize", "Token ids of each line, a JSON array a line");
  auto model = std::make_shared<ModelArgument>();
  auto file = std::make_shared<std::string>();
  auto no_special = std::make_shared<bool>(false);
  model->add_to(*command, "a checkpoint, or a tokenizer.json or tokenizer.model");
  command->add_option("--file", *file, "text, a line each; default: standard input");
  command->add_flag("--no-special", *no_special, "add no BOS or other token of the post-processor");
  command->footer(
      "Examples:\n"
      "  echo 'Hello world' | harness tokenize model.gguf\n"
      "  harness tokenize ~/models/Llama-3.2-1B --file lines.txt --no-special");
  command->callback([=] {
    auto tokenizer = open_tokenizer(model->find());
    std::ifstream opened;
    if (!file->empty()) {
      opened.open(*file, std::ios::binary);
      if (!opened || std::filesystem::is_directory(*file))
        throw Error(*file, "this file cannot be read", "a text file");
    }
    std::istream& in = file->empty() ? std::cin : opened;
    for (std::string line; std::getline(in, line);)
      fmt::print("[{}]\n", fmt::join(tokenizer->encode(line, !*no_special), ","));
  });
}

}  // namespace harness
