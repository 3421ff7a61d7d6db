#include "harness/report/comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "harness/core/placements.h"

namespace harness {
namespace {

/// Items that are kept at hand, at most: some 100 MB.
constexpr std::size_t kKeptItems = 500'000;

EvalItems read_items(const ResultStore& store, const std::string& attempt) {
  EvalItems result;
  std::map<ItemPart, std::size_t> places;
  store.for_each(kComparedItemsSql, {{"attempt", attempt}}, [&](const ResultStore::Row& row) {
    auto text = [&](int column) { return std::string(row.text(column)); };
    const ItemPart part{text(6), text(7), text(8), text(9), text(10), text(11)};
    const auto [place, is_new] = places.emplace(part, result.parts.size());
    if (is_new) result.parts.push_back(part);
    result.items.push_back({text(0), row.integer(1), row.integer(2), row.real(3), row.real(5),
                            text(4), place->second});
  });
  return result;
}

/// Whether a JSON array of texts holds one.
bool lists(const std::string& array, const std::string& text) {
  return array.find("\"" + text + "\"") != std::string::npos;
}

/// The items that a metric counts, by their places, and what it counts of each.
struct MetricItems {
  std::vector<std::size_t> places;
  std::vector<double> values;
};

/// Nothing for items that a metric does not count; else the stratum that they belong to, where the
/// metric is a mean of means ("average" over tasks, "macro" over categories), or an empty text.
/// This goes by names; whether it is right shows when the mean is the metric's own.
std::optional<std::string> stratum(const ItemPart& part, const std::string& metric) {
  const std::string whole;  // one stratum
  if (!part.measured.empty())
    return metric == part.measured || metric == part.measured + "/" + part.category
               ? std::optional(whole)
               : std::nullopt;
  if (!part.harmful.empty()) {
    const std::string side = part.harmful == "1" ? "_h" : "_b";
    return metric.ends_with(side) ? std::optional(whole) : std::nullopt;
  }
  if (part.task.empty()) return whole;
  const std::size_t slash = metric.rfind('/');
  const std::string of = slash == std::string::npos ? "" : metric.substr(0, slash);
  const std::string what = metric.substr(slash == std::string::npos ? 0 : slash + 1);
  if (what == "average" && (of.empty() || lists(part.groups, of))) return part.task;
  if (what == "macro" && of == part.task) return part.category;
  if (of == part.task) return whole;
  if (!of.starts_with(part.task + "/")) return std::nullopt;
  const std::string category = of.substr(part.task.size() + 1);
  const bool inside = category == part.category || lists(part.category_groups, category) ||
                      part.category.ends_with("/" + category);
  return inside ? std::optional(whole) : std::nullopt;
}

/// An item's log-odds; where they are all that is measured they are its score.
double graded(const ComparedItem& item) {
  return std::isnan(item.log_odds) ? item.score : item.log_odds;
}

/// Of the area under the curve, harmful against benign items, what it would be if all items were
/// like this one, to first order: their mean is the area, and the standard error of the mean
/// DeLong's (1988) but for N / (N - 1) in place of the factors of the two sides.
MetricItems items_of_area(const EvalItems& all) {
  std::vector<double> sides[2];  // benign, harmful
  for (const ComparedItem& item : all.items) {
    if (!std::isfinite(graded(item))) return {};
    sides[all.parts[item.part].harmful == "1"].push_back(graded(item));
  }
  if (sides[0].empty() || sides[1].empty()) return {};
  std::vector<double> placed[2] = {placements(sides[0], sides[1]), placements(sides[1], sides[0])};
  for (double& share : placed[0]) share = 1 - share;  // of the harmful ones above it
  const double area = mean(placed[1]);
  const auto n = static_cast<double>(all.items.size());
  MetricItems result;
  std::size_t next[2] = {0, 0};
  for (std::size_t i = 0; i < all.items.size(); ++i) {
    const bool harmful = all.parts[all.items[i].part].harmful == "1";
    result.places.push_back(i);
    result.values.push_back(area + n / static_cast<double>(sides[harmful].size()) *
                                       (placed[harmful][next[harmful]++] - area));
  }
  return result;
}

/// @param count  items behind the metric, as it was stored
MetricItems items_of(const EvalItems& all, std::string metric, std::int64_t count) {
  const bool two_sides = std::all_of(all.parts.begin(), all.parts.end(),
                                     [](const ItemPart& part) { return !part.harmful.empty(); });
  if (metric.ends_with("_auc") && two_sides) return items_of_area(all);
  const std::string_view odds = "_log_odds";
  const bool of_odds = metric.ends_with(odds);
  if (of_odds) metric.resize(metric.size() - odds.size());
  std::vector<std::optional<std::string>> strata;
  for (const ItemPart& part : all.parts) strata.push_back(stratum(part, metric));

  MetricItems result;
  std::map<std::string, double> sizes;
  std::int64_t finite = 0;
  for (std::size_t i = 0; i < all.items.size(); ++i) {
    const ComparedItem& item = all.items[i];
    if (!strata[item.part]) continue;
    result.places.push_back(i);
    result.values.push_back(of_odds ? graded(item) : item.score);
    finite += std::isfinite(result.values.back());
    ++sizes[*strata[item.part]];
  }
  const auto n = static_cast<double>(result.places.size());
  if (sizes.size() > 1)
    for (std::size_t i = 0; i < result.places.size(); ++i)
      result.values[i] *= n / (static_cast<double>(sizes.size()) *
                               sizes[*strata[all.items[result.places[i]].part]]);
  // An item that a scorer could not tell of is stored, and not counted.
  if (finite == count && finite < static_cast<std::int64_t>(result.places.size())) {
    MetricItems counted;
    for (std::size_t i = 0; i < result.places.size(); ++i)
      if (std::isfinite(result.values[i])) {
        counted.places.push_back(result.places[i]);
        counted.values.push_back(result.values[i]);
      }
    return counted;
  }
  return result;
}

/// The mean of some values as a metric has it: NaN is NaN.
bool is_mean(double metric, double mean) {
  if (std::isnan(metric) || std::isnan(mean)) return std::isnan(metric) && std::isnan(mean);
  return metric == mean || (std::isfinite(metric) &&
                            std::abs(metric - mean) <= 1e-9 * std::max(1.0, std::abs(metric)));
}

auto identity(const ComparedItem& item) { return std::tie(item.id, item.repeat); }

/// Neighbouring windows of a text depend on each other, so they are tested in blocks.
void put_in_blocks(PairedValues& paired, const std::vector<std::int64_t>& positions) {
  std::vector<std::size_t> order(positions.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return positions[a] < positions[b]; });
  const std::vector<std::string> blocks = neighbour_blocks(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) paired.clusters[order[i]] = blocks[i];
  paired.unit = PairedValues::Unit::blocks;
}

Comparison compare_items(const EvalItems& reference, const Measured& before, const EvalItems& run,
                         const Measured& after, const std::string& metric) {
  const MetricItems old_items = items_of(reference, metric, before.count);
  const MetricItems new_items = items_of(run, metric, after.count);
  const std::string no_mean = "no mean over stored items";
  if (old_items.places.empty() || new_items.places.empty()) return {{}, no_mean};

  PairedValues paired;
  paired.reference = before.value;
  paired.value = after.value;
  const double old_mean = mean(old_items.values), new_mean = mean(new_items.values);
  paired.exponential = !(is_mean(before.value, old_mean) && is_mean(after.value, new_mean));
  if (paired.exponential &&
      !(is_mean(before.value, std::exp(old_mean)) && is_mean(after.value, std::exp(new_mean))))
    return {{}, no_mean};

  std::vector<std::int64_t> positions;
  std::size_t a = 0, b = 0;
  while (a < old_items.places.size() && b < new_items.places.size()) {
    const ComparedItem& one = reference.items[old_items.places[a]];
    const ComparedItem& other = run.items[new_items.places[b]];
    if (identity(one) == identity(other)) {
      paired.before.push_back(old_items.values[a++]);
      paired.after.push_back(new_items.values[b++]);
      paired.clusters.push_back(one.cluster);
      positions.push_back(one.position);
    } else {
      identity(one) < identity(other) ? ++a : ++b;
    }
  }
  const auto same = static_cast<std::int64_t>(paired.before.size());
  const auto of_reference = static_cast<std::int64_t>(old_items.places.size());
  const auto of_run = static_cast<std::int64_t>(new_items.places.size());
  paired.left_out = std::max(of_reference, of_run) - same;
  // Items that a scorer could not tell of are missing in one of the two; others must be the same.
  const bool all_stored = reference.items.size() == run.items.size() &&
                          std::equal(reference.items.begin(), reference.items.end(),
                                     run.items.begin(), [](const auto& one, const auto& other) {
                                       return identity(one) == identity(other);
                                     });
  if (same == 0 || (paired.left_out > 0 && !all_stored))
    return {{},
            fmt::format("{} of its {} items are among the reference's {} (another tokenizer, or "
                        "another number of items)",
                        same, of_run, of_reference)};
  if (paired.left_out > 0) {
    paired.reference = mean(paired.before);
    paired.value = mean(paired.after);
  }
  const bool clustered = std::any_of(paired.clusters.begin(), paired.clusters.end(),
                                     [](const std::string& name) { return !name.empty(); });
  if (clustered)
    paired.unit = PairedValues::Unit::clusters;
  else if (before.eval == "perplexity")
    put_in_blocks(paired, positions);
  return {std::move(paired), ""};
}

/// The two runs whose items are compared: the only ones, or those of the same seeds.
std::pair<const StoredRun*, const StoredRun*> runs_of_one_seed(const RowRuns& reference,
                                                               const RowRuns& row) {
  if (reference.size() == 1 && row.size() == 1) return {reference.front(), row.front()};
  for (const StoredRun* one : reference)
    for (const StoredRun* other : row)
      if (one->seeds() == other->seeds()) return {one, other};
  return {nullptr, nullptr};
}

bool zero_or_one(const std::vector<double>& values) {
  return std::all_of(values.begin(), values.end(), [](double v) { return v == 0 || v == 1; });
}

}  // namespace

