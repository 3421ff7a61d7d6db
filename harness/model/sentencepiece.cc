#include "harness/model/sentencepiece.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "harness/core/error.h"
#include "harness/core/hash.h"
#include "harness/model/mapped_file.h"
#include "harness/model/protobuf.h"
#include "harness/model/scored_bpe.h"
#include "harness/model/sentencepiece_normalizer.h"
#include "harness/model/tokenizer_config.h"
#include "harness/model/tokenizer_json.h"
#include "harness/model/unicode.h"

namespace harness {
namespace {

// Fields of sentencepiece_model.proto.
enum ModelField : std::uint32_t { kPieces = 1, kTrainer = 2, kNormalizer = 3, kDenormalizer = 5 };
enum PieceField : std::uint32_t { kText = 1, kScore = 2, kType = 3 };
enum TrainerField : std::uint32_t {
  kModelType = 3,
  kWhitespaceAsSuffix = 24,
  kByteFallback = 35,
  kUnkId = 40,
  kBosId = 41,
  kEosId = 42,
  kUnkSurface = 44,
  kBosPiece = 46,
  kEosPiece = 47,
};
enum NormalizerField : std::uint32_t {
  kCharsmap = 2,
  kDummyPrefix = 3,
  kRemoveExtra = 4,
  kEscape = 5,
};
constexpr std::uint64_t kBpe = 2;

Piece read_piece(std::string_view bytes, std::size_t id, const std::string& where) {
  ProtobufReader in(bytes, fmt::format("the piece {}", id), where);
  Piece piece;
  while (const auto field = in.next()) {
    if (field->tag == kText) piece.text = field->bytes;
    if (field->tag == kScore) piece.score = field->as_float();
    if (field->tag == kType) {
      if (field->number < 1 || field->number > static_cast<int>(PieceType::byte))
        throw Error(where, fmt::format("the piece {} has the type {}", id, field->number), "1 to 6",
                    "fetch the file again");
      piece.type = static_cast<PieceType>(field->number);
    }
  }
  return piece;
}

[[noreturn]] void unsupported(const std::string& where, const std::string& found,
                              const std::string& expected) {
  throw Error(where, fmt::format("a SentencePiece model with {}, which is not supported", found),
              expected, "use the model's tokenizer.json, if it has one");
}

/// The names of BOS and EOS, of which the file gives those that differ from the usual.
struct Names {
  std::string bos = "<s>", eos = "</s>";
};

void read_trainer(std::string_view bytes, const std::string& where, SentencePieceModel& model,
                  Names& names) {
  static const char* const kAlgorithms[] = {"", "unigram", "bpe", "word", "char"};
  std::uint64_t algorithm = 1;
  ProtobufReader in(bytes, "the trainer_spec", where);
  while (const auto field = in.next()) {
    if (field->tag == kModelType) algorithm = field->number;
    if (field->tag == kWhitespaceAsSuffix && field->number)
      unsupported(where, "treat_whitespace_as_suffix", "false");
    if (field->tag == kUnkSurface) model.unknown_surface = field->bytes;
    if (field->tag == kBosPiece) names.bos = field->bytes;
    if (field->tag == kEosPiece) names.eos = field->bytes;
  }
  if (algorithm != kBpe)
    unsupported(where,
                fmt::format("the algorithm {}", algorithm < std::size(kAlgorithms)
                                                    ? kAlgorithms[algorithm]
                                                    : std::to_string(algorithm)),
                "bpe");
}

void read_normalizer(std::string_view bytes, const std::string& where, SentencePieceModel& model) {
  ProtobufReader in(bytes, "the normalizer_spec", where);
  while (const auto field = in.next()) {
    if (field->tag == kCharsmap) model.charsmap = field->bytes;
    if (field->tag == kDummyPrefix) model.add_dummy_prefix = field->number != 0;
    if (field->tag == kRemoveExtra) model.remove_extra_whitespaces = field->number != 0;
    if (field->tag == kEscape && !field->number)
      unsupported(where, "escape_whitespaces = false", "true");
  }
}

/// Puts the space before the text that SentencePiece calls the dummy prefix.
class DummyPrefix : public PreTokenizer {
 public:
  explicit DummyPrefix(bool after_special) : after_special_(after_special) {}
  void apply(Words& words) const override {
    if (words.at_start || after_special_) words.pieces.front().insert(0, kSentencePieceSpace);
  }

