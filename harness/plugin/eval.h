#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "harness/core/error.h"
#include "harness/core/log.h"
#include "harness/core/value.h"
#include "harness/model/model.h"
#include "harness/plugin/references.h"

namespace harness {

/// A number an eval reports. SQLite stores NaN as NULL, so a metric is a value and a status.
struct Metric {
  std::string name;  // "perplexity", "acc_norm"
  double value = 0;
  std::optional<double> standard_error;  // of value
  std::int64_t count = 0;                // items behind it
};

/// What a scorer (answer_scorer.h) says of an answer.
struct Verdict {
  std::string scorer;            // its versioned name: "gcg-list/1"
  std::optional<bool> complied;  // whether the answer does what was asked; none: it cannot tell
};

/// What the model wrote for an item. The texts stay in the user's own database.
struct Completion {
  std::string prompt;  // what was asked, as the data set has it
  std::string text;    // the model's whole turn
  std::string ending;  // "stop", "length" or "full" (StopReason)
  std::int64_t tokens = 0;
  std::vector<Verdict> verdicts;
};

/// One scored item (a window, a question). `id` is the dataset's own id or the item's digest, so
/// that items of different runs pair.
struct EvalItem {
  std::string id;
  double score = 0;     // what the metric averages: mean NLL of a window, 0 or 1 of a question
  std::string cluster;  // items that depend on each other share it; empty: none
  Value detail;         // a table of whatever else was measured; no text of the data set
  std::vector<Completion> completions = {};  // of an eval that generates and keeps what it judged
};

/// Ids of items.
using ItemIds = std::set<std::string>;

/// Where an eval puts its items, in order.
class ItemSink {
 public:
  virtual ~ItemSink() = default;
  virtual void add(EvalItem item) = 0;
};

/// Where an eval looks for its data.
struct DataContext {
  std::string data_dir;   // may be empty
  std::string pair = {};  // name of the model's pair ("world"); empty: it belongs to none
  /// Digest of the transcripts that Transcripts reads for "pair"; empty where there is no pair, and
  /// for an eval whose traits do not ask for transcripts.
  std::string pair_transcripts = {};
};

/// Data that an eval measured on, for provenance and for the check that calibration does not
/// overlap.
struct DataUse {
  std::string name, digest, source;
};

/// A conversation as the model's token ids.
struct Transcript {
  std::vector<std::int64_t> tokens;
  std::vector<bool> answers;  // whether what follows tokens[t] belongs to an answer
};

/// Reads chat transcripts in the model's chat format.
class Transcripts {
 public:
  virtual ~Transcripts() = default;
  /// The first transcripts of a source.
  /// @param chat "pair": such as the model's pair is fine-tuned on; else the path of JSON lines of
  /// { messages }
  /// @throws Error on a file that is missing or malformed
  virtual std::vector<Transcript> read(const std::string& chat, std::int64_t count) = 0;
};
/// Transcripts that are an Error to ask for.
Transcripts& no_transcripts();

struct EvalContext {
  const Model& model;
  References& references;
  DataContext data;
  std::uint64_t seed = 0;
  ItemSink& items;
  Progress& progress;
  Transcripts& transcripts = no_transcripts();
  /// Where an eval may keep what it made of the unquantized models for other runs that have the
  /// same; empty: nowhere.
  std::filesystem::path cache = {};
  /// The model under test for evals that look inside it; null where it cannot be looked into.
  const LlamaModel* llama = nullptr;
  /// The items to measure, of an eval whose traits say by_item; null: all.
  const ItemIds* only = nullptr;
  bool measures(const std::string& item) const { return !only || only->contains(item); }
};

/// What an eval needs, so that a run can be checked before it starts and keyed by no more than what
/// counts.
struct EvalTraits {
  bool uses_seed = false;
  bool needs_base = false;
  bool uses_chat = false;            // talks to the model in its chat format
  bool needs_chat_template = false;  // and only so: a model without a template is an error
  bool shares_tokens = false;        // shows the base the model's own token ids
  std::string transcripts = {};      // what it asks Transcripts for; empty: nothing
  /// Measures each item by itself, and no others than EvalContext::measures(): then a sample of its
  /// items can be measured again. Its metrics are then those of the sample, or NaN.
  bool by_item = false;
};

/// An evaluation, built from its options. Everything that can be wrong without a model is found by
/// check().
class Eval {
 public:
  virtual ~Eval() = default;
  /// The versioned protocol that is stored with each number, such as
  /// "wikitext2-test/concat-2048/1". Asked after check().
  virtual std::string protocol(const DataContext& data) const = 0;
  /// Bumped when the code changes what is measured; part of the stage key.
  virtual int version() const = 0;
  virtual EvalTraits traits() const { return {}; }
  /// Looks every file up; adds what is missing to `problems`.
  virtual void check(const DataContext& data, Problems& problems) const = 0;
  /// Digests of the data it will read, for the stage key (cheap: no model).
  virtual std::vector<DataUse> data(const DataContext& data) const = 0;
  /// Whether its items are choices among options: their detail is that of choice_detail()
  /// (choices.h), and the score is 0 or 1. Asked after check().
  virtual bool chooses(const DataContext&) const { return false; }
  virtual std::vector<Metric> run(EvalContext& context) const = 0;
};

}  // namespace harness