const EvalItems& ItemCache::items(const std::string& attempt) {
  auto found = kept_.find(attempt);
  if (found == kept_.end()) {
    std::size_t kept = 0;
    for (const auto& [name, of_attempt] : kept_) kept += of_attempt.items.size();
    if (kept > kKeptItems)
      std::erase_if(kept_, [&](const auto& entry) { return entry.first != last_; });
    found = kept_.emplace(attempt, read_items(store_, attempt)).first;
  }
  last_ = attempt;
  return found->second;
}

std::vector<double> PairedValues::differences() const {
  std::vector<double> result;
  for (std::size_t i = 0; i < after.size(); ++i) result.push_back(after[i] - before[i]);
  return result;
}

std::int64_t PairedValues::higher() const {
  const std::vector<double> all = differences();
  return std::count_if(all.begin(), all.end(), [](double difference) { return difference > 0; });
}

std::int64_t PairedValues::lower() const {
  const std::vector<double> all = differences();
  return std::count_if(all.begin(), all.end(), [](double difference) { return difference < 0; });
}

std::int64_t PairedValues::units() const {
  const std::set<std::string> names(clusters.begin(), clusters.end());
  const auto alone = std::count(clusters.begin(), clusters.end(), "");
  return of_seeds() ? static_cast<std::int64_t>(before.size())
                    : static_cast<std::int64_t>(names.size()) + (alone > 0 ? alone - 1 : 0);
}

