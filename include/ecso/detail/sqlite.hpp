#pragma once

#include <ecso/error.hpp>

#include <sqlite3.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace ecso::detail {

/// One connection to an SQLite database. Not thread safe.
class SqliteDatabase {
 public:
  /// Opens a file that exists.
  /// @throws Error as `fail` says.
  SqliteDatabase(const std::filesystem::path& file, std::chrono::milliseconds busy_timeout) : name_{file.string()} {
    sqlite3* opened = nullptr;
    const int code = sqlite3_open_v2(name_.c_str(), &opened, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
    database_.reset(opened);
    if (code != SQLITE_OK) fail(code);
    set_busy_timeout(busy_timeout);
  }

  /// How long a statement waits for another connection that writes.
  void set_busy_timeout(std::chrono::milliseconds time) { sqlite3_busy_timeout(database_.get(), static_cast<int>(time.count())); }

  /// Runs statements that give nothing.
  void run(const char* sql) {
    const int code = sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr);
    if (code != SQLITE_OK) fail(code);
  }

  /// @throws Error: `bad_input`, saying what to do, if the file is damaged, no database, or may not be opened or written;
  /// else `unavailable`, as it may be locked or the disk full.
  [[noreturn]] void fail(int code) const {
    const std::string reason = sqlite3_errstr(code);
    switch (code & 0xFF) {
      case SQLITE_NOTADB:
      case SQLITE_CORRUPT: bad_input(reason + ": move it away or delete it, and a new one is made");
      case SQLITE_CANTOPEN:
      case SQLITE_READONLY:
      case SQLITE_PERM:
      case SQLITE_AUTH: bad_input(reason + ": the file and its folder must be writable");
      default: throw Error{Errc::unavailable, "SQLite: " + reason, {.endpoint = name_}};
    }
  }

  [[noreturn]] void bad_input(const std::string& reason) const {
    throw Error{Errc::bad_input, "SQLite: " + reason, {.endpoint = name_}};
  }

  [[nodiscard]] sqlite3* get() const noexcept { return database_.get(); }

 private:
  struct Close {
    void operator()(sqlite3* database) const noexcept { sqlite3_close_v2(database); }
  };

  std::string name_;
  std::unique_ptr<sqlite3, Close> database_;
};

/// A statement that is compiled once and used often; the database must outlive it.
class SqliteStatement {
 public:
  SqliteStatement(const SqliteDatabase& database, std::string_view sql) : database_{database} {
    sqlite3_stmt* prepared = nullptr;
    const int code = sqlite3_prepare_v3(database.get(), sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT,
                                        &prepared, nullptr);
    statement_.reset(prepared);
    if (code != SQLITE_OK) database.fail(code);
  }

  /// One use of the statement, from its parameters to its rows; what it was given must live as long.
  class Use {
   public:
    explicit Use(SqliteStatement& statement) : statement_{statement} {}
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;
    ~Use() {
      sqlite3_reset(statement_.get());
      sqlite3_clear_bindings(statement_.get());
    }

    Use& text(int parameter, std::string_view value) {
      return check(sqlite3_bind_text64(statement_.get(), parameter, value.data(), value.size(), nullptr, SQLITE_UTF8));
    }
    Use& blob(int parameter, std::string_view value) {
      return check(sqlite3_bind_blob64(statement_.get(), parameter, value.data(), value.size(), nullptr));
    }
    Use& integer(int parameter, std::int64_t value) { return check(sqlite3_bind_int64(statement_.get(), parameter, value)); }

    /// Whether there is a row; goes on to the next.
    bool step() {
      const int code = sqlite3_step(statement_.get());
      if (code != SQLITE_ROW && code != SQLITE_DONE) statement_.database_.fail(code);
      return code == SQLITE_ROW;
    }

    [[nodiscard]] std::string blob_at(int column) const {
      const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement_.get(), column));
      return bytes == nullptr ? std::string{}
                              : std::string(bytes, static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column)));
    }
    [[nodiscard]] std::int64_t integer_at(int column) const { return sqlite3_column_int64(statement_.get(), column); }

   private:
    Use& check(int code) {
      if (code != SQLITE_OK) statement_.database_.fail(code);
      return *this;
    }

    SqliteStatement& statement_;
  };

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const noexcept { sqlite3_finalize(statement); }
  };

  [[nodiscard]] sqlite3_stmt* get() const noexcept { return statement_.get(); }

  const SqliteDatabase& database_;
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

/// A transaction that writes; undone unless committed.
class SqliteTransaction {
 public:
  explicit SqliteTransaction(SqliteDatabase& database) : database_{database} { database_.run("BEGIN IMMEDIATE"); }
  SqliteTransaction(const SqliteTransaction&) = delete;
  SqliteTransaction& operator=(const SqliteTransaction&) = delete;
  ~SqliteTransaction() {
    // Some failures have undone it already.
    if (sqlite3_get_autocommit(database_.get()) == 0) sqlite3_exec(database_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
  }

  void commit() { database_.run("COMMIT"); }

 private:
  SqliteDatabase& database_;
};

}  // namespace ecso::detail