 private:
  bool after_special_;
};

/// SentencePieceProcessor::Decode of every run of tokens between those that are found in the
/// text first, whose texts stand for themselves.
class SentencePieceDecoder : public Decoder {
 public:
  SentencePieceDecoder(const SentencePieceModel& model, const SentencePieceOptions& options,
                       const std::vector<AddedToken>& added)
      : drops_space_(model.add_dummy_prefix || model.remove_extra_whitespaces),
        drops_every_space_(model.remove_extra_whitespaces),
        prefix_after_special_(options.prefix_after_special),
        unknown_surface_(model.unknown_surface) {
    for (const Piece& piece : model.pieces) {
      if (piece.type == PieceType::unknown) unknown_ = piece.text;
      has_bytes_ |= piece.type == PieceType::byte;
    }
    for (const AddedToken& token : added)
      if (token.content != unknown_) found_in_text_.insert(token.content);
  }

  void apply(std::vector<std::string>& tokens, bool at_start) const override {
    std::string text, run, bytes;
    bool may_drop = at_start, dropped = false;
    auto flush_bytes = [&] {
      for (std::size_t at = 0; at < bytes.size();) {
        const std::size_t length = valid_utf8_length(bytes, at);
        run += length ? bytes.substr(at, length) : "\uFFFD";
        at += std::max<std::size_t>(length, 1);
      }
      bytes.clear();
    };
    for (const std::string& token : tokens) {
      if (const int byte = has_bytes_ ? byte_of_token(token) : -1; byte >= 0) {
        bytes += static_cast<char>(byte);
        continue;
      }
      flush_bytes();
      if (found_in_text_.count(token)) {
        text += run + token;
        run.clear();
        may_drop = prefix_after_special_;
        dropped = false;
        continue;
      }
      if (dropped || !run.empty()) may_drop = false;
      dropped = false;
      if (token == unknown_) {
        run += unknown_surface_;
        continue;
      }
      std::string_view rest = token;
      if (may_drop && drops_space_ && rest.starts_with(kSentencePieceSpace)) {
        rest.remove_prefix(kSentencePieceSpace.size());
        dropped = !drops_every_space_;
      }
      for (std::size_t at = 0; at < rest.size();) {
        const std::string_view character = rest.substr(at, utf8_length(rest[at]));
        if (character == kSentencePieceSpace)
          run += ' ';
        else
          run += character;
        at += character.size();
      }
    }
    flush_bytes();
    tokens = {text + run};
  }

