#pragma once

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "harness/plugin/plugins.h"

namespace harness::test {

class NoReferences : public References {
 public:
  const Model& model(Role) override { throw Error("no references here"); }
  const LlamaModel& llama(Role) override { throw Error("no references here"); }
};

struct Items : ItemSink {
  void add(EvalItem item) override { all.push_back(std::move(item)); }
  std::vector<EvalItem> all;
};

struct Updates : Progress {
  void update(std::string_view, double done, double total) override {
    all.emplace_back(done, total);
  }
  std::vector<std::pair<double, double>> all;  // done, total
};

/// What one eval made of one model.
struct EvalResult {
  std::vector<EvalItem> items;
  std::vector<Metric> metrics;
  std::vector<std::pair<double, double>> updates;

  const Metric& metric(const std::string& name) const {
    for (const Metric& metric : metrics)
      if (metric.name == name) return metric;
    throw std::runtime_error("no metric " + name);
  }
};

/// @param only the items to measure; null: all
inline EvalResult run_eval(const Eval& eval, const Model& model, const std::string& data_dir,
                           const ItemIds* only = nullptr) {
  NoReferences references;
  Items items;
  Updates updates;
  EvalContext context{model, references, {data_dir}, 0, items, updates};
  context.only = only;
  auto metrics = eval.run(context);
  return {std::move(items.all), std::move(metrics), std::move(updates.all)};
}

/// Of an eval that goes item by item: every third item measured by itself is what it is among all.
inline void expect_samples_are_parts(const Eval& eval, const Model& model,
                                     const std::string& data_dir) {
  ASSERT_TRUE(eval.traits().by_item);
  const std::vector<EvalItem> all = run_eval(eval, model, data_dir).items;
  ASSERT_GE(all.size(), 3u);
  ItemIds drawn;
  std::vector<const EvalItem*> wanted;
  for (std::size_t i = 1; i < all.size(); i += 3) {
    drawn.insert(all[i].id);
    wanted.push_back(&all[i]);
  }
  const std::vector<EvalItem> found = run_eval(eval, model, data_dir, &drawn).items;
  ASSERT_EQ(found.size(), wanted.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].id, wanted[i]->id);
    EXPECT_EQ(found[i].score, wanted[i]->score);
    EXPECT_EQ(found[i].cluster, wanted[i]->cluster);
    EXPECT_EQ(found[i].detail, wanted[i]->detail);
  }
}

/// The eval called `name` with those options (TOML); all problems thrown as one Error.
inline std::unique_ptr<Eval> build_eval(void (*register_plugin)(Plugins&), const std::string& name,
                                        const std::string& options) {
  Plugins plugins;
  register_plugin(plugins);
  Problems problems;
  auto eval = plugins.evals.get(name).build(parse_toml(options, "options"), problems);
  problems.throw_if_any();
  return eval;
}

}  // namespace harness::test