bool PairedValues::counted() const {
  return unit == Unit::items && zero_or_one(before) && zero_or_one(after);
}

double PairedValues::standard_error() const {
  if (of_seeds()) return standard_error_of_mean(differences());
  if (!exponential) return clustered_standard_error(differences(), clusters);
  // Delta method: the difference of the exponentials moves with P' x' - P x of each item.
  std::vector<double> moves;
  for (std::size_t i = 0; i < after.size(); ++i)
    moves.push_back(value * after[i] - reference * before[i]);
  return clustered_standard_error(moves, clusters);
}

Interval PairedValues::interval() const {
  if (of_seeds()) return t_test(differences()).interval;
  if (units() < 2) return {};
  if (counted()) return counts_interval(higher(), lower(), units());
  // Items of clusters that are 0 or 1 and all alike: what their share may be, by clusters.
  if (zero_or_one(before) && before == after) return counts_interval(0, 0, units());
  Interval interval = cluster_bootstrap(differences(), clusters);
  if (exponential) interval = {std::exp(interval.low), std::exp(interval.high)};
  return interval;
}

double PairedValues::p() const {
  if (of_seeds()) return t_test(differences()).p;
  if (units() < 2) return std::nan("");
  return counted() ? mcnemar_test(higher(), lower()) : sign_flip_test(differences(), clusters);
}

