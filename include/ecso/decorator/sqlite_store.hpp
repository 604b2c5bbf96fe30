#pragma once

#include <ecso/decorator/reply_store.hpp>
#include <ecso/detail/sqlite.hpp>
#include <ecso/error.hpp>

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <system_error>
#include <unordered_map>

namespace ecso {

/// How a `SqliteStore` keeps its file.
struct SqliteStoreOptions {
  /// What the file may take; its write-ahead log comes on top, some 4 MiB. At least 64 KiB.
  std::size_t max_bytes = std::size_t{256} * 1024 * 1024;
  /// Replies kept longer ago are not given any more, since a server may change its model behind a name. 0 sets no limit.
  std::chrono::seconds max_age = std::chrono::hours{24 * 7};
  /// How long saving waits for another process that writes; the store's other calls wait behind it. Loading needs no such lock.
  std::chrono::milliseconds busy_timeout{250};
};

/// Keeps replies in an SQLite file, which several stores and processes may share. When it is full, what was used longest ago
/// goes; uses are written with the next `save` and at the end, so that loading needs no lock. Thread safe; not to be carried over
/// a fork. Component `sqlite`. POSIX.
///
///     ecso::SqliteStore store{"replies.sqlite"};
class SqliteStore final : public ReplyStore {
 public:
  /// Opens the file, or makes it, readable by its owner alone.
  /// @throws Error that names the file and what to do: `bad_input` if it is damaged, another program's, of a newer ecso, writable
  /// by everybody, or not to be opened; `unavailable` if another process keeps it locked.
  explicit SqliteStore(const std::filesystem::path& file, SqliteStoreOptions options = {})
      // Absolute, since SQLite reads some names another way, such as ":memory:".
      : options_{checked(options)}, database_{made(std::filesystem::absolute(file)), opening_timeout} {
    database_.run("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON");
    // A value of another size was not written by a store.
    sqlite3_limit(database_.get(), SQLITE_LIMIT_LENGTH, static_cast<int>(std::min(options_.max_bytes, most_value_bytes)));
    if (!has_schema()) make_schema();
    database_.run("PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 4194304");
    load_.emplace(database_, "SELECT value FROM reply WHERE key = ?1 AND created >= ?2");
    save_.emplace(database_, "INSERT OR REPLACE INTO reply(key, value, created, used) VALUES(?1, ?2, ?3, ?3)");
    touch_.emplace(database_, "UPDATE reply SET used = ?2 WHERE key = ?1 AND used < ?2");
    used_bytes_.emplace(database_,
                        "SELECT (page_count - freelist_count) * page_size "
                        "FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()");
    evict_.emplace(database_,
                   "DELETE FROM reply WHERE key IN (SELECT key FROM reply ORDER BY used "
                   "LIMIT max(1, (SELECT count(*) FROM reply) / 16))");
    database_.set_busy_timeout(options_.busy_timeout);
  }

  ~SqliteStore() override {
    if (uses_.empty()) return;
    try {
      detail::SqliteTransaction transaction{database_};
      write_uses();
      transaction.commit();
    } catch (...) {
      // Only the order of eviction suffers.
      return;
    }
  }

  [[nodiscard]] std::optional<std::string> load(const std::string& key) override {
    const std::lock_guard lock{mutex_};
    const std::int64_t time = now();
    const std::int64_t age = std::chrono::microseconds{options_.max_age}.count();
    detail::SqliteStatement::Use use{*load_};
    if (!use.text(1, key).integer(2, age == 0 ? 0 : time - age).step()) return std::nullopt;
    if (uses_.size() < max_uses || uses_.contains(key)) uses_[key] = time;
    return use.blob_at(0);
  }

  void save(const std::string& key, const std::string& value) override {
    if (value.size() > options_.max_bytes / 4) return;
    const std::lock_guard lock{mutex_};
    detail::SqliteTransaction transaction{database_};
    write_uses();
    detail::SqliteStatement::Use{*save_}.text(1, key).blob(2, value).integer(3, now()).step();
    while (used_bytes() > options_.max_bytes) {
      detail::SqliteStatement::Use{*evict_}.step();
      if (sqlite3_changes(database_.get()) == 0) break;
    }
    transaction.commit();
    uses_.clear();
  }

