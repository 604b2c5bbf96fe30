#include <ecso/decorator/memory_store.hpp>

#include "support/catch.hpp"

#include <atomic>
#include <cstddef>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace memory_store_test {

namespace {

TEST_CASE("a memory store gives back what was saved last", "[memory_store]") {
  ecso::MemoryStore store;
  CHECK_FALSE(store.load("a"));
  store.save("a", "1");
  store.save("a", "2");
  CHECK(store.load("a") == "2");
  CHECK(store.size() == 1);
}

TEST_CASE("a full memory store drops what was used longest ago", "[memory_store]") {
  ecso::MemoryStore store{{.max_entries = 3}};
  for (const char* key : {"a", "b", "c"}) store.save(key, key);
  CHECK(store.load("a"));  // Now b is the oldest.
  store.save("d", "d");
  CHECK(store.load("a"));
  CHECK_FALSE(store.load("b"));
  store.save("c", "again");
  store.save("e", "e");  // Of c, a and d, a is the oldest but for its load; d was saved before that.
  CHECK_FALSE(store.load("d"));
  CHECK(store.load("c") == "again");
  CHECK(store.size() == 3);
}

TEST_CASE("a memory store stays within its bytes", "[memory_store]") {
  constexpr std::size_t max_bytes = 10'000;
  ecso::MemoryStore store{{.max_bytes = max_bytes}};
  for (int i = 0; i < 100; ++i) {
    store.save(std::to_string(i), std::string(static_cast<std::size_t>(i) * 10, 'x'));
    CHECK(store.bytes() <= max_bytes);
  }
  CHECK(store.load("99"));
  CHECK_FALSE(store.load("0"));
  const std::size_t before = store.size();
  store.save("huge", std::string(max_bytes, 'x'));
  CHECK_FALSE(store.load("huge"));
  CHECK(store.size() == before);
}

TEST_CASE("a value too large for a memory store does not leave the one before it", "[memory_store]") {
  ecso::MemoryStore store{{.max_bytes = 1000}};
  store.save("a", "small");
  store.save("a", std::string(1000, 'x'));
  CHECK_FALSE(store.load("a"));
  CHECK(store.bytes() == 0);
}

TEST_CASE("a memory store without room keeps nothing", "[memory_store]") {
  ecso::MemoryStore no_entries{{.max_entries = 0}};
  no_entries.save("a", "1");
  CHECK(no_entries.size() == 0);
  ecso::MemoryStore no_bytes{{.max_bytes = 0}};
  no_bytes.save("a", "1");
  CHECK(no_bytes.size() == 0);
}

TEST_CASE("many threads share a memory store", "[memory_store][threads]") {
  ecso::MemoryStore store{{.max_bytes = 20'000, .max_entries = 50}};
  std::atomic<int> wrong{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 8; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 2000; ++i) {
          const std::string key = std::to_string((i * 7 + t) % 80);
          if (i % 3 == 0) store.save(key, "value of " + key);
          const std::optional<std::string> found = store.load(key);
          if (found && *found != "value of " + key) ++wrong;
        }
      });
    }
  }
  CHECK(wrong == 0);
  CHECK(store.size() <= 50);
  CHECK(store.bytes() <= 20'000);
}

}  // namespace

}  // namespace memory_store_test