std::string PairedValues::test_name() const {
  return of_seeds() ? "t" : counted() ? "exact McNemar" : "sign flips";
}

std::string PairedValues::unit_name() const {
  switch (unit) {
    case Unit::items:
      return "items";
    case Unit::clusters:
      return "clusters";
    case Unit::blocks:
      return "blocks of windows";
    case Unit::training_seeds:
      return "training seeds";
    case Unit::seeds:
      return "seeds";
  }
  return "";
}

Comparison compare_rows(ItemCache& reference_items, const RowRuns& reference, ItemCache& row_items,
                        const RowRuns& row, const MetricName& name) {
  const auto before = values_by_seed(reference, name), after = values_by_seed(row, name);
  if (before.empty() || after.empty()) return {{}, "not measured of both"};
  PairedValues seeds;
  for (const auto& [seed, value] : after)
    if (auto found = before.find(seed); found != before.end()) {
      seeds.before.push_back(found->second);
      seeds.after.push_back(value);
    }
  if (seeds.before.size() >= 2) {
    seeds.reference = mean(seeds.before);
    seeds.value = mean(seeds.after);
    seeds.unit =
        over_training_seeds(row) ? PairedValues::Unit::training_seeds : PairedValues::Unit::seeds;
    return {std::move(seeds), ""};
  }
  const auto [one, other] = runs_of_one_seed(reference, row);
  if (!one) return {{}, "no seed in common"};
  const auto old_metric = one->metrics.find(name), new_metric = other->metrics.find(name);
  if (old_metric == one->metrics.end() || new_metric == other->metrics.end())
    return {{}, "not measured of both"};
  return compare_items(reference_items.items(old_metric->second.attempt), old_metric->second,
                       row_items.items(new_metric->second.attempt), new_metric->second,
                       name.metric);
}

std::vector<ChangedItem> changed_items(const EvalItems& reference, const EvalItems& run) {
  std::vector<ChangedItem> result;
  std::size_t a = 0, b = 0;
  while (a < reference.items.size() && b < run.items.size()) {
    const ComparedItem &one = reference.items[a], &other = run.items[b];
    if (identity(one) != identity(other)) {
      identity(one) < identity(other) ? ++a : ++b;
      continue;
    }
    ++a, ++b;
    if (one.score == other.score || (std::isnan(one.score) && std::isnan(other.score))) continue;
    const ItemPart& part = reference.parts[one.part];
    std::string of = part.measured.empty() ? part.task : part.measured;
    if (!part.category.empty()) of += (of.empty() ? "" : "/") + part.category;
    result.push_back({one.id, one.cluster, of, one.score, other.score});
  }
  auto size = [](const ChangedItem& item) {
    const double change = std::abs(item.after - item.before);
    return std::isnan(change) ? HUGE_VAL : change;
  };
  std::stable_sort(result.begin(), result.end(),
                   [&](const ChangedItem& x, const ChangedItem& y) { return size(x) > size(y); });
  return result;
}

}  // namespace harness
