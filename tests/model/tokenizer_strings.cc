#include "tests/model/tokenizer_strings.h"

#include <nlohmann/json.hpp>

#include "harness/model/unicode.h"
#include "tests/support/support.h"

namespace harness::test {
namespace {

using Json = nlohmann::json;

constexpr int kStrings = 10000;
constexpr char32_t kScalars = 0x110000 - 0x800;

const Json& lists() {
  static const Json kLists = Json::parse(read_file(golden("tokenizer/ingredients.json")));
  return kLists;
}

/// The c-th Unicode scalar value: surrogates are left out.
std::string scalar(std::uint64_t c) {
  std::string text;
  append_utf8(text, static_cast<char32_t>(c >= 0xD800 ? c + 0x800 : c));
  return text;
}

std::string part(SplitMix64& random) {
  auto pick = [&](const char* name) {
    const Json& list = lists().at(name);
    return list.at(random.below(list.size())).get<std::string>();
  };
  auto many = [&](std::uint64_t bound, auto&& make) {
    std::string text;
    for (std::uint64_t left = 1 + random.below(bound); left > 0; --left) text += make();
    return text;
  };
  auto point = [&](std::uint64_t first, std::uint64_t count) {
    return [&random, first, count] { return scalar(first + random.below(count)); };
  };
  auto of = [&](const char* name) { return [&pick, name] { return pick(name); }; };

  switch (random.below(20)) {
    case 0:
      return many(9, point('a', 26));
    case 1:
      return many(4, point('A', 26));
    case 2:
      return std::string(1 + random.below(30), ' ');
    case 3:
      return many(6, of("spaces"));
    case 4:
      return many(8, point('0', 10));
    case 5:
      return many(5, of("digits"));
    case 6:
      return many(3, point(0, kScalars));
    case 7:
      return many(4, point(0, 0x3000));
    case 8:
      return many(3, point(0x10000 - 0x800, 0x10000));
    case 9:
      return many(4, point(0x3041, 0xD7A4 - 0x3041));
    case 10: {
      std::string base = pick("bases");
      return base + many(4, of("marks"));
    }
    case 11:
      return many(3, of("emoji"));
    case 12:
      return pick("code");
    case 13:
      return pick("contractions");
    case 14:
      return pick("specials");
    case 15:
      return many(5, point(33, 15));
    case 16:
      return pick("breaks");
    case 17:
      return scalar(random.below(0x80));
    default:
      return std::string(1, ' ').append(pick("words"));
  }
}

}  // namespace

std::uint64_t SplitMix64::below(std::uint64_t bound) {
  state_ += 0x9E3779B97F4A7C15;
  std::uint64_t z = state_;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return (z ^ (z >> 31)) % bound;
}

const std::vector<std::string>& tokenizer_strings() {
  static const std::vector<std::string> kAll = [] {
    std::vector<std::string> all(1);
    for (std::uint64_t index = 1; index < kStrings; ++index) {
      SplitMix64 random(index);
      std::string text;
      for (std::uint64_t left = 1 + random.below(13); left > 0; --left) text += part(random);
      all.push_back(std::move(text));
    }
    return all;
  }();
  return kAll;
}

std::vector<std::string> unicode_sweep() {
  std::vector<std::string> all;
  for (char32_t begin = 0; begin < kScalars; begin += 64) {
    std::string text;
    for (char32_t i = begin; i < begin + 64 && i < kScalars; ++i) {
      std::string c = scalar(i);
      for (const char* before : {"a", " ", "1"}) text.append(before).append(c);
    }
    all.push_back(std::move(text));
  }
  return all;
}

}  // namespace harness::test
