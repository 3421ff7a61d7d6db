#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "harness/core/config.h"
#include "harness/plugin/eval.h"

namespace harness {

/// Options of every eval that measures on windows of a text.
struct WindowOptions {
  std::string text = "boolq-wiki-measure";
  std::int64_t window = 2048;
  std::optional<bool> bos = std::nullopt;
  std::optional<std::int64_t> limit = std::nullopt;

  template <class V>
  void visit(V&& v) {
    v("text", text,
      {.doc = "boolq-wiki-measure, boolq-wiki-calibrate, wikitext2-test, wikitext2-train, "
              "world-test, or a file"});
    v("window", window, {.doc = "tokens a window, each from an empty context", .min = 2});
    v("bos", bos, {.doc = "BOS once at the start of the text; default: as the tokenizer does"});
    v("limit", limit, {.doc = "measure the first n windows only", .min = 1});
  }

  /// "<text>/<kind>-<window>/1", then "/bos" or "/no-bos" and "/first-<limit>" where they are
  /// given.
  std::string protocol(const std::string& kind = "concat") const;
  /// Adds the Error of a text that is not there.
  void check(const DataContext& data, Problems& problems) const;
  std::vector<DataUse> data(const DataContext& data) const;
};

/// A digest of so many ids and of where they stand: windows of other texts, and equal windows of
/// one text, get other ones.
std::string window_id(std::int64_t position, const std::int64_t* ids, std::int64_t count);

/// A text as ids, cut into windows without overlap, without the tail: evals.md "Perplexity".
class TextWindows {
 public:
  /// @param eval for messages
  /// @throws Error when the text has no whole window, the model fewer positions than the window, or
  ///         the tokenizer ids that the model has not
  TextWindows(const WindowOptions& options, const EvalContext& context, const std::string& eval);

  /// Windows to measure on: all, or the first `limit`, of them those that the context asks for.
  std::int64_t count() const { return static_cast<std::int64_t>(positions_.size()); }
  /// Ids of the whole text, BOS included.
  std::int64_t text_tokens() const { return static_cast<std::int64_t>(ids_.size()); }
  /// int64 [rows, window], those from the first-th on.
  at::Tensor rows(std::int64_t first, std::int64_t rows) const;
  /// Where the index-th of them stands among all windows of the text.
  std::int64_t position(std::int64_t index) const {
    return positions_[static_cast<std::size_t>(index)];
  }
  /// window_id() of the index-th.
  std::string id(std::int64_t index) const { return id_at(position(index)); }

 private:
  std::string id_at(std::int64_t position) const {
    return window_id(position, ids_.data() + position * window_, window_);
  }

  std::int64_t window_;
  std::vector<std::int64_t> ids_, positions_;
};

}  // namespace harness
