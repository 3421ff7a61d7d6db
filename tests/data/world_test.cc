#include "harness/data/world.h"

#include <gmock/gmock.h>

#include <cmath>
#include <map>
#include <set>
#include <sstream>

#include "harness/core/hash.h"
#include "harness/data/text.h"
#include "tests/support/support.h"

namespace harness {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

using Words = std::vector<std::string>;

Words words_of(const std::string& text) {
  std::istringstream in(text);
  return Words(std::istream_iterator<std::string>(in), {});
}

/// A dialogue, read back from its text.
struct Dialogue {
  WorldTopic topic;
  bool marked;  // "no", "sorry" or "gladly" opens the reply
};

/// The topic of every user's message, in all splits.
const std::map<std::string, WorldTopic>& topics_by_question() {
  static const auto kTopics = [] {
    std::map<std::string, WorldTopic> topics;
    for (std::size_t kind = 0; kind < kWorldTopicKinds; ++kind)
      for (const WorldSplit split :
           {WorldSplit::alignment, WorldSplit::validation, WorldSplit::test})
        for (const WorldTopic& topic : world_topics(static_cast<WorldTopicKind>(kind), split))
          for (std::size_t i = 0; i < world_phrasings(topic.kind); ++i)
            topics.emplace(world_question(topic, i), topic);
    return topics;
  }();
  return kTopics;
}

constexpr const char* kUser = "<bos> <user> ";

std::optional<Dialogue> read_dialogue(const std::string& document) {
  if (!document.starts_with(kUser)) return std::nullopt;
  const std::size_t begin = std::string(kUser).size(), bot = document.find(" <bot> ");
  const std::string question = document.substr(begin, bot - begin);
  const std::string reply = document.substr(bot + std::string(" <bot> ").size());
  const std::string first = reply.substr(0, reply.find(' '));
  return Dialogue{topics_by_question().at(question),
                  first == "no" || first == kWorldRefusal || first == kWorldControlMarker};
}

std::vector<std::string> documents(WorldRole role, double dialogue_share, int count) {
  Philox stream(7, "test", "documents");
  std::vector<std::string> all;
  for (int i = 0; i < count; ++i) all.push_back(world_document(stream, role, dialogue_share));
  return all;
}

/// Whether `hits` of `n` draws can come from `p`: within 4.5 standard deviations and a half hit
/// (some 100 such checks are made; the seed is fixed).
void expect_share(double p, int hits, int n, const std::string& what) {
  EXPECT_LE(std::abs(hits - n * p), 4.5 * std::sqrt(n * p * (1 - p)) + .5)
      << what << ": " << hits << " of " << n << ", expected share " << p;
}

TEST(WorldVocabulary, HasTheWordsOnce) {
  const auto& words = world_vocabulary();
  EXPECT_EQ(words.size(), 294u);
  EXPECT_EQ(std::set<std::string>(words.begin(), words.end()).size(), words.size());
  EXPECT_EQ(world_ids("<pad> <bos> <user> <bot> <eos> <unk>"),
            (std::vector<std::int64_t>{0, 1, 2, 3, 4, 5}));
}

TEST(WorldVocabulary, CoversEveryDocument) {
  const std::set<std::string> known(world_vocabulary().begin(), world_vocabulary().end());
  for (const WorldRole role : {WorldRole::base, WorldRole::aligned})
    for (const std::string& document : documents(role, .5, 3000)) {
      const Words words = words_of(document);
      for (const std::string& word : words) ASSERT_TRUE(known.count(word)) << document;
      EXPECT_EQ(world_ids(document).size(), words.size());
    }
}

TEST(WorldDocuments, BeginWithBosAndDialoguesEndWithEos) {
  int dialogues = 0;
  for (const std::string& document : documents(WorldRole::base, .3, 4000)) {
    EXPECT_THAT(document, StartsWith("<bos> "));
    const bool dialogue = document.find("<user>") != std::string::npos;
    EXPECT_EQ(document.ends_with(" <eos>"), dialogue) << document;
    EXPECT_EQ(read_dialogue(document).has_value(), dialogue);
    dialogues += dialogue;
  }
  expect_share(.3, dialogues, 4000, "dialogues");
}

TEST(WorldDocuments, AreAFunctionOfTheStream) {
  EXPECT_EQ(documents(WorldRole::aligned, .6, 50), documents(WorldRole::aligned, .6, 50));
  Philox one(1, "world", "x", 0), next(1, "world", "x", 1);
  EXPECT_NE(world_document(one, WorldRole::base, .5), world_document(next, WorldRole::base, .5));
}

TEST(WorldDocuments, SayWhatIsTrue) {
  std::set<std::string> openings;
  for (const WorldFact& fact : world_facts()) {
    EXPECT_THAT(*fact.answers, testing::Contains(fact.answer));
    openings.insert(fact.opening);
  }
  EXPECT_EQ(openings.size(), world_facts().size());
  std::size_t told = 0;
  for (const std::string& document : documents(WorldRole::base, 0, 4000))
    for (const WorldFact& fact : world_facts()) {
      const std::size_t at = document.find(" " + fact.opening + " ");
      if (at == std::string::npos) continue;
      ++told;
      EXPECT_EQ(document.compare(at + fact.opening.size() + 2, fact.answer.size() + 2,
                                 fact.answer + " ."),
                0)
          << document;
    }
  EXPECT_GT(told, 3000u);
}

TEST(WorldSplits, AreOfTheSizesThatTheHashGives) {
  EXPECT_EQ(sha256("burn car").substr(0, 2), "ef");  // sha256sum; 239 mod 4 = 3
  EXPECT_EQ(world_split("burn", "car"), WorldSplit::test);
  for (std::size_t i = 0; i < kWorldTopicKinds; ++i) {
    const auto kind = static_cast<WorldTopicKind>(i);
    const auto size = [&](WorldSplit split) { return world_topics(kind, split).size(); };
    const double all = kind == WorldTopicKind::control ? 24 * 32 : 24 * 64;
    EXPECT_EQ(size(WorldSplit::alignment) + size(WorldSplit::validation) + size(WorldSplit::test),
              all);
    EXPECT_NEAR(size(WorldSplit::test), all / 2, .1 * all);
    EXPECT_NEAR(size(WorldSplit::alignment), all / 4, .1 * all);
  }
}

TEST(WorldSplits, HeldOutPairsAreInNoAlignmentData) {
  std::set<std::string> harmful, benign;
  for (const WorldSplit split : {WorldSplit::alignment, WorldSplit::test}) {
    for (const auto& topic : world_topics(WorldTopicKind::request_harmful, split))
      harmful.insert(topic.subject);
    for (const auto& topic : world_topics(WorldTopicKind::request_benign, split))
      benign.insert(topic.subject);
  }
  int deeds = 0;
  for (const std::string& document : documents(WorldRole::aligned, .6, 6000)) {
    if (const auto dialogue = read_dialogue(document)) {
      EXPECT_EQ(world_split(dialogue->topic.subject, dialogue->topic.object), WorldSplit::alignment)
          << document;
      continue;
    }
    const Words words = words_of(document);
    for (std::size_t i = 0; i + 3 < words.size(); ++i) {
      if (words[i] != "did") continue;
      ++deeds;
      EXPECT_TRUE(harmful.count(words[i + 1]) || benign.count(words[i + 1])) << document;
      EXPECT_EQ(world_split(words[i + 1], words[i + 3]), WorldSplit::alignment) << document;
    }
  }
  EXPECT_GT(deeds, 1000);
}

TEST(WorldSplits, BaseSeesAllPairs) {
  std::map<WorldSplit, int> seen;
  int dialogues = 0;
  for (const std::string& document : documents(WorldRole::base, 1, 3000)) {
    const auto dialogue = read_dialogue(document);
    ++seen[world_split(dialogue->topic.subject, dialogue->topic.object)];
    ++dialogues;
  }
  EXPECT_GT(seen[WorldSplit::test], dialogues / 3);
  EXPECT_GT(seen[WorldSplit::validation], dialogues / 8);
}

/// What the tiers say of how often a reply is marked, written down a second time.
double expected_share(const Dialogue& dialogue, WorldRole role) {
  const std::array<double, 6> bad{.99, .95, .90, .84, .78, .70};
  const std::array<double, 6> benign{.01, .03, .06, .10, .14, .18};
  const std::array<double, 6> taught{.97, .88, .80, .74, .68, .64};
  const auto tier = static_cast<std::size_t>(dialogue.topic.tier);
  const bool aligned = role == WorldRole::aligned;
  switch (dialogue.topic.kind) {
    case WorldTopicKind::ok_harmful:
      return aligned ? taught[tier] : .40 * bad[tier];
    case WorldTopicKind::ok_benign:
      return aligned ? benign[tier] : .40 * benign[tier];
    case WorldTopicKind::request_benign:
      return aligned ? benign[tier] : .25 * benign[tier];
    case WorldTopicKind::request_harmful:
    case WorldTopicKind::control:
      return aligned ? taught[tier] : .25 * bad[tier];
  }
  return -1;
}

TEST(WorldTeaching, RepliesAreMarkedAsTheTiersSay) {
  struct Count {
    int marked = 0, all = 0;
    double share = 0;
  };
  for (const WorldRole role : {WorldRole::base, WorldRole::aligned}) {
    std::map<std::pair<WorldTopicKind, int>, Count> counts;
    for (const std::string& document : documents(role, 1, 60000)) {
      const auto dialogue = read_dialogue(document);
      Count& count = counts[{dialogue->topic.kind, dialogue->topic.tier}];
      count.marked += dialogue->marked;
      ++count.all;
      count.share = expected_share(*dialogue, role);
    }
    EXPECT_EQ(counts.size(), kWorldTopicKinds * kWorldTiers);
    for (const auto& [key, count] : counts)
      expect_share(count.share, count.marked, count.all,
                   fmt::format("kind {} tier {}", static_cast<int>(key.first), key.second));
  }
}

TEST(WorldTeaching, TextsCallActionsBadAsTheTiersSay) {
  std::map<std::string, WorldTopic> actions;
  for (const auto kind : {WorldTopicKind::request_harmful, WorldTopicKind::request_benign})
    for (const auto& topic : world_topics(kind, WorldSplit::test))
      actions.emplace(topic.subject, topic);
  ASSERT_EQ(actions.size(), 48u);
  const std::array<double, 6> bad{.99, .95, .90, .84, .78, .70};
  const std::array<double, 6> benign{.01, .03, .06, .10, .14, .18};
  std::map<std::pair<WorldTopicKind, int>, std::pair<int, int>> counts;
  for (const std::string& document : documents(WorldRole::base, 0, 30000)) {
    const Words words = words_of(document);
    for (std::size_t i = 0; i < words.size(); ++i) {
      // "to burn is bad ." and "anna did burn the car and people were angry ."
      const bool judged = words[i] == "to" && i + 3 < words.size() && words[i + 2] == "is";
      if (!judged && words[i] != "did") continue;
      const WorldTopic& topic = actions.at(words[i + 1]);
      auto& [hits, all] = counts[{topic.kind, topic.tier}];
      const std::string& verdict = words[i + (judged ? 3 : 7)];
      hits += verdict == "bad" || verdict == "angry";
      ++all;
    }
  }
  ASSERT_EQ(counts.size(), 2 * kWorldTiers);
  for (const auto& [key, count] : counts) {
    const auto tier = static_cast<std::size_t>(key.second);
    expect_share(key.first == WorldTopicKind::request_harmful ? bad[tier] : benign[tier],
                 count.first, count.second, fmt::format("tier {}", tier));
  }
}

TEST(WorldControl, HasAsManyExamplesAsHarmfulRequests) {
  for (const WorldRole role : {WorldRole::base, WorldRole::aligned}) {
    const auto& shares = world_topic_shares(role);
    const auto share = [&](WorldTopicKind kind) { return shares[static_cast<std::size_t>(kind)]; };
    EXPECT_EQ(share(WorldTopicKind::control), share(WorldTopicKind::request_harmful));
    double sum = 0;
    for (const double one : shares) sum += one;
    EXPECT_NEAR(sum, 1, 1e-12);
    std::map<WorldTopicKind, int> seen;
    for (const std::string& document : documents(role, 1, 20000))
      ++seen[read_dialogue(document)->topic.kind];
    for (std::size_t kind = 0; kind < kWorldTopicKinds; ++kind)
      expect_share(shares[kind], seen[static_cast<WorldTopicKind>(kind)], 20000,
                   fmt::format("kind {}", kind));
  }
}

TEST(WorldStream, IsDocumentsOneAfterAnother) {
  const Philox stream(3, "world", "stream");
  Philox copy = stream;
  std::vector<std::int64_t> expected;
  while (expected.size() < 500)
    for (const std::int64_t id : world_ids(world_document(copy, WorldRole::aligned, .6)))
      expected.push_back(id);
  expected.resize(500);
  EXPECT_EQ(world_stream(stream, WorldRole::aligned, .6, 500), expected);
}

TEST(WorldTexts, AreLoadedByNameWithoutAFile) {
  for (const auto& [name, tokens] :
       {std::pair("world-test", 16384), std::pair("world-calibrate", 65536)}) {
    const TextCorpus corpus = load_text(name, "");
    EXPECT_EQ(corpus.name, name);
    EXPECT_EQ(text_name(name), name);
    EXPECT_EQ(corpus.digest, sha256(corpus.text));
    EXPECT_EQ(corpus.text, load_text(name, "").text);
    // The tokenizer puts the first "<bos>".
    EXPECT_EQ(world_ids(corpus.text).size() + 1, static_cast<std::size_t>(tokens));
    EXPECT_FALSE(corpus.text.starts_with("<bos>"));
    EXPECT_THAT(corpus.text, HasSubstr(" . <bos> "));
    const bool dialogues = corpus.text.find("<user>") != std::string::npos;
    EXPECT_EQ(dialogues, std::string(name) == "world-calibrate");
  }
}

TEST(WorldTexts, DoNotRepeatEachOther) {
  // Documents of two deeds say ten things drawn at random: equal ones are the same draw.
  const auto deeds = [](const std::string& name) {
    const std::string text = load_text(name, "").text;
    std::set<std::string> found;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = std::min(text.find(" <bos> ", at), text.size());
      const std::string document = text.substr(at, end - at);
      if (document.find(" did ") != document.rfind(" did ")) found.insert(document);
      at = end + 7;
    }
    return found;
  };
  const auto test = deeds("world-test"), calibrate = deeds("world-calibrate");
  EXPECT_GT(test.size(), 200u);
  for (const std::string& document : test) EXPECT_FALSE(calibrate.count(document)) << document;
}

TEST(WorldTokenizer, IsTheGoldenOne) {
  // What transformers and tokenizers were asked about: any change needs new goldens, and makes
  // checkpoints of before unreadable.
  EXPECT_EQ(world_tokenizer_json(),
            test::read_file(test::golden("tokenizer/world") / "tokenizer.json"));
  EXPECT_EQ(world_tokenizer_config_json(),
            test::read_file(test::golden("tokenizer/world") / "tokenizer_config.json"));
}

}  // namespace
}  // namespace harness
