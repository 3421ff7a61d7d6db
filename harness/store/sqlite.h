#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

// A thin C++ face of SQLite's C interface, for this room only: objects own what they hold, and
// every failure is an Error that names the file and says what to do.

namespace harness::sqlite {

/// How long a write waits for another process before it gives up.
inline constexpr int kBusyMilliseconds = 60'000;

class Connection;

/// A prepared statement. Parameters are numbered from 1, columns from 0.
class Statement {
 public:
  /// Prepares the first statement of `sql`; what follows it is rest().
  Statement(const Connection& connection, std::string_view sql);

  void bind(int index, std::int64_t value);
  void bind(int index, int value) { bind(index, std::int64_t{value}); }
  void bind(int index, double value);
  void bind(int index, std::string_view value);
  void bind(int index, const char* value) { bind(index, std::string_view(value)); }
  void bind(int index, std::nullopt_t);
  template <class T>
  void bind(int index, const std::optional<T>& value) {
    if (value)
      bind(index, *value);
    else
      bind(index, std::nullopt);
  }
  /// Binds all parameters, in order, and starts afresh.
  template <class... Values>
  Statement& with(const Values&... values) {
    reset();
    int index = 0;
    (bind(++index, values), ...);
    return *this;
  }

  /// Goes to the next row; false when there is none.
  bool step();
  /// Runs to the end with these parameters.
  template <class... Values>
  void run(const Values&... values) {
    with(values...);
    while (step()) {
    }
    reset();
  }
  void reset();

  bool is_null(int column) const { return type(column) == SQLITE_NULL; }
  int type(int column) const { return sqlite3_column_type(statement_.get(), column); }
  std::int64_t integer(int column) const { return sqlite3_column_int64(statement_.get(), column); }
  double real(int column) const { return sqlite3_column_double(statement_.get(), column); }
  std::string text(int column) const;
  int columns() const { return sqlite3_column_count(statement_.get()); }
  std::string column_name(int column) const;

  sqlite3_stmt* get() const { return statement_.get(); }
  std::string_view rest() const { return rest_; }

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  const Connection& connection_;
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  std::string_view rest_;
};

/// Of one thread: SQLite takes no lock of its own.
class Connection {
 public:
  enum class Mode {
    read_only,
    read_immutable,  // takes no lock and makes no file beside it: for a folder that cannot be
                     // written
    read_write,      // makes the file where there is none
  };
  Connection(const std::filesystem::path& path, Mode mode);

  const std::filesystem::path& path() const { return path_; }
  sqlite3* get() const { return database_.get(); }

  /// Runs any number of statements.
  void execute(const std::string& sql) const;
  /// The first column of the first row.
  std::int64_t integer(const std::string& sql) const;
  std::string text(const std::string& sql) const;

  /// Throws the Error that stands for the last result code of this connection.
  [[noreturn]] void fail() const { fail(get()); }

 private:
  struct Close {
    void operator()(sqlite3* database) const { sqlite3_close_v2(database); }
  };
  [[noreturn]] void fail(sqlite3* database) const;

  std::filesystem::path path_;
  std::unique_ptr<sqlite3, Close> database_;
};

/// A write transaction. It takes the write lock at once (BEGIN IMMEDIATE), so that it waits for
/// other writers before it starts and never in the middle; without commit() all is undone. Inside
/// of another one it is a part of that.
class Transaction {
 public:
  explicit Transaction(const Connection& connection);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void commit();

 private:
  const Connection& connection_;
  bool open_;
};

/// An SQL string literal.
std::string quoted_text(std::string_view text);

}  // namespace harness::sqlite
