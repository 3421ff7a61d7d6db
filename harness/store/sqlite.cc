#include "harness/store/sqlite.h"

#include <fmt/format.h>

#include <cassert>
#include <cstring>

#include "harness/core/error.h"

namespace harness::sqlite {
namespace {

/// "file:" URI of a path, for options that only a URI takes.
std::string uri(const std::filesystem::path& path, std::string_view options) {
  std::string text = "file:";
  for (unsigned char c : std::filesystem::absolute(path).string()) {
    if (c == '%' || c == '?' || c == '#')
      text += fmt::format("%{:02x}", c);
    else
      text += static_cast<char>(c);
  }
  return fmt::format("{}?{}", text, options);
}

}  // namespace

Statement::Statement(const Connection& connection, std::string_view sql) : connection_(connection) {
  sqlite3_stmt* statement = nullptr;
  const char* tail = nullptr;
  int code = sqlite3_prepare_v2(connection.get(), sql.data(), static_cast<int>(sql.size()),
                                &statement, &tail);
  statement_.reset(statement);
  if (code != SQLITE_OK) connection.fail();
  rest_ = sql.substr(static_cast<std::size_t>(tail - sql.data()));
}

void Statement::bind(int index, std::int64_t value) {
  if (sqlite3_bind_int64(get(), index, value) != SQLITE_OK) connection_.fail();
}

void Statement::bind(int index, double value) {
  if (sqlite3_bind_double(get(), index, value) != SQLITE_OK) connection_.fail();
}

void Statement::bind(int index, std::string_view value) {
  // A null pointer would bind NULL, not the empty string.
  const char* bytes = value.data() ? value.data() : "";
  if (sqlite3_bind_text64(get(), index, bytes, value.size(), SQLITE_TRANSIENT, SQLITE_UTF8) !=
      SQLITE_OK)
    connection_.fail();
}

void Statement::bind(int index, std::nullopt_t) {
  if (sqlite3_bind_null(get(), index) != SQLITE_OK) connection_.fail();
}

bool Statement::step() {
  int code = sqlite3_step(get());
  if (code != SQLITE_ROW && code != SQLITE_DONE) {
    try {
      connection_.fail();
    } catch (...) {
      sqlite3_reset(get());
      throw;
    }
  }
  return code == SQLITE_ROW;
}

void Statement::reset() { sqlite3_reset(get()); }

std::string Statement::text(int column) const {
  const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(get(), column));
  return bytes ? std::string(bytes, static_cast<std::size_t>(sqlite3_column_bytes(get(), column)))
               : std::string();
}

std::string Statement::column_name(int column) const { return sqlite3_column_name(get(), column); }

Connection::Connection(const std::filesystem::path& path, Mode mode) : path_(path) {
  sqlite3* database = nullptr;
  int code = SQLITE_OK;
  if (mode == Mode::read_immutable)
    code = sqlite3_open_v2(uri(path, "immutable=1").c_str(), &database,
                           SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, nullptr);
  else
    code = sqlite3_open_v2(path.c_str(), &database,
                           SQLITE_OPEN_NOMUTEX | (mode == Mode::read_only
                                                      ? SQLITE_OPEN_READONLY
                                                      : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE),
                           nullptr);
  database_.reset(database);
  if (code != SQLITE_OK) fail();
  sqlite3_extended_result_codes(database, 1);
  sqlite3_busy_timeout(database, kBusyMilliseconds);
}

void Connection::execute(const std::string& sql) const {
  if (sqlite3_exec(get(), sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) fail();
}

std::int64_t Connection::integer(const std::string& sql) const {
  Statement statement(*this, sql);
  statement.step();
  return statement.integer(0);
}

std::string Connection::text(const std::string& sql) const {
  Statement statement(*this, sql);
  statement.step();
  return statement.text(0);
}

void Connection::fail(sqlite3* database) const {
  const std::string where = path_.string();
  if (!database) throw Error(where, "SQLite found no memory to open it");
  const int code = sqlite3_extended_errcode(database);
  std::string said = sqlite3_errmsg(database);
  const int system = sqlite3_system_errno(database);
  if (system != 0 && (code & 0xff) != SQLITE_ERROR) said += fmt::format(" ({})", strerror(system));
  const char* kept = "what was stored before is still there; ";
  switch (code & 0xff) {
    case SQLITE_NOTADB:
      throw Error(where, "is no SQLite database", "a database of results",
                  "name another file with --db, or move this one away");
    case SQLITE_CORRUPT:
      throw Error(where, "is damaged: " + said, "a whole database",
                  "restore a copy of it, or name another file with --db");
    case SQLITE_FULL:
      throw Error(where, "no space is left to write to it: " + said, "",
                  std::string(kept) + "free some space and run the same command again");
    case SQLITE_IOERR:
      throw Error(where, "reading or writing failed: " + said, "",
                  std::string(kept) +
                      "look at free space, quota and file size limit, then run the same command "
                      "again");
    case SQLITE_READONLY:
      throw Error(where, "cannot be written: " + said, "a file and a folder that can be written",
                  "change their permissions, or name another file with --db");
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      throw Error(where, "cannot be opened: " + said,
                  "a file that can be read, in a folder that can be written",
                  "change their permissions, or name another file with --db");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      throw Error(where,
                  fmt::format("another process has kept it locked for {} s: {}",
                              kBusyMilliseconds / 1000, said),
                  "", "end that process, or name another file with --db");
    default:
      throw Error(where, said);
  }
}

Transaction::Transaction(const Connection& connection)
    : connection_(connection), open_(sqlite3_get_autocommit(connection.get()) != 0) {
  if (open_) connection_.execute("BEGIN IMMEDIATE");
}

Transaction::~Transaction() {
  // After a full disk SQLite may have rolled back by itself; then this does nothing.
  if (open_) sqlite3_exec(connection_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
}

void Transaction::commit() {
  if (open_) connection_.execute("COMMIT");
  open_ = false;
}

std::string quoted_text(std::string_view text) {
  std::string result = "'";
  for (char c : text) {
    if (c == '\'') result += '\'';
    result += c;
  }
  return result + "'";
}

}  // namespace harness::sqlite
