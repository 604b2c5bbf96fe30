#include <ecso/detail/sha256.hpp>

#include "support/catch.hpp"

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace sha256_test {

namespace {

using namespace ecso::detail;

std::vector<void (*)(Sha256State&, const char*, std::size_t)> implementations() {
  std::vector<void (*)(Sha256State&, const char*, std::size_t)> all{sha256_blocks, sha256_blocks_portable};
#if defined(__x86_64__)
  if (cpu_has_sha()) all.push_back(sha256_blocks_x86);
#endif
  return all;
}

}  // namespace

TEST_CASE("SHA-256 gives the NIST test vectors", "[sha256]") {
  const std::vector<std::pair<std::string, std::string>> vectors{
      {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
      {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
      {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
       "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
      {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
       "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
      {"\xbd", "68325720aabd7c82f30f554b313d0570c95accbb7dc4b5aae11204c08ffe732b"},
      {std::string(1'000'000, 'a'), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"}};
  for (const auto& [message, digest] : vectors) {
    for (const auto hash_blocks : implementations()) CHECK(sha256_hex(message, hash_blocks) == digest);
  }
}

TEST_CASE("SHA-256 of every length around its blocks is the same whoever computes it", "[sha256]") {
  std::string message;
  std::string all;
  for (std::size_t size = 0; size <= 300; ++size) {
    const std::string digest = sha256_hex(message, sha256_blocks_portable);
    for (const auto hash_blocks : implementations()) REQUIRE(sha256_hex(message, hash_blocks) == digest);
    message += static_cast<char>(size * 7 & 0xFF);
    all += digest;
  }
  // Made in the same way with Python's hashlib.
  CHECK(sha256_hex(all) == "917dfe241fcf4d27cf00582a4b7cbc1f5bb92f4298d46d8d986f7cda814596c6");
}

}  // namespace sha256_test
