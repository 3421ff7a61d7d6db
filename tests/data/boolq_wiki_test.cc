#include "harness/data/boolq_wiki.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <set>
#include <sstream>

#include "harness/core/hash.h"
#include "tests/data/golden_data.h"
#include "tests/support/support.h"

namespace harness {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

bool is_even(const std::string& passage) {
  return std::string("02468ace").find(sha256(passage)[1]) != std::string::npos;
}

/// `count` texts "STEM i" whose SHA-256 starts with an even (odd) byte.
std::vector<std::string> texts_of_side(const std::string& stem, bool even, std::size_t count) {
  std::vector<std::string> result;
  for (int i = 0; result.size() < count; ++i)
    if (const std::string text = stem + " " + std::to_string(i); is_even(text) == even)
      result.push_back(text);
  return result;
}

TEST(HalvePassages, FirstByteOfTheHashDecidesAndOrderStays) {
  const auto even = texts_of_side("some text", true, 2);
  const auto odd = texts_of_side("some text", false, 2);
  const auto halves = halve_passages({odd[1], even[0], odd[0], even[1]});
  EXPECT_THAT(halves.measure, ElementsAre(even[0], even[1]));
  EXPECT_THAT(halves.calibrate, ElementsAre(odd[1], odd[0]));
}

TEST(HalvePassages, RepeatedPassagesCountOnce) {
  const auto even = texts_of_side("some text", true, 1)[0];
  const auto halves = halve_passages({even, even, even});
  EXPECT_THAT(halves.measure, ElementsAre(even));
  EXPECT_THAT(halves.calibrate, IsEmpty());
}

TEST(HalvePassages, EightSharedWordsKeepPassagesWithTheFirst) {
  const std::string eight = "a b c d e f g h";
  const auto even = texts_of_side(eight, true, 1)[0];
  const auto odd = texts_of_side("before " + eight, false, 1)[0];
  EXPECT_THAT(halve_passages({even, odd}).measure, ElementsAre(even, odd));
  EXPECT_THAT(halve_passages({odd, even}).calibrate, ElementsAre(odd, even));
}

TEST(HalvePassages, SevenSharedWordsDoNot) {
  const std::string seven = "a b c d e f g";
  const auto even = texts_of_side(seven, true, 1)[0];
  const auto odd = texts_of_side("before " + seven, false, 1)[0];
  const auto halves = halve_passages({even, odd});
  EXPECT_THAT(halves.measure, ElementsAre(even));
  EXPECT_THAT(halves.calibrate, ElementsAre(odd));
}

TEST(HalvePassages, SharingIsTransitive) {
  const std::string x = "1 2 3 4 5 6 7 8", y = "i j k l m n o p";
  const auto first = texts_of_side(x + " first", true, 1)[0];
  const auto last = texts_of_side(y + " last", false, 1)[0];
  const std::string bridge = x + " and " + y;
  EXPECT_THAT(halve_passages({first, last, bridge}).measure, ElementsAre(first, last, bridge));
}

// Python found the same by another algorithm (tests/golden/data/generate.py).
TEST(BoolqWiki, HalvesAreThoseOfTheGolden) {
  const auto& golden = test::golden_data().at("boolq_wiki");
  for (const auto& [name, half] : {std::pair("measure", &boolq_wiki_halves().measure),
                                   std::pair("calibrate", &boolq_wiki_halves().calibrate)}) {
    EXPECT_EQ(half->size(), golden.at(name).at("passages").get<std::size_t>()) << name;
    std::string joined = half->front();
    for (std::size_t i = 1; i < half->size(); ++i) joined += "\n\n" + (*half)[i];
    EXPECT_EQ(sha256(joined), golden.at(name).at("sha256").get<std::string>()) << name;
  }
  EXPECT_EQ(boolq_wiki_halves().measure.size() + boolq_wiki_halves().calibrate.size(),
            golden.at("distinct").get<std::size_t>());
}

TEST(BoolqWiki, HalvesShareNoEightWords) {
  auto runs_of_words = [](const std::vector<std::string>& passages) {
    std::set<std::string> runs;
    for (const std::string& passage : passages) {
      std::istringstream in(passage);
      std::vector<std::string> words;
      for (std::string word; std::getline(in, word, ' ');) words.push_back(word);
      for (std::size_t i = 0; i + 8 <= words.size(); ++i) {
        std::string run;
        for (std::size_t k = i; k < i + 8; ++k) run += words[k] + " ";
        runs.insert(run);
      }
    }
    return runs;
  };
  const auto measure = runs_of_words(boolq_wiki_halves().measure);
  const auto calibrate = runs_of_words(boolq_wiki_halves().calibrate);
  std::vector<std::string> shared;
  std::set_intersection(measure.begin(), measure.end(), calibrate.begin(), calibrate.end(),
                        std::back_inserter(shared));
  EXPECT_GT(measure.size(), 100000u);
  EXPECT_THAT(shared, IsEmpty());
}

}  // namespace
}  // namespace harness