 private:
  bool drops_space_, drops_every_space_, prefix_after_special_, has_bytes_ = false;
  std::set<std::string> found_in_text_;
  std::string unknown_, unknown_surface_;
};

TokenUse use_of(PieceType type) {
  switch (type) {
    case PieceType::normal:
      return TokenUse::merged;
    case PieceType::user_defined:
      return TokenUse::whole;
    case PieceType::unused:
      return TokenUse::unused;
    default:
      return TokenUse::reserved;
  }
}

}  // namespace

SentencePieceModel read_sentencepiece_model(const std::filesystem::path& path) {
  const std::string where = path.string();
  const MappedFile file(path);
  const std::string_view bytes(reinterpret_cast<const char*>(file.data()), file.size());
  SentencePieceModel model;
  Names names;
  ProtobufReader in(bytes, "the model", where);
  bool has_trainer = false, has_normalizer = false;
  while (const auto field = in.next()) {
    if (field->tag == kPieces)
      model.pieces.push_back(read_piece(field->bytes, model.pieces.size(), where));
    if (field->tag == kTrainer) {
      read_trainer(field->bytes, where, model, names);
      has_trainer = true;
    }
    if (field->tag == kNormalizer) {
      read_normalizer(field->bytes, where, model);
      has_normalizer = true;
    }
    if (field->tag == kDenormalizer && field->bytes.find('\x12') != std::string_view::npos) {
      SentencePieceModel denormalizer;
      read_normalizer(field->bytes, where, denormalizer);
      if (!denormalizer.charsmap.empty()) unsupported(where, "a denormalizer", "none");
    }
  }
  if (model.pieces.empty() || !has_trainer || !has_normalizer)
    throw Error(where,
                fmt::format("{} pieces, {} trainer_spec, {} normalizer_spec", model.pieces.size(),
                            has_trainer ? "a" : "no", has_normalizer ? "a" : "no"),
                "a SentencePiece model", "the file is cut off or another one: fetch it again");
  for (std::size_t id = 0; id < model.pieces.size(); ++id) {
    if (model.pieces[id].type != PieceType::control) continue;
    if (model.pieces[id].text == names.bos) model.bos = static_cast<std::int64_t>(id);
    if (model.pieces[id].text == names.eos) model.eos = static_cast<std::int64_t>(id);
  }
  model.sha256 = sha256(bytes);
  return model;
}

std::string sentencepiece_model_bytes(const SentencePieceModel& model) {
  std::string bytes, trainer, normalizer;
  std::optional<std::uint64_t> unknown;
  bool has_bytes = false;
  for (std::size_t id = 0; id < model.pieces.size(); ++id) {
    const Piece& piece = model.pieces[id];
    std::string message;
    put_protobuf(message, kText, piece.text);
    put_protobuf(message, kScore, piece.score);
    put_protobuf(message, kType, static_cast<std::uint64_t>(piece.type));
    put_protobuf(bytes, kPieces, message);
    if (piece.type == PieceType::unknown) unknown = id;
    has_bytes |= piece.type == PieceType::byte;
  }
  put_protobuf(trainer, kModelType, kBpe);
  put_protobuf(trainer, kByteFallback, std::uint64_t{has_bytes});
  constexpr auto kNone = static_cast<std::uint64_t>(-1);
  put_protobuf(trainer, kUnkId, unknown.value_or(0));
  put_protobuf(trainer, kBosId, model.bos ? static_cast<std::uint64_t>(*model.bos) : kNone);
  put_protobuf(trainer, kEosId, model.eos ? static_cast<std::uint64_t>(*model.eos) : kNone);
  put_protobuf(trainer, kUnkSurface, model.unknown_surface);
  auto text_of = [&](std::int64_t id) { return model.pieces[static_cast<std::size_t>(id)].text; };
  if (model.bos) put_protobuf(trainer, kBosPiece, text_of(*model.bos));
  if (model.eos) put_protobuf(trainer, kEosPiece, text_of(*model.eos));
  put_protobuf(bytes, kTrainer, trainer);
  put_protobuf(normalizer, kCharsmap, model.charsmap);
  put_protobuf(normalizer, kDummyPrefix, std::uint64_t{model.add_dummy_prefix});
  put_protobuf(normalizer, kRemoveExtra, std::uint64_t{model.remove_extra_whitespaces});
  put_protobuf(normalizer, kEscape, std::uint64_t{true});
  put_protobuf(bytes, kNormalizer, normalizer);
  return bytes;
}

TokenizerParts sentencepiece_parts(const SentencePieceModel& model, SentencePieceOptions options,
                                   const std::string& where) {
  TokenizerParts parts;
  std::vector<ScoredToken> tokens;
  PrefixSet untouched;
  ScoredBpeOptions bpe;
  std::array<std::optional<TokenId>, 256> bytes{};
  for (const Piece& piece : model.pieces) {
    const auto id = static_cast<TokenId>(tokens.size());
    if (piece.text.empty() || !is_utf8(piece.text) || !std::isfinite(piece.score))
      throw Error(where,
                  fmt::format("the piece {} is {} with the score {}", id,
                              piece.text.empty()    ? "empty"
                              : is_utf8(piece.text) ? fmt::format("\"{}\"", piece.text)
                                                    : "no UTF-8",
                              piece.score),
                  "text with a finite score", "fetch the file again");
    TokenUse use = use_of(piece.type);
    const bool user_defined = piece.type == PieceType::user_defined;
    if (piece.type == PieceType::unknown) bpe.unknown = id;
    if (piece.type == PieceType::byte) {
      const int byte = byte_of_token(piece.text);
      if (byte < 0)
        throw Error(where, fmt::format("the byte piece {} is \"{}\"", id, piece.text),
                    "<0x00> to <0xFF>", "fetch the file again");
      bytes[static_cast<std::size_t>(byte)] = id;
    }
    const bool found_first = user_defined && options.user_defined_first;
    if (piece.type == PieceType::control || piece.type == PieceType::unknown || found_first)
      parts.added_tokens.push_back({.content = piece.text, .id = id, .special = !user_defined});
    if (found_first) use = TokenUse::reserved;
    if (use == TokenUse::whole) untouched.add(piece.text);
    tokens.push_back({piece.text, piece.score, use});
  }
  const auto count = std::count_if(bytes.begin(), bytes.end(), [](auto id) { return !!id; });
  if (count == 256) {
    bpe.bytes.emplace();
    std::transform(bytes.begin(), bytes.end(), bpe.bytes->begin(), [](auto id) { return *id; });
  } else if (count != 0) {
    throw Error(where, fmt::format("{} byte pieces", count), "256, or none",
                "fetch the file again");
  }
  parts.normalizer = std::make_unique<SentencePieceNormalizer>(
      model.charsmap, std::move(untouched), model.remove_extra_whitespaces, where);
  if (model.add_dummy_prefix)
    parts.pre_tokenizer = std::make_unique<DummyPrefix>(options.prefix_after_special);
  parts.model = std::make_unique<ScoredBpe>(std::move(tokens), std::move(bpe), where);
  parts.decoder = std::make_unique<SentencePieceDecoder>(model, options, parts.added_tokens);
  parts.bos = model.bos;
  parts.eos = model.eos;
  return parts;
}

TokenizerParts read_tokenizer_sentencepiece(const std::filesystem::path& path) {
  SentencePieceModel model = read_sentencepiece_model(path);
  const TokenizerConfig config =
      read_tokenizer_config(path.parent_path()).value_or(TokenizerConfig{});
  JsonReader in(config.json, "tokenizer_config", config.where);
  SentencePieceOptions options;
  options.prefix_after_special = in.boolean("legacy", true);
  model.add_dummy_prefix = in.boolean("add_prefix_space", model.add_dummy_prefix);
  TokenizerParts parts = sentencepiece_parts(model, options, path.string());
  add_configured_tokens(config, path.parent_path(), parts);
  parts.decoder = std::make_unique<SentencePieceDecoder>(model, options, parts.added_tokens);
  apply_tokenizer_config(config, /*adds_bos=*/true, parts);
  Sha256 digest;
  digest.update(fmt::format("{} {} {} {}", model.sha256, options.prefix_after_special,
                            model.add_dummy_prefix, special_tokens_text(parts)));
  for (const AddedToken& token : parts.added_tokens)
    digest.update(fmt::format("\n{} {} {} {} {}", token.id, token.single_word, token.lstrip,
                              token.rstrip, token.content));
  parts.digest = digest.hex();
  return parts;
}

}  // namespace harness
