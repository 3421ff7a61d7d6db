#include <CLI/CLI.hpp>
#include <iostream>

#include "harness/app/commands.h"
#include "harness/report/compare.h"

namespace harness {

void add_samples(CLI::App& app, Session&) {
  auto* command = app.add_subcommand(
      "samples", "How many items or training seeds it takes to see a difference");
  auto difference = std::make_shared<double>();
  auto discordance = std::make_shared<double>();
  auto deviation = std::make_shared<double>();
  auto plan = std::make_shared<TestPlan>();
  command
      ->add_option("--difference", *difference,
                   "that is to be seen: of two accuracies (0.02), or of two means over seeds")
      ->required();
  auto* kind = command->add_option_group("spread", "what is known of the spread");
  auto* items = kind->add_option("--discordance", *discordance,
                                 "share of items that the two models answer differently");
  kind->add_option("--sd", *deviation,
                   "standard deviation of the difference over training seeds (harness compare)");
  kind->require_option(1);
  command->add_option("--power", plan->power, "probability of seeing it")->capture_default_str();
  command->add_option("--alpha", plan->alpha, "level of the test, two-sided")
      ->capture_default_str();
  command->footer(
      "Examples:\n"
      "  harness samples --difference 0.02 --discordance 0.1\n"
      "  harness samples --difference 0.003 --sd 0.005 --power 0.9\n"
      "From stored runs: harness compare A B --detect 0.02");
  command->callback([=] {
    std::cout << (items->count() > 0 ? items_needed(*difference, *discordance, *plan)
                                     : seeds_needed(*difference, *deviation, *plan))
              << "\n";
  });
}

}  // namespace harness
