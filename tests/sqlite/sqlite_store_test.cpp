#include <ecso/decorator/sqlite_store.hpp>

#include <ecso/core/protocol_json.hpp>
#include <ecso/decorator/cache.hpp>
#include <ecso/ecso.hpp>

#include "support/catch.hpp"

#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace sqlite_store_test {

namespace {

using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;

/// A folder of its own for a test, gone with it.
class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "ecso-store-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error{"no temporary folder"};
    path_ = name;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path_); }

  [[nodiscard]] std::filesystem::path operator/(const char* name) const { return path_ / name; }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// A connection of somebody else's.
class Stranger {
 public:
  explicit Stranger(const std::filesystem::path& file) { REQUIRE(sqlite3_open(file.c_str(), &database_) == SQLITE_OK); }
  Stranger(const Stranger&) = delete;
  Stranger& operator=(const Stranger&) = delete;
  ~Stranger() { sqlite3_close(database_); }

  void run(const std::string& sql) {
    INFO(sql);
    REQUIRE(sqlite3_exec(database_, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK);
  }

 private:
  sqlite3* database_ = nullptr;
};

void write_file(const std::filesystem::path& file, const std::string& bytes) {
  std::ofstream{file, std::ios::binary} << bytes;
  std::filesystem::permissions(file, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST_CASE("an SQLite store keeps replies for the next time", "[sqlite]") {
  const Folder folder;
  const std::string value{"any bytes: \0\xFF\n", 14};
  {
    ecso::SqliteStore store{folder / "replies.sqlite"};
    CHECK_FALSE(store.load("a"));
    store.save("a", "1");
    store.save("a", value);
    store.save("empty", "");
    CHECK(store.load("a") == value);
  }
  ecso::SqliteStore again{folder / "replies.sqlite"};
  CHECK(again.load("a") == value);
  CHECK(again.load("empty") == "");
  CHECK_FALSE(again.load("b"));
}

TEST_CASE("an SQLite file is for its owner alone", "[sqlite]") {
  const Folder folder;
  const ::mode_t before = ::umask(0);
  {
    ecso::SqliteStore store{folder / "replies.sqlite"};
    store.save("a", "1");
    for (const auto& file : std::filesystem::directory_iterator{folder.path()}) {
      INFO(file.path());
      CHECK(file.status().permissions() == (std::filesystem::perms::owner_read | std::filesystem::perms::owner_write));
    }
  }
  ::umask(before);
  std::filesystem::permissions(folder / "replies.sqlite", std::filesystem::perms::others_write,
                               std::filesystem::perm_options::add);
  CHECK_THROWS_WITH(ecso::SqliteStore{folder / "replies.sqlite"}, ContainsSubstring("everybody may write this file"));
}

TEST_CASE("a full SQLite store drops what was used longest ago", "[sqlite]") {
  const Folder folder;
  const std::size_t max_bytes = 256 * 1024;
  ecso::SqliteStore store{folder / "replies.sqlite", {.max_bytes = max_bytes}};
  const std::string value(3000, 'x');
  for (int i = 0; i < 1000; ++i) {
    store.save(std::to_string(i), value + std::to_string(i));
    // Used again and again, it is never the oldest.
    REQUIRE(store.load("0") == value + "0");
  }
  CHECK(store.load("999") == value + "999");
  CHECK_FALSE(store.load("1"));
  CHECK_FALSE(store.load("500"));
  int left = 0;
  for (int i = 0; i < 1000; ++i) left += store.load(std::to_string(i)) ? 1 : 0;
  CHECK(left > 30);
  CHECK(left < 90);
  CHECK(std::filesystem::file_size(folder / "replies.sqlite") < 2 * max_bytes);
  store.save("too large", std::string(max_bytes, 'x'));
  CHECK_FALSE(store.load("too large"));
}

TEST_CASE("what was only loaded counts as used in the next process too", "[sqlite]") {
  const Folder folder;
  const auto open = [&] { return ecso::SqliteStore{folder / "replies.sqlite", {.max_bytes = 64 * 1024}}; };
  const std::string value(5000, 'x');
  {
    auto store = open();
    for (const char* key : {"a", "b", "c", "d"}) store.save(key, value);
  }
  {
    auto store = open();
    CHECK(store.load("a"));
  }
  auto store = open();
  for (const char* key : {"e", "f", "g", "h", "i", "j", "k"}) store.save(key, value);
  CHECK(store.load("a"));
  CHECK_FALSE(store.load("b"));
}

TEST_CASE("an SQLite store gives nothing that is too old", "[sqlite]") {
  const Folder folder;
  const auto file = folder / "replies.sqlite";
  ecso::SqliteStore store{file, {.max_age = 1h}};
  ecso::SqliteStore patient{file, {.max_age = 0s}};
  store.save("old", "1");
  store.save("new", "1");
  Stranger{file}.run("UPDATE reply SET created = created - 3601 * 1000000 WHERE key = 'old'");
  CHECK_FALSE(store.load("old"));
  CHECK(store.load("new"));
  CHECK(patient.load("old"));
  store.save("old", "2");
  CHECK(store.load("old") == "2");
}

TEST_CASE("what is no file of ours is refused with what to do", "[sqlite][faults]") {
  const Folder folder;
  const auto file = folder / "replies.sqlite";
  const auto refusal = [&](const std::filesystem::path& path) {
    try {
      ecso::SqliteStore store{path};
    } catch (const ecso::Error& error) {
      CHECK(error.code() == ecso::Errc::bad_input);
      CHECK(error.context().endpoint == path.string());
      return error.message();
    }
    return std::string{"opened"};
  };
  SECTION("not a database") {
    write_file(file, std::string(5000, 'x'));
    CHECK_THAT(refusal(file), ContainsSubstring("move it away or delete it, and a new one is made"));
  }
  SECTION("a folder") { CHECK_THAT(refusal(folder.path()), ContainsSubstring("cannot be opened")); }
  SECTION("a folder that is not there") { CHECK_THAT(refusal(folder / "none/replies"), ContainsSubstring("cannot be opened")); }
  SECTION("a pipe") {
    REQUIRE(::mkfifo(file.c_str(), 0600) == 0);
    CHECK_THAT(refusal(file), ContainsSubstring("not a regular file"));
  }
  SECTION("another program's") {
    write_file(file, "");
    Stranger{file}.run("CREATE TABLE notes(text); INSERT INTO notes VALUES('keep'); PRAGMA user_version = 1");
    CHECK_THAT(refusal(file), ContainsSubstring("another program's database"));
    Stranger{file}.run("SELECT text FROM notes");
  }
  SECTION("of a newer ecso") {
    { ecso::SqliteStore store{file}; }
    Stranger{file}.run("PRAGMA user_version = 2");
    CHECK_THAT(refusal(file), ContainsSubstring("newer ecso (schema 2, this one knows 1)"));
  }
  SECTION("of no version") {
    { ecso::SqliteStore store{file}; }
    Stranger{file}.run("PRAGMA user_version = 0");
    CHECK_THAT(refusal(file), ContainsSubstring("no schema number"));
  }
  SECTION("cut off") {
    {
      ecso::SqliteStore store{file};
      for (int i = 0; i < 20; ++i) store.save(std::to_string(i), std::string(3000, 'x'));
    }
    std::filesystem::resize_file(file, 6000);
    CHECK_THAT(refusal(file), ContainsSubstring("move it away or delete it, and a new one is made"));
  }
}

TEST_CASE("a folder that cannot be written is an error when the store is opened", "[sqlite][faults]") {
  if (::geteuid() == 0) {
    WARN("root may write everywhere");
    return;
  }
  const Folder folder;
  std::filesystem::permissions(folder.path(), std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec);
  CHECK_THROWS_WITH(ecso::SqliteStore{folder / "replies.sqlite"}, ContainsSubstring("cannot be opened"));
  std::filesystem::permissions(folder.path(), std::filesystem::perms::owner_all);
}

TEST_CASE("a store that another process keeps locked fails to save, and loads all the same", "[sqlite][faults]") {
  const Folder folder;
  const auto file = folder / "replies.sqlite";
  ecso::SqliteStore store{file, {.busy_timeout = 20ms}};
  store.save("a", "1");
  Stranger other{file};
  other.run("BEGIN IMMEDIATE");
  CHECK_THROWS_WITH(store.save("b", "1"), file.string() + ": SQLite: database is locked");
  CHECK(store.load("a") == "1");
  CHECK_FALSE(store.load("b"));
  other.run("COMMIT");
  store.save("b", "1");
  CHECK(store.load("b") == "1");
}

TEST_CASE("a store that cannot save one reply undoes it and saves the next", "[sqlite][faults]") {
  const Folder folder;
  const auto file = folder / "replies.sqlite";
  ecso::SqliteStore store{file};
  store.save("a", "1");
  Stranger{file}.run("CREATE TRIGGER full BEFORE INSERT ON reply WHEN new.key = 'b' BEGIN SELECT RAISE(ABORT, 'full'); END");
  CHECK_THROWS_AS(store.save("b", "1"), ecso::Error);
  store.save("c", "1");
  CHECK(store.load("a") == "1");
  CHECK_FALSE(store.load("b"));
  CHECK(store.load("c") == "1");
}

TEST_CASE("options out of range are refused", "[sqlite]") {
  const Folder folder;
  const auto file = folder / "replies.sqlite";
  CHECK_THROWS_WITH((ecso::SqliteStore{file, {.max_bytes = 1000}}), "SQLite store: an option is out of range");
  CHECK_THROWS_WITH((ecso::SqliteStore{file, {.max_age = -1s}}), "SQLite store: an option is out of range");
  CHECK_THROWS_WITH((ecso::SqliteStore{file, {.busy_timeout = -1ms}}), "SQLite store: an option is out of range");
  CHECK_FALSE(std::filesystem::exists(file));
}

TEST_CASE("a name that SQLite reads another way is a file's name", "[sqlite]") {
  const Folder folder;
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  { ecso::SqliteStore{":memory:"}.save("a", "1"); }
  { ecso::SqliteStore{"file:x?mode=memory"}.save("a", "1"); }
  std::filesystem::current_path(before);
  CHECK(std::filesystem::exists(folder / ":memory:"));
  CHECK(std::filesystem::exists(folder / "file:x?mode=memory"));
}

/// Writes and reads a store from several threads; gives the number of values that were wrong.
int use_from_threads(const std::vector<ecso::SqliteStore*>& stores, int threads_each, int rounds) {
  std::atomic<int> wrong{0};
  std::vector<std::jthread> threads;
  for (ecso::SqliteStore* store : stores) {
    for (int t = 0; t < threads_each; ++t) {
      threads.emplace_back([&wrong, store, rounds, t] {
        for (int i = 0; i < rounds; ++i) {
          const std::string key = std::to_string((i * 7 + t) % 40);
          try {
            if (i % 3 == 0) store->save(key, "value of " + key);
            const std::optional<std::string> found = store->load(key);
            if (found && *found != "value of " + key) ++wrong;
          } catch (const ecso::Error&) {
            ++wrong;
          }
        }
      });
    }
  }
  threads.clear();
  return wrong;
}

TEST_CASE("two stores of one file, each with several threads, agree", "[sqlite][threads]") {
  const Folder folder;
  const auto file = folder / "replies.sqlite";
  ecso::SqliteStore one{file, {.busy_timeout = 2min}};
  ecso::SqliteStore two{file, {.busy_timeout = 2min}};
  CHECK(use_from_threads({&one, &two}, 3, 100) == 0);
  one.save("a", "1");
  CHECK(two.load("a") == "1");
}

TEST_CASE("several threads may make the same file at once", "[sqlite][threads]") {
  const Folder folder;
  const auto file = folder / "replies.sqlite";
  std::atomic<int> opened{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 6; ++t) {
      threads.emplace_back([&, t] {
        ecso::SqliteStore store{file, {.busy_timeout = 2min}};
        store.save(std::to_string(t), "1");
        opened += store.load(std::to_string(t)) == "1" ? 1 : 0;
      });
    }
  }
  CHECK(opened == 6);
}

TEST_CASE("several processes may make and share one file", "[sqlite]") {
  const Folder folder;
  const auto file = folder / "replies.sqlite";
  std::vector<::pid_t> children;
  for (int p = 0; p < 4; ++p) {
    const ::pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      int wrong = 1;
      try {
        ecso::SqliteStore store{file, {.busy_timeout = 2min}};
        wrong = use_from_threads({&store}, 1, 100);
      } catch (const std::exception&) {
        wrong = 2;
      }
      ::_exit(wrong == 0 ? 0 : 1);
    }
    children.push_back(child);
  }
  for (const ::pid_t child : children) {
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
  }
}

/// Says one thing to everything.
class Saying final : public ecso::MllmBackend {
 public:
  explicit Saying(std::string text) : text_{std::move(text)} {}

