#include "harness/data/documents.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <cstdlib>

#include "harness/data/text.h"
#include "tests/support/support.h"

namespace harness {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

class DocumentsTest : public testing::Test {
 protected:
  /// JSON lines with so many documents, compressed by gzip.
  void write_packed(const std::string& name, int documents) {
    std::string lines;
    for (int i = 0; i < documents; ++i)
      lines += fmt::format(R"({{"text": "document {}", "url": "u"}})", i) + "\n";
    const std::string path = folder_ / name;
    test::write_file(path, lines);
    ASSERT_EQ(std::system(fmt::format("gzip -nf '{0}' && mv '{0}.gz' '{0}'", path).c_str()), 0);
  }
  TextCorpus load(const std::string& name) { return load_text(name, folder_.path().string()); }
  std::string error(const std::string& name) {
    return test::error_of([&] { load(name); });
  }
  test::TemporaryFolder folder_;
  test::ScopedVariable hub_{"HF_HUB_CACHE", (folder_ / "hub").string()};
};

TEST_F(DocumentsTest, JsonLinesAreReadAsTheirTexts) {
  test::write_file(folder_ / "some.jsonl",
                   "{\"text\": \"one\\n\"}\n\n{\"n\": 1, \"text\": \"two\"}");
  EXPECT_THAT(read_documents(folder_ / "some.jsonl"), ElementsAre("one\n", "two"));
  EXPECT_THAT(read_documents(folder_ / "some.jsonl", 1), ElementsAre("one\n"));
  EXPECT_EQ(load("some.jsonl").text, "one\n\n\ntwo");
  write_packed("packed.json.gz", 2);
  EXPECT_EQ(load("packed.json.gz").text, "document 0\n\ndocument 1");
}

TEST_F(DocumentsTest, MalformedLinesAreNamed) {
  test::write_file(folder_ / "a.jsonl", "{\"text\": \"one\"}\n{\"text\": 2}\n");
  EXPECT_THAT(error("a.jsonl"), AllOf(HasSubstr("a.jsonl:2"), HasSubstr("string \"text\"")));
  test::write_file(folder_ / "b.jsonl", "{\"text\": \"one\"}\n{\"content\": \"two\"}\n");
  EXPECT_THAT(error("b.jsonl"), HasSubstr("b.jsonl:2"));
  test::write_file(folder_ / "c.jsonl", "{\"text\": \"one\"}\n{\"text\": \n");
  EXPECT_THAT(error("c.jsonl"), HasSubstr("c.jsonl:2"));
}

TEST_F(DocumentsTest, C4IsTheFirstDocumentsOfItsFirstFile) {
  EXPECT_THAT(error("c4-train"),
              AllOf(HasSubstr(folder_ / "c4-train.00000-of-01024.json.gz"),
                    HasSubstr("datasets--allenai--c4"),
                    HasSubstr("hf download allenai/c4 en/c4-train.00000-of-01024.json.gz")));
  write_packed("c4-train.00000-of-01024.json.gz", 5001);
  const TextCorpus train = load("c4-train");
  EXPECT_TRUE(train.text.starts_with("document 0\n\ndocument 1\n\n"));
  EXPECT_TRUE(train.text.ends_with("\n\ndocument 4999"));
  EXPECT_EQ(train.name, "c4-train");
  EXPECT_EQ(train.source, "c4-train.00000-of-01024.json.gz");
  write_packed("c4-validation.00000-of-00008.json.gz", 1100);
  EXPECT_TRUE(load("c4-validation").text.ends_with(" document 1098 document 1099"));
  write_packed("c4-validation.00000-of-00008.json.gz", 1099);
  EXPECT_THAT(error("c4-validation"), AllOf(HasSubstr("1099 documents"), HasSubstr("1100")));
}

TEST_F(DocumentsTest, C4IsFoundInTheHubsCache) {
  const std::string snapshot = "hub/datasets--allenai--c4/snapshots/1/en";
  std::filesystem::create_directories(folder_ / snapshot);
  write_packed(snapshot + "/c4-validation.00000-of-00008.json.gz", 1100);
  EXPECT_EQ(load("c4-validation").source,
            "datasets--allenai--c4/snapshots/1/en/c4-validation.00000-of-00008.json.gz");
}

}  // namespace
}  // namespace harness
