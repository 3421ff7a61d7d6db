#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "harness/plugin/plugins.h"
#include "harness/run/drawn_calibration.h"
#include "harness/run/transcripts.h"

namespace harness {

/// Evals with the same options and data are one object, whose files are looked at once, however
/// many runs have them: a sweep has thousands. Pairs that differ in their training seed share all
/// but evals and calibrations on their transcripts.
class EvalShelf {
 public:
  explicit EvalShelf(const Plugins& plugins) : plugins_(plugins) {}

  /// @throws as build() does
  std::shared_ptr<const Eval> eval(const PluginUse& use, const DataContext& data,
                                   Problems& problems) {
    return kept(evals_, plugins_.evals, use, data, problems);
  }
  std::shared_ptr<const DerivedEval> derived(const PluginUse& use, const DataContext& data,
                                             Problems& problems) {
    return kept(derived_, plugins_.derived_evals, use, data, problems);
  }

  /// What Eval::check() finds.
  const std::vector<std::string>& problems(const Eval& eval, const DataContext& data) {
    const DataContext seen = seen_by(eval, data);
    return remembered(problems_, of(eval, seen), [&] {
      Problems found;
      eval.check(seen, found);
      return found.texts();
    });
  }
  const std::vector<DataUse>& data(const Eval& eval, const DataContext& data) {
    const DataContext seen = seen_by(eval, data);
    return remembered(data_, of(eval, seen), [&] { return eval.data(seen); });
  }
  const std::string& protocol(const Eval& eval, const DataContext& data) {
    const DataContext seen = seen_by(eval, data);
    return remembered(protocols_, of(eval, seen), [&] { return eval.protocol(seen); });
  }
  bool reads(const DerivedEval& derived, const Eval& eval, const DataContext& data) {
    return remembered(reads_, std::pair(&derived, &eval),
                      [&] { return derived.reads(eval, seen_by(eval, data)); });
  }
  /// What check_calibration_tokens() finds.
  const std::vector<std::string>& calibration_problems(const CalibrationSpec& spec,
                                                       const CalibrationInputs& inputs,
                                                       const std::string& language) {
    return remembered(calibration_problems_,
                      std::tuple(canonical_text(to_value(spec)), inputs.data_dir, language), [&] {
                        Problems found;
                        check_calibration_tokens(spec, inputs, found);
                        return found.texts();
                      });
  }
  /// What check_conversations() finds.
  const std::vector<std::string>& transcript_problems(const std::string& name,
                                                      const TranscriptInputs& inputs,
                                                      const std::string& language) {
    return remembered(transcript_problems_, std::tuple(name, inputs.data_dir, language), [&] {
      Problems found;
      found.collect([&] { check_conversations(name, inputs); });
      return found.texts();
    });
  }
  /// What a calibration is on.
  const std::vector<DataUse>& calibration(const CalibrationSpec& spec, const std::string& data_dir,
                                          const Pair* pair) {
    const std::vector<CalibrationPart> parts = spec.parts();
    const bool of_pair = std::any_of(parts.begin(), parts.end(), [](const CalibrationPart& part) {
      return part.chat == kPairTranscripts;
    });
    return remembered(
        calibrations_,
        std::tuple(canonical_text(to_value(spec)), data_dir, of_pair ? pair : nullptr),
        [&] { return calibration_data(spec, data_dir, pair); });
  }

 private:
  using Seen = std::pair<const Eval*, std::string>;  // and the transcripts, where it reads them

  static DataContext seen_by(const Eval& eval, DataContext data) {
    if (eval.traits().transcripts.empty()) data.pair_transcripts.clear();
    return data;
  }
  static Seen of(const Eval& eval, const DataContext& seen) {
    return {&eval, seen.pair_transcripts};
  }
  template <class Map, class Make>
  static const typename Map::mapped_type& remembered(Map& map, const typename Map::key_type& key,
                                                     Make&& make) {
    auto found = map.find(key);
    if (found == map.end()) found = map.emplace(key, make()).first;
    return found->second;
  }
  template <class Map, class Registry>
  static auto kept(Map& shelf, const Registry& registry, const PluginUse& use,
                   const DataContext& data, Problems& problems) -> typename Map::mapped_type {
    const auto key = fmt::format("{}\n{}\n{}\n{}", use.name, canonical_text(use.options),
                                 data.data_dir, data.pair);
    if (const auto found = shelf.find(key); found != shelf.end()) return found->second;
    Problems own;
    typename Map::mapped_type built = registry.get(use.name).build(use.options, own);
    for (const std::string& text : own.texts()) problems.add(Error(text));
    if (own.empty()) shelf.emplace(key, built);  // each place of a wrong option is named
    return built;
  }

  const Plugins& plugins_;
  std::map<std::string, std::shared_ptr<const Eval>> evals_;
  std::map<std::string, std::shared_ptr<const DerivedEval>> derived_;
  std::map<Seen, std::vector<std::string>> problems_;
  std::map<Seen, std::vector<DataUse>> data_;
  std::map<Seen, std::string> protocols_;
  std::map<std::pair<const DerivedEval*, const Eval*>, bool> reads_;
  std::map<std::tuple<std::string, std::string, const Pair*>, std::vector<DataUse>> calibrations_;
  std::map<std::tuple<std::string, std::string, std::string>, std::vector<std::string>>
      calibration_problems_, transcript_problems_;
};

}  // namespace harness
