#include "harness/plugin/text_windows.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>

#include "harness/core/error.h"
#include "harness/core/hash.h"
#include "harness/data/text.h"

namespace harness {
namespace {

/// The text's ids; BOS once at the start where it is wanted.
std::vector<std::int64_t> tokenise(const WindowOptions& options, const Tokenizer& tokenizer,
                                   const DataContext& data, const std::string& where) {
  const TextCorpus corpus = load_text(options.text, data.data_dir);
  std::vector<std::int64_t> ids = tokenizer.encode(corpus.text, false);
  if (options.bos.value_or(tokenizer.adds_bos())) {
    if (!tokenizer.bos())
      throw Error(where, "the tokenizer has no BOS token", {}, "leave out bos, or set it false");
    ids.insert(ids.begin(), *tokenizer.bos());
  }
  return ids;
}

void check_ids(const std::vector<std::int64_t>& ids, std::int64_t window, const Model& model,
               const std::string& where) {
  const auto count = static_cast<std::int64_t>(ids.size());
  if (count < window)
    throw Error(where, fmt::format("a text of {} tokens", count),
                fmt::format("at least one window of {} tokens", window),
                count < 2 ? "use a longer text"
                          : fmt::format("use a longer text, or window = {} or less", count));
  if (window > model.max_tokens())
    throw Error(where, fmt::format("window = {}", window),
                fmt::format("at most the model's {} positions", model.max_tokens()),
                "choose a smaller window");
  const auto [least, greatest] = std::minmax_element(ids.begin(), ids.end());
  const std::int64_t wrong = *least < 0 ? *least : *greatest;
  if (wrong < 0 || wrong >= model.vocabulary_size())
    throw Error(where, fmt::format("token id {}", wrong),
                fmt::format("ids below the model's vocabulary, {}", model.vocabulary_size()),
                "use the tokenizer that belongs to this model");
}

}  // namespace

std::string WindowOptions::protocol(const std::string& kind) const {
  std::string name = fmt::format("{}/{}-{}/1", text_name(text), kind, window);
  if (bos) name += *bos ? "/bos" : "/no-bos";
  if (limit) name += fmt::format("/first-{}", *limit);
  return name;
}

void WindowOptions::check(const DataContext& data, Problems& problems) const {
  problems.collect([&] { load_text(text, data.data_dir); });
}

std::vector<DataUse> WindowOptions::data(const DataContext& data) const {
  const TextCorpus corpus = load_text(text, data.data_dir);
  return {{corpus.name, corpus.digest, corpus.source}};
}

TextWindows::TextWindows(const WindowOptions& options, const EvalContext& context,
                         const std::string& eval)
    : window_(options.window) {
  const std::string where = fmt::format("{} of {}", eval, options.text);
  ids_ = tokenise(options, context.model.tokenizer(), context.data, where);
  check_ids(ids_, window_, context.model, where);
  const std::int64_t all = text_tokens() / window_;
  for (std::int64_t i = 0; i < std::min(all, options.limit.value_or(all)); ++i)
    if (!context.only || context.measures(id_at(i))) positions_.push_back(i);
}

at::Tensor TextWindows::rows(std::int64_t first, std::int64_t rows) const {
  at::Tensor tokens = at::empty({rows, window_}, at::kLong);
  for (std::int64_t i = 0; i < rows; ++i)
    std::copy_n(ids_.begin() + position(first + i) * window_, window_,
                tokens.mutable_data_ptr<std::int64_t>() + i * window_);
  return tokens;
}

std::string window_id(std::int64_t position, const std::int64_t* ids, std::int64_t count) {
  Sha256 hash;
  for (std::int64_t i = -1; i < count; ++i) {
    auto value = static_cast<std::uint64_t>(i < 0 ? position : ids[i]);
    unsigned char little_endian[8];
    for (unsigned char& byte : little_endian) {
      byte = static_cast<unsigned char>(value);
      value >>= 8;
    }
    hash.update(little_endian, sizeof little_endian);
  }
  return hash.hex().substr(0, 16);
}

}  // namespace harness
