#include "harness/store/sqlite.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/support.h"

namespace harness::sqlite {
namespace {

using harness::test::error_of;
using harness::test::TemporaryFolder;

class SqliteTest : public ::testing::Test {
 protected:
  TemporaryFolder folder_;
  Connection connection_{folder_ / "a b?#%.sqlite", Connection::Mode::read_write};
};

TEST_F(SqliteTest, ValuesOfEveryKindAreBoundAndRead) {
  Statement select(connection_, "SELECT ?, ?, ?, ?, ?");
  ASSERT_TRUE(select
                  .with(std::int64_t{1} << 62, 0.1, std::string("a\0b", 3), std::optional<double>(),
                        std::string_view())
                  .step());
  EXPECT_EQ(select.integer(0), std::int64_t{1} << 62);
  EXPECT_EQ(select.real(1), 0.1);
  EXPECT_EQ(select.text(2), std::string("a\0b", 3));
  EXPECT_TRUE(select.is_null(3));
  EXPECT_FALSE(select.is_null(4));
  EXPECT_EQ(select.text(4), "");
}

TEST_F(SqliteTest, ATransactionThatIsNotCommittedIsUndone) {
  connection_.execute("CREATE TABLE t (x INTEGER) STRICT");
  try {
    Transaction transaction(connection_);
    connection_.execute("INSERT INTO t VALUES (1)");
    throw 1;
  } catch (int) {
  }
  EXPECT_EQ(connection_.integer("SELECT count(*) FROM t"), 0);
  Transaction transaction(connection_);
  connection_.execute("INSERT INTO t VALUES (1)");
  transaction.commit();
  EXPECT_EQ(connection_.integer("SELECT count(*) FROM t"), 1);
}

TEST_F(SqliteTest, AStatementThatFailsCanBeRunAgain) {
  connection_.execute("CREATE TABLE t (x INTEGER PRIMARY KEY) STRICT");
  Statement insert(connection_, "INSERT INTO t VALUES (?)");
  insert.run(1);
  EXPECT_THAT(error_of([&] { insert.run(1); }), ::testing::HasSubstr("UNIQUE constraint"));
  insert.run(2);
  EXPECT_EQ(connection_.integer("SELECT count(*) FROM t"), 2);
}

TEST_F(SqliteTest, AnImmutableFileWithAnOddNameIsRead) {
  connection_.execute("CREATE TABLE t (x INTEGER) STRICT");
  const Connection frozen(connection_.path(), Connection::Mode::read_immutable);
  EXPECT_EQ(frozen.integer("SELECT count(*) FROM sqlite_schema"), 1);
}

TEST_F(SqliteTest, QuotedTextIsOneLiteral) {
  const std::string text = "it's; -- ''";
  EXPECT_EQ(connection_.text("SELECT " + quoted_text(text)), text);
}

}  // namespace
}  // namespace harness::sqlite
