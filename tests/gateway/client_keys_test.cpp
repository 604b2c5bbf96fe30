#include <ecso/gateway/client_keys.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/catch.hpp"

namespace client_keys_test {

namespace {

using namespace ecso;
using namespace ecso::gateway;
using Catch::Matchers::ContainsSubstring;

ClientKey key(std::string name, std::string_view secret) { return {std::move(name), hash_client_key(secret)}; }

std::string message_of(std::string_view text) {
  try {
    static_cast<void>(read_client_keys(text));
  } catch (const Error& error) {
    CHECK(error.code() == Errc::bad_input);
    return error.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("a key is found by its hash, and only the whole of it", "[gateway][keys]") {
  const ClientKeys keys{{key("ann", "sk-ann"), key("bob", "sk-bob"), key("eve", "sk-eve")}};
  for (const std::string name : {"ann", "bob", "eve"}) {
    REQUIRE(keys.find("sk-" + name) != nullptr);
    CHECK(keys.find("sk-" + name)->name == name);
  }
  for (const std::string wrong : {"", "sk-", "sk-ann ", "sk-anna", "SK-ANN", "ann"}) CHECK(keys.find(wrong) == nullptr);
  CHECK(keys.find(hash_client_key("sk-ann")) == nullptr);
  CHECK(keys.find(std::string(100'000, 'x')) == nullptr);
  CHECK(ClientKeys{}.find("sk-ann") == nullptr);
  CHECK(ClientKeys{{key("ann", "")}}.find("") == nullptr);
}

TEST_CASE("the hash of a key is its SHA-256", "[gateway][keys]") {
  CHECK(hash_client_key("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST_CASE("upper-case hashes are taken", "[gateway][keys]") {
  const ClientKeys keys{{{"ann", "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD"}}};
  REQUIRE(keys.find("abc") != nullptr);
}

TEST_CASE("keys that are malformed or stand twice are refused", "[gateway][keys]") {
  const auto refused = [](std::vector<ClientKey> keys) { CHECK_THROWS_AS(ClientKeys{std::move(keys)}, Error); };
  refused({key("ann", "a"), key("ann", "b")});
  refused({key("ann", "a"), key("bob", "a")});
  refused({key("", "a")});
  refused({key("a b", "a")});
  refused({key("a:b", "a")});
  refused({key("a\nb", "a")});
  refused({key("\xC3\xA4", "a")});
  refused({key(std::string(65, 'a'), "a")});
  refused({{"ann", ""}});
  refused({{"ann", std::string(63, 'a')}});
  refused({{"ann", std::string(65, 'a')}});
  refused({{"ann", std::string(64, 'g')}});
  refused(std::vector<ClientKey>(ClientKeys::max_keys + 1, key("ann", "a")));
}

TEST_CASE("a request presents its key by one of two headers", "[gateway][keys]") {
  using Key = std::optional<std::string_view>;
  CHECK(presented_key("Bearer sk-1", "") == Key{"sk-1"});
  CHECK(presented_key("bEARER   sk-1  ", "") == Key{"sk-1"});
  CHECK(presented_key("Bearer\tsk-1", "") == Key{"sk-1"});
  CHECK(presented_key("", "sk-1") == Key{"sk-1"});
  CHECK(presented_key(" ", " sk-1 ") == Key{"sk-1"});
  CHECK(presented_key("Bearer sk-1", "sk-1") == Key{"sk-1"});
  CHECK(presented_key("Bearer sk 1", "") == Key{"sk 1"});

  CHECK(presented_key("", "") == std::nullopt);
  CHECK(presented_key("Bearer sk-1", "sk-2") == std::nullopt);
  CHECK(presented_key("Bearer", "") == std::nullopt);
  CHECK(presented_key("Bearer ", "sk-1") == std::nullopt);
  CHECK(presented_key("Basic sk-1", "") == std::nullopt);
  CHECK(presented_key("Basic sk-1", "sk-1") == std::nullopt);
  CHECK(presented_key("sk-1", "") == std::nullopt);
  CHECK(presented_key("Bearersk-1", "") == std::nullopt);
}

TEST_CASE("a file of keys has a name and a hash a line", "[gateway][keys]") {
  const std::string a = hash_client_key("a");
  const std::string b = hash_client_key("b");
  const auto keys = read_client_keys("# who may come in\n\nann:" + a + "\r\n  \t\nbob:" + detail::lower_ascii(b) + "\n#eve:" + a);
  REQUIRE(keys.size() == 2);
  CHECK(keys[0].name == "ann");
  CHECK(keys[0].sha256 == a);
  CHECK(keys[1].name == "bob");
  CHECK(ClientKeys{keys}.find("b")->name == "bob");
  CHECK(read_client_keys("").empty());
  CHECK(read_client_keys("ann:" + a).size() == 1);
}

TEST_CASE("an error in a file of keys names the line and does not repeat it", "[gateway][keys]") {
  const std::string a = hash_client_key("a");
  const std::string b = hash_client_key("b");
  CHECK_THAT(message_of("\n#\nann:sk-forgot-to-hash"), ContainsSubstring("line 3") && !ContainsSubstring("sk-forgot"));
  CHECK_THAT(message_of("sk-forgot-the-name"), ContainsSubstring("line 1") && !ContainsSubstring("sk-forgot"));
  CHECK_THAT(message_of(":" + a), ContainsSubstring("line 1"));
  CHECK_THAT(message_of("ann: " + a), ContainsSubstring("line 1"));
  CHECK_THAT(message_of("ann:" + a + " "), ContainsSubstring("line 1"));
  CHECK_THAT(message_of("ann:" + a + "\n\nann:" + b), ContainsSubstring("line 3") && ContainsSubstring("name stands twice"));
  CHECK_THAT(message_of("ann:" + a + "\nbob:" + a), ContainsSubstring("line 2") && ContainsSubstring("key stands twice"));
  std::string many;
  for (std::size_t i = 0; i <= ClientKeys::max_keys; ++i) {
    const std::string number = std::to_string(i);
    many += "n" + number + ":" + hash_client_key(number) + "\n";
  }
  CHECK_THAT(message_of(many), ContainsSubstring("line 10001"));
}

}  // namespace client_keys_test