 private:
  /// "ecso" in ASCII; stands in the file's header.
  static constexpr std::int64_t application_id = 0x6563736F;
  static constexpr std::int64_t schema = 1;
  static constexpr std::size_t most_value_bytes = std::size_t{256} * 1024 * 1024;
  static constexpr std::size_t max_uses = 16'384;
  static constexpr std::chrono::milliseconds opening_timeout{5'000};

  [[nodiscard]] static SqliteStoreOptions checked(SqliteStoreOptions options) {
    using namespace std::chrono_literals;
    const bool in_range = options.max_bytes >= std::size_t{64} * 1024 && options.max_age >= 0s &&
                          options.max_age <= std::chrono::hours{24 * 365'000} && options.busy_timeout >= 0ms &&
                          options.busy_timeout <= std::chrono::hours{1};
    if (!in_range) throw Error{Errc::bad_input, "SQLite store: an option is out of range"};
    return options;
  }

  /// The file, which is made if it is not there: SQLite would let others read it.
  [[nodiscard]] static std::filesystem::path made(std::filesystem::path file) {
    const auto bad = [&](const std::string& reason) {
      return Error{Errc::bad_input, "SQLite: " + reason, {.endpoint = file.string()}};
    };
    const int descriptor = ::open(file.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK, S_IRUSR | S_IWUSR);
    if (descriptor < 0) throw bad("the file cannot be opened: " + std::generic_category().message(errno));
    struct ::stat status{};
    const int result = ::fstat(descriptor, &status);
    ::close(descriptor);
    if (result != 0 || !S_ISREG(status.st_mode)) throw bad("not a regular file");
    if ((status.st_mode & S_IWOTH) != 0)
      throw bad("everybody may write this file, and so say what is harmful: take that right away (chmod o-w), or delete it");
    return file;
  }

  [[nodiscard]] static std::int64_t now() {
    const auto time = std::chrono::system_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::microseconds>(time).count();
  }

  [[nodiscard]] std::int64_t number(const char* sql) const {
    detail::SqliteStatement statement{database_, sql};
    detail::SqliteStatement::Use use{statement};
    return use.step() ? use.integer_at(0) : 0;
  }

  /// Whether the tables are there; not, if the file is empty.
  [[nodiscard]] bool has_schema() const {
    if (number("SELECT count(*) FROM sqlite_master") == 0) return false;
    if (number("PRAGMA application_id") != application_id)
      database_.bad_input("this is another program's database: name another file");
    const std::int64_t found = number("PRAGMA user_version");
    if (found > schema) {
      database_.bad_input("written by a newer ecso (schema " + std::to_string(found) + ", this one knows " +
                          std::to_string(schema) + "): update ecso, or name another file");
    }
    if (found < schema) database_.bad_input("no schema number: move it away or delete it, and a new one is made");
    return true;
  }

  void make_schema() {
    // Readers and a writer side by side. The file stays so: if another process is at it just now, it does the same.
    sqlite3_exec(database_.get(), "PRAGMA journal_mode = WAL", nullptr, nullptr, nullptr);
    detail::SqliteTransaction transaction{database_};
    if (has_schema()) return;
    database_.run(
        "CREATE TABLE reply(key TEXT PRIMARY KEY, value BLOB NOT NULL, created INTEGER NOT NULL, used INTEGER NOT NULL);"
        "CREATE INDEX reply_used ON reply(used)");
    database_.run(("PRAGMA application_id = " + std::to_string(application_id)).c_str());
    database_.run(("PRAGMA user_version = " + std::to_string(schema)).c_str());
    transaction.commit();
  }

  void write_uses() {
    for (const auto& [key, time] : uses_) detail::SqliteStatement::Use{*touch_}.text(1, key).integer(2, time).step();
  }

  [[nodiscard]] std::size_t used_bytes() {
    detail::SqliteStatement::Use use{*used_bytes_};
    use.step();
    return static_cast<std::size_t>(use.integer_at(0));
  }

  SqliteStoreOptions options_;
  std::mutex mutex_;
  std::unordered_map<std::string, std::int64_t> uses_;  // Not written yet.
  detail::SqliteDatabase database_;
  std::optional<detail::SqliteStatement> load_;
  std::optional<detail::SqliteStatement> save_;
  std::optional<detail::SqliteStatement> touch_;
  std::optional<detail::SqliteStatement> used_bytes_;
  std::optional<detail::SqliteStatement> evict_;
};

}  // namespace ecso
