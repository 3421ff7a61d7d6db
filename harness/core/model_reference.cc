#include "harness/core/model_reference.h"

#include <charconv>

#include "harness/core/error.h"

namespace harness {
namespace {

constexpr std::string_view kPrefix = "pair:";

PairReference parse_pair(const std::string& text) {
  const std::string body = text.substr(kPrefix.size());
  const std::size_t slash = body.find('/'), at = body.find('@');
  PairReference result;
  result.pair = body.substr(0, slash);
  result.role = slash == std::string::npos ? "" : body.substr(slash + 1, at - slash - 1);
  bool good = slash != std::string::npos && (at == std::string::npos || at > slash) &&
              !result.pair.empty() && (result.role == "aligned" || result.role == "base");
  if (good && at != std::string::npos) {
    const char* end = body.data() + body.size();
    const auto [stop, error] = std::from_chars(body.data() + at + 1, end, result.seed);
    good = error == std::errc() && stop == end;
  }
  if (!good)
    throw Error("model", fmt::format("\"{}\"", text),
                "pair:NAME/aligned or pair:NAME/base, and @SEED where it is not 0");
  return result;
}

}  // namespace

std::string PairReference::text() const {
  return fmt::format("{}{}/{}@{}", kPrefix, pair, role, seed);
}

ModelReference::ModelReference(const std::string& given) : text(given) {
  if (given.starts_with(kPrefix)) *this = ModelReference(parse_pair(given));
}

ModelReference::ModelReference(PairReference reference)
    : text(reference.text()), pair(std::move(reference)) {}

ModelReference ValueTraits<ModelReference>::read(const Value& value, Problems& problems) {
  if (value.is_string()) return ModelReference(value.as_string());
  if (!value.is_table())
    throw Error(value.where(), "a model is given as " + value.describe(), type_name());
  PairReference reference;
  read_config(value, "model", problems, reference);
  return ModelReference(std::move(reference));
}

}  // namespace harness
