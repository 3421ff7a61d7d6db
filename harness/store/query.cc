#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>
#include <string_view>

#include "harness/core/error.h"
#include "harness/core/text.h"
#include "harness/store/result_store.h"
#include "harness/store/state.h"

// ResultStore::query: statements that other people wrote, so that nothing but reading is let
// through.

namespace harness {
using sqlite::Connection;
using sqlite::Statement;

namespace {

bool harmless_pragma(std::string_view name, const char* argument) {
  static const std::set<std::string_view> about_tables = {
      "table_info", "table_xinfo", "table_list", "index_list", "index_info", "foreign_key_list"};
  static const std::set<std::string_view> about_file = {"application_id", "user_version",
                                                        "integrity_check"};
  return about_tables.count(name) || (!argument && about_file.count(name));
}

/// While it lives, the connection refuses what sqlite3_stmt_readonly lets through although it does
/// more than read this database: ATTACH, transactions, PRAGMAs that set something, extensions.
class OnlyReading {
 public:
  explicit OnlyReading(const Connection& connection) : connection_(connection) {
    sqlite3_set_authorizer(connection_.get(), allow, this);
  }
  ~OnlyReading() { sqlite3_set_authorizer(connection_.get(), nullptr, nullptr); }
  OnlyReading(const OnlyReading&) = delete;
  OnlyReading& operator=(const OnlyReading&) = delete;
  bool refused() const { return refused_; }

 private:
  static int allow(void* self, int action, const char* first, const char* second, const char*,
                   const char*) {
    const bool refused = action == SQLITE_ATTACH || action == SQLITE_DETACH ||
                         action == SQLITE_TRANSACTION || action == SQLITE_SAVEPOINT ||
                         (action == SQLITE_PRAGMA && !harmless_pragma(first, second)) ||
                         (action == SQLITE_FUNCTION && std::strcmp(second, "load_extension") == 0);
    if (!refused) return SQLITE_OK;
    static_cast<OnlyReading*>(self)->refused_ = true;
    return SQLITE_DENY;
  }

  const Connection& connection_;
  bool refused_ = false;
};

[[noreturn]] void throw_not_reading(const std::string& where) {
  throw Error(where, "the statement would do more than read", "one SELECT (or WITH ... SELECT)",
              "results are written by harness run only");
}

std::vector<std::string> names(const Connection& connection, const char* sql) {
  Statement select(connection, sql);
  std::vector<std::string> result;
  while (select.step()) result.push_back(select.text(0));
  return result;
}

/// What SQLite says of a wrong statement, and which table or column may have been meant.
[[noreturn]] void throw_wrong_statement(const Connection& connection, const std::string& said) {
  std::string expected, remedy;
  auto suggest = [&](std::string_view prefix, const std::vector<std::string>& candidates) {
    std::string word = said.substr(prefix.size());
    word = word.substr(word.rfind('.') == std::string::npos ? 0 : word.rfind('.') + 1);
    remedy = did_you_mean(word, candidates);
  };
  const std::string_view no_table = "no such table: ", no_column = "no such column: ";
  if (said.compare(0, no_table.size(), no_table) == 0) {
    const auto tables = names(connection,
                              "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') "
                              "ORDER BY type DESC, name");
    expected = fmt::format("one of {}", fmt::join(tables, ", "));
    suggest(no_table, tables);
  } else if (said.compare(0, no_column.size(), no_column) == 0) {
    suggest(no_column,
            names(connection,
                  "SELECT DISTINCT c.name FROM sqlite_schema t, pragma_table_info(t.name) c "
                  "WHERE t.type IN ('table', 'view')"));
    if (remedy.empty()) remedy = "PRAGMA table_info(results) lists the columns of the view results";
  }
  throw Error(connection.path().string(), said, expected, remedy);
}

/// Whether more than comments follows the first statement.
bool has_second_statement(const Connection& connection, std::string_view rest) {
  try {
    return Statement(connection, rest).get() != nullptr;
  } catch (const Error&) {
    return true;  // a wrong one
  }
}

/// The one statement that `sql` holds.
Statement prepare(const Connection& connection, const std::string& sql) {
  const std::string where = connection.path().string();
  auto first = [&] {
    OnlyReading only(connection);
    try {
      return Statement(connection, sql);
    } catch (const Error&) {
      if (only.refused()) throw_not_reading(where);
      if (sqlite3_errcode(connection.get()) != SQLITE_ERROR) throw;
    }
    throw_wrong_statement(connection, sqlite3_errmsg(connection.get()));
  };
  Statement statement = first();
  if (!statement.get())
    throw Error(where, "the statement is empty", "one SELECT, such as \"SELECT * FROM results\"");
  if (!sqlite3_stmt_readonly(statement.get())) throw_not_reading(where);
  if (has_second_statement(connection, statement.rest()))
    throw Error(where, "there is more than one statement", "one SELECT", "run them one by one");
  return statement;
}

/// The one statement that `sql` holds, with its parameters.
Statement prepare(const Connection& connection, const std::string& sql,
                  const ResultStore::Parameters& parameters) {
  Statement statement = prepare(connection, sql);
  for (int i = 1; i <= sqlite3_bind_parameter_count(statement.get()); ++i) {
    const char* name = sqlite3_bind_parameter_name(statement.get(), i);
    auto given = std::find_if(parameters.begin(), parameters.end(), [&](const auto& parameter) {
      return name && parameter.first == name + 1;  // after the ':'
    });
    if (given == parameters.end())
      throw Error(connection.path().string(),
                  fmt::format("the statement's parameter {} has no value", name ? name : "?"));
    statement.bind(i, given->second);
  }
  return statement;
}

}  // namespace

ResultStore::ResultSet ResultStore::query(const std::string& sql,
                                          const Parameters& parameters) const {
  Statement statement = prepare(state_->connection, sql, parameters);
  ResultSet result;
  for (int c = 0; c < statement.columns(); ++c) result.columns.push_back(statement.column_name(c));
  while (statement.step()) {
    std::vector<std::optional<std::string>> row;
    std::vector<bool> numeric;
    for (int c = 0; c < statement.columns(); ++c) {
      const int type = statement.type(c);
      numeric.push_back(type == SQLITE_INTEGER || type == SQLITE_FLOAT);
      if (type == SQLITE_NULL)
        row.emplace_back();
      else if (type == SQLITE_FLOAT)
        row.emplace_back(shortest(statement.real(c)));
      else
        row.emplace_back(statement.text(c));
    }
    result.rows.push_back(std::move(row));
    result.numeric.push_back(std::move(numeric));
  }
  return result;
}

void ResultStore::for_each(const std::string& sql, const Parameters& parameters,
                           const std::function<void(const Row&)>& take) const {
  Statement statement = prepare(state_->connection, sql, parameters);
  while (statement.step()) take(Row(statement.get()));
}

std::string_view ResultStore::Row::text(int column) const {
  const unsigned char* bytes = sqlite3_column_text(statement_, column);
  if (!bytes) return {};
  return {reinterpret_cast<const char*>(bytes),
          static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

double ResultStore::Row::real(int column) const {
  if (sqlite3_column_type(statement_, column) == SQLITE_NULL) return std::nan("");
  return sqlite3_column_double(statement_, column);
}

std::int64_t ResultStore::Row::integer(int column) const {
  return sqlite3_column_int64(statement_, column);
}

}  // namespace harness
