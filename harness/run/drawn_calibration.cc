#include "harness/run/drawn_calibration.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "harness/core/hash.h"
#include "harness/core/rng.h"
#include "harness/data/file.h"
#include "harness/data/sampling.h"
#include "harness/data/text.h"

namespace harness {
namespace {

using Ids = std::vector<std::int64_t>;

at::Tensor draw_text(const CalibrationPart& part, std::int64_t samples, std::int64_t length,
                     const CalibrationInputs& inputs, std::uint64_t seed) {
  const Ids ids =
      inputs.tokenizer->encode(load_text(part.text, inputs.data_dir).text, /*special=*/true);
  Philox random(seed, "calibration", "offsets");
  const std::vector<std::int64_t> offsets =
      sample_windows(static_cast<std::int64_t>(ids.size()), samples, length, random);
  at::Tensor tokens = at::empty({samples, length}, at::kLong);
  for (std::int64_t i = 0; i < samples; ++i)
    std::copy_n(ids.begin() + offsets[static_cast<std::size_t>(i)], length,
                tokens.mutable_data_ptr<std::int64_t>() + i * length);
  return tokens;
}

/// @param next the conversations, one after the other, without end
at::Tensor draw_conversations(const std::function<Ids()>& next, std::int64_t samples,
                              std::int64_t length) {
  at::Tensor tokens = at::empty({samples, length}, at::kLong);
  for (std::int64_t i = 0; i < samples; ++i) {
    Ids ids;
    while (static_cast<std::int64_t>(ids.size()) < length) {
      const Ids conversation = next();
      ids.insert(ids.end(), conversation.begin(), conversation.end());
    }
    std::copy_n(ids.begin(), length, tokens.mutable_data_ptr<std::int64_t>() + i * length);
  }
  return tokens;
}

/// A conversation with what its last position predicts.
Ids whole(ChatExample conversation) {
  if (!conversation.tokens.empty()) conversation.tokens.push_back(conversation.targets.back());
  return std::move(conversation.tokens);
}

/// What the pair's last phase learns from, from a batch on that the seed draws.
std::function<Ids()> pair_transcripts(const Pair& pair, std::uint64_t seed) {
  const auto source = pair.recipe().phases.back().source;
  Philox random(seed, "calibration", "batches");
  auto index = static_cast<std::int64_t>(random.below(1 << 20));
  return [source, index, next = std::size_t{0}, batch = std::vector<ChatExample>()]() mutable {
    if (next == batch.size()) {
      batch = conversations_of(source->batch(index++));
      next = 0;
    }
    return whole(std::move(batch[next++]));
  };
}

std::function<Ids()> file_transcripts(const std::string& name, const CalibrationInputs& inputs,
                                      std::uint64_t seed) {
  std::vector<Ids> conversations;
  for (ChatExample& each : file_conversations(name, inputs))
    conversations.push_back(whole(std::move(each)));
  return [conversations = std::move(conversations), seed, epoch = std::uint64_t{0},
          position = std::size_t{0}, order = std::vector<std::size_t>()]() mutable {
    if (position == order.size()) {
      order =
          permutation(conversations.size(), Philox(seed, "calibration", "conversations", epoch++));
      position = 0;
    }
    return conversations[order[position++]];
  };
}

}  // namespace

void check_calibration(const CalibrationSpec& spec, const std::string& data_dir, const Pair* pair,
                       const std::string& where, Problems& problems) {
  const int named = !spec.text.empty() + !spec.chat.empty() + !spec.mix.empty();
  if (named > 1)
    problems.add(Error(where, fmt::format("calibration names {} of text, chat and mix", named),
                       "one of them", "list texts and transcripts in mix"));
  for (const CalibrationPart& part : spec.parts()) {
    if (part.text.empty() == part.chat.empty())
      problems.add(Error(where, "a part of calibration.mix with neither or both of text and chat",
                         "{ text = ..., share = ... } or { chat = ..., share = ... }"));
    else if (!part.text.empty())
      problems.collect([&] { check_text(part.text, data_dir); });
    else if (part.chat != kPairTranscripts)
      problems.collect([&] { find_transcripts(part.chat, data_dir); });
    else if (!pair)
      problems.add(Error(where, "calibration.chat = \"pair\", but the model belongs to no pair",
                         "the path of JSON lines of {\"messages\": [...]}"));
  }
}

void check_calibration_tokens(const CalibrationSpec& spec, const CalibrationInputs& inputs,
                              Problems& problems) {
  for (const CalibrationPart& part : spec.parts())
    problems.collect([&] {
      if (part.text.empty()) {
        if (part.chat != kPairTranscripts) file_conversations(part.chat, inputs);
        return;
      }
      const std::string text = load_text(part.text, inputs.data_dir).text;
      auto tokens = [&](std::string_view of) {
        return static_cast<std::int64_t>(inputs.tokenizer->encode(of, /*special=*/true).size());
      };
      constexpr std::size_t kMostBytesOfAToken = 16;  // on average
      std::size_t end =
          std::min(text.size(), static_cast<std::size_t>(spec.length) * kMostBytesOfAToken);
      while (end < text.size() && (text[end] & 0xC0) == 0x80) --end;  // inside of a character
      // A beginning with twice the tokens is proof: where it is cut moves a few at most.
      if (tokens(std::string_view(text).substr(0, end)) < 2 * spec.length)
        check_window_fits(tokens(text), spec.length);
    });
}

std::vector<DataUse> calibration_data(const CalibrationSpec& spec, const std::string& data_dir,
                                      const Pair* pair) {
  std::vector<DataUse> used;
  for (const CalibrationPart& part : spec.parts()) {
    if (!part.text.empty()) {
      const TextCorpus corpus = load_text(part.text, data_dir);
      used.push_back({corpus.name, corpus.digest, corpus.source});
    } else if (part.chat == kPairTranscripts) {
      used.push_back({"pair transcripts", pair->digest(),
                      fmt::format("what the pair {} is fine-tuned on", pair->name())});
    } else {
      const std::filesystem::path path = find_transcripts(part.chat, data_dir);
      used.push_back({path.filename().string(), sha256(read_text_file(path)), part.chat});
    }
  }
  return used;
}

DrawnCalibration::DrawnCalibration(CalibrationSpec spec, CalibrationInputs inputs,
                                   std::uint64_t seed)
    : spec_(std::move(spec)), inputs_(std::move(inputs)), seed_(seed) {}

const at::Tensor& DrawnCalibration::tokens() {
  if (tokens_.defined()) return tokens_;
  const std::vector<CalibrationPart> parts = spec_.parts();
  double all = 0, before = 0;
  for (const CalibrationPart& part : parts) all += part.share;
  // Up to a share of the whole, rounded: no sequence is lost.
  auto up_to = [&](double share) {
    return std::llround(share / all * static_cast<double>(spec_.samples));
  };
  std::vector<at::Tensor> drawn;
  for (const CalibrationPart& part : parts) {
    const std::int64_t samples = up_to(before + part.share) - up_to(before);
    if (samples > 0) drawn.push_back(draw(part, samples));
    before += part.share;
  }
  tokens_ = at::cat(drawn);
  if (parts.size() > 1) {
    const auto order =
        permutation(static_cast<std::size_t>(spec_.samples), Philox(seed_, "calibration", "order"));
    tokens_ = tokens_.index_select(
        0, at::tensor(std::vector<std::int64_t>(order.begin(), order.end()), at::kLong));
  }
  return tokens_;
}

at::Tensor DrawnCalibration::draw(const CalibrationPart& part, std::int64_t samples) const {
  if (!part.text.empty()) return draw_text(part, samples, spec_.length, inputs_, seed_);
  return draw_conversations(part.chat == kPairTranscripts
                                ? pair_transcripts(*inputs_.pair, seed_)
                                : file_transcripts(part.chat, inputs_, seed_),
                            samples, spec_.length);
}

std::string DrawnCalibration::digest() {
  const at::Tensor& all = tokens();
  return Sha256().update(all.data_ptr<std::int64_t>(), all.nbytes()).hex();
}

}  // namespace harness
