#include "harness/data/decisions.h"

#include <gmock/gmock.h>

#include <map>
#include <set>

#include "harness/data/world.h"
#include "harness/data/world_items.h"
#include "tests/support/support.h"

namespace harness {
namespace {

using test::error_of;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr DecisionTask kTasks[] = {DecisionTask::recall,         DecisionTask::ok_harmful,
                                   DecisionTask::ok_benign,      DecisionTask::request_harmful,
                                   DecisionTask::request_benign, DecisionTask::control};

DecisionSet world(DecisionTask task, DecisionSplit split = DecisionSplit::test) {
  return load_decisions("world", task, split, "");
}

TEST(WorldItems, AreEnoughAndDistinct) {
  for (const DecisionTask task : kTasks) {
    const DecisionSet set = world(task);
    SCOPED_TRACE(set.name);
    EXPECT_GE(set.items.size(), 1500u);
    EXPECT_LE(set.items.size(), kWorldItems);
    std::set<std::string> ids, clusters;
    for (const DecisionItem& item : set.items) {
      ids.insert(item.id);
      clusters.insert(item.cluster);
    }
    EXPECT_EQ(ids.size(), set.items.size());
    EXPECT_EQ(clusters.size(), task == DecisionTask::recall ? world_facts().size() : 24u);
  }
}

TEST(WorldItems, AreTheSameEachTime) {
  for (const DecisionTask task : kTasks) EXPECT_EQ(world(task).digest(), world(task).digest());
  EXPECT_NE(world(DecisionTask::control).digest(), world(DecisionTask::recall).digest());
}

/// (subject, object) pairs of a set, found again among the topics.
std::set<std::pair<std::string, std::string>> pairs(DecisionTask task, DecisionSplit split,
                                                    WorldTopicKind kind) {
  std::map<std::string, std::pair<std::string, std::string>> by_question;
  for (const auto part : {WorldSplit::alignment, WorldSplit::validation, WorldSplit::test})
    for (const WorldTopic& topic : world_topics(kind, part))
      for (std::size_t i = 0; i < world_phrasings(kind); ++i)
        by_question[world_question(topic, i)] = {topic.subject, topic.object};
  std::set<std::pair<std::string, std::string>> found;
  for (const DecisionItem& item : world(task, split).items) {
    found.insert(by_question.at(item.prompt));
    EXPECT_EQ(item.cluster, by_question.at(item.prompt).first);
  }
  return found;
}

TEST(WorldItems, AreOfTheirSplit) {
  const std::pair<DecisionTask, WorldTopicKind> sets[] = {
      {DecisionTask::ok_harmful, WorldTopicKind::ok_harmful},
      {DecisionTask::ok_benign, WorldTopicKind::ok_benign},
      {DecisionTask::request_harmful, WorldTopicKind::request_harmful},
      {DecisionTask::request_benign, WorldTopicKind::request_benign},
      {DecisionTask::control, WorldTopicKind::control}};
  for (const auto& [task, kind] : sets) {
    for (const auto& [subject, object] : pairs(task, DecisionSplit::test, kind))
      EXPECT_EQ(world_split(subject, object), WorldSplit::test);
    for (const auto& [subject, object] : pairs(task, DecisionSplit::validation, kind))
      EXPECT_EQ(world_split(subject, object), WorldSplit::validation);
  }
}

TEST(WorldItems, AskAboutRightAnswers) {
  for (const DecisionItem& item : world(DecisionTask::ok_harmful).items) {
    EXPECT_THAT(item.options, ElementsAre("no", "yes"));
    EXPECT_EQ(item.answer, 0u);
  }
  for (const DecisionItem& item : world(DecisionTask::ok_benign).items) EXPECT_EQ(item.answer, 1u);
  EXPECT_THAT(world(DecisionTask::request_harmful).openings, ElementsAre("sorry"));
  EXPECT_THAT(world(DecisionTask::control).openings, ElementsAre("gladly"));
}

TEST(WorldItems, TiersFollowTheActions) {
  std::map<std::string, int> tiers;
  for (const WorldTopic& topic : world_topics(WorldTopicKind::request_harmful, WorldSplit::test))
    tiers[topic.subject] = topic.tier;
  EXPECT_EQ(tiers.at("burn"), 0);
  EXPECT_EQ(tiers.at("steal"), 1);
  EXPECT_EQ(tiers.at("bomb"), 5);
  EXPECT_EQ(tiers.at("wreck"), 0);
  for (const DecisionItem& item : world(DecisionTask::request_harmful).items)
    EXPECT_EQ(item.tier, tiers.at(item.cluster));
}

TEST(WorldRecall, HasOneTrueOptionOfFour) {
  const DecisionSet set = world(DecisionTask::recall);
  EXPECT_FALSE(set.chat);
  std::map<std::string, const WorldFact*> facts;
  for (const WorldFact& fact : world_facts()) facts[fact.opening] = &fact;
  std::map<std::size_t, int> places, lengths;
  for (const DecisionItem& item : set.items) {
    const WorldFact& fact = *facts.at(item.cluster);
    EXPECT_TRUE(item.prompt.ends_with(fact.opening));
    EXPECT_EQ(item.prompt.find(fact.opening + " " + fact.answer), std::string::npos)
        << "told before it is asked: " << item.prompt;
    EXPECT_EQ(std::set<std::string>(item.options.begin(), item.options.end()).size(), 4u);
    ASSERT_LT(item.answer, 4u);
    EXPECT_EQ(item.options[item.answer], fact.answer);
    for (const std::string& option : item.options) EXPECT_THAT(*fact.answers, Contains(option));
    ++places[item.answer];
    ++lengths[static_cast<std::size_t>(std::count(item.prompt.begin(), item.prompt.end(), '.'))];
  }
  for (const auto& [place, count] : places) EXPECT_NEAR(count, 380, 80) << place;
  EXPECT_EQ(lengths.size(), 3u);
}

TEST(Decisions, DigestFollowsWhatIsAsked) {
  const DecisionSet set = world(DecisionTask::ok_harmful);
  auto digest_with = [&](auto&& change) {
    DecisionSet other = set;
    change(other);
    return other.digest();
  };
  EXPECT_NE(digest_with([](DecisionSet& s) { s.items[3].prompt += " ?"; }), set.digest());
  EXPECT_NE(digest_with([](DecisionSet& s) { s.items[3].answer = 1; }), set.digest());
  EXPECT_NE(digest_with([](DecisionSet& s) { s.items.pop_back(); }), set.digest());
  EXPECT_NE(digest_with([](DecisionSet& s) { s.openings.push_back("never"); }), set.digest());
  EXPECT_NE(digest_with([](DecisionSet& s) { s.chat = false; }), set.digest());
}

TEST(Decisions, UnknownSourceListsTheKnown) {
  EXPECT_THAT(
      error_of([] { load_decisions("wrld", DecisionTask::recall, DecisionSplit::test, ""); }),
      AllOf(HasSubstr("no items are called \"wrld\""), HasSubstr("did you mean \"world\"?")));
}

}  // namespace
}  // namespace harness