  ecso::Reply generate(const ecso::VisionRequest&, const ecso::CallContext&) override { return {}; }
  ecso::Reply generate(const ecso::TextRequest&, const ecso::CallContext&) override {
    ++calls;
    return {.text = text_, .finish_reason = ecso::FinishReason::stop, .logprobs = {{text_, -0.25, {{"yes", -1.5}}}}};
  }

  int calls = 0;

 private:
  std::string text_;
};

ecso::CacheScope scope() { return {.model = "m", .policy = ecso::fingerprint(ecso::policy::production())}; }

ecso::TextRequest request(const std::string& query) {
  return {ecso::close_eyes(ecso::ask({}, query), {}), {.step = ecso::Step::recheck, .sampling = {.temperature = 0.0}}};
}

TEST_CASE("a cache on a file knows its verdicts in the next process, and a locked file costs no answer", "[sqlite][cache]") {
  Saying model{"no"};
  const Folder folder;
  const auto file = folder / "replies.sqlite";
  ecso::Reply first;
  {
    ecso::SqliteStore store{file};
    ecso::CacheBackend cached{model, store, scope()};
    first = cached.generate(request("q"), {});
  }
  ecso::SqliteStore store{file, {.busy_timeout = 10ms}};
  int errors = 0;
  ecso::CacheBackend cached{model, store, scope(), {.on_store_error = [&](const ecso::Error& error) {
                              CHECK(error.context().endpoint == file.string());
                              ++errors;
                            }}};
  CHECK(cached.generate(request("q"), {}) == first);
  CHECK(model.calls == 1);

  Stranger other{file};
  other.run("BEGIN IMMEDIATE");
  CHECK(cached.generate(request("q2"), {}).text == "no");
  CHECK(cached.generate(request("q"), {}) == first);
  CHECK(errors == 1);
  CHECK(cached.stats().store_errors == 1);
  other.run("COMMIT; UPDATE reply SET value = replace(CAST(value AS TEXT), 'no', 'yes')");
  CHECK(cached.generate(request("q"), {}) == first);
  CHECK(cached.stats().damaged == 1);
  CHECK(model.calls == 3);
}

TEST_CASE("a file spoilt anywhere never changes what the cache gives", "[sqlite][cache][faults]") {
  constexpr int replies = 30;
  const Folder folder;
  const auto file = folder / "replies.sqlite";
  {
    Saying model{"no"};
    ecso::SqliteStore store{file};
    ecso::CacheBackend cached{model, store, scope()};
    for (int i = 0; i < replies; ++i) (void)cached.generate(request(std::to_string(i)), {});
  }
  std::string bytes(static_cast<std::size_t>(std::filesystem::file_size(file)), '\0');
  std::ifstream{file, std::ios::binary}.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  int refused = 0;
  int asked_again = 0;
  int wrong = 0;
  for (std::size_t at = 0; at < bytes.size(); at += 251) {
    std::string bad = bytes;
    for (std::size_t i = at; i < std::min(bytes.size(), at + 8); ++i) bad[i] = static_cast<char>(bad[i] ^ 0x11);
    for (const char* left : {"replies.sqlite-wal", "replies.sqlite-shm"}) std::filesystem::remove(folder / left);
    write_file(file, bad);
    Saying model{"asked again"};
    try {
      ecso::SqliteStore store{file};
      ecso::CacheBackend cached{model, store, scope()};
      for (int i = 0; i < replies; ++i) {
        const std::string text = cached.generate(request(std::to_string(i)), {}).text;
        wrong += text == "no" || text == "asked again" ? 0 : 1;
      }
      CHECK(cached.stats().hits + static_cast<std::uint64_t>(model.calls) == replies);
    } catch (const ecso::Error& error) {
      CHECK(error.context().endpoint == file.string());
      ++refused;
    }
    asked_again += model.calls;
  }
  CHECK(wrong == 0);
  CHECK(refused > 0);
  CHECK(asked_again > 0);
}

}  // namespace

}  // namespace sqlite_store_test
