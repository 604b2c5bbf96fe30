#pragma once

#include <ecso/detail/sha256.hpp>
#include <ecso/detail/text.hpp>
#include <ecso/error.hpp>
#include <ecso/gateway/options.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ecso::gateway {

/// SHA-256 of a key, as it stands in a file of keys: 64 lower-case hexadecimal digits. A key must be long and random: nothing
/// slows down who guesses at its hash.
[[nodiscard]] inline std::string hash_client_key(std::string_view key) { return detail::sha256_hex(key); }

/// The keys that clients may come in with. Does not change; any thread may ask.
class ClientKeys {
 public:
  /// Most keys: each is compared with every key presented.
  static constexpr std::size_t max_keys = 10'000;

  /// No key: `find` finds none.
  ClientKeys() = default;

  /// @throws Error (bad_input) if a name or a hash stands twice or is malformed, or there are more than `max_keys`. Names have 1
  /// to 64 printable ASCII characters without blanks and colons.
  explicit ClientKeys(std::vector<ClientKey> keys) : keys_{std::move(keys)} {
    if (keys_.size() > max_keys) throw Error{Errc::bad_input, "keys: more than " + std::to_string(max_keys)};
    std::set<std::string_view> names;
    std::set<std::string_view> hashes;
    for (ClientKey& key : keys_) {
      key.sha256 = detail::lower_ascii(key.sha256);
      if (const std::string fault = fault_of(key); !fault.empty()) throw Error{Errc::bad_input, "keys: " + fault};
      if (!names.insert(key.name).second) throw Error{Errc::bad_input, "keys: the name " + key.name + " stands twice"};
      if (!hashes.insert(key.sha256).second) throw Error{Errc::bad_input, "keys: the key of " + key.name + " stands twice"};
    }
  }

  [[nodiscard]] bool empty() const noexcept { return keys_.empty(); }
  [[nodiscard]] std::size_t size() const noexcept { return keys_.size(); }

  /// Whose key that is; null if nobody's. Compares with every key, each in constant time. Valid while this lives and is not
  /// moved.
  [[nodiscard]] const ClientKey* find(std::string_view presented) const {
    if (presented.empty()) return nullptr;
    const std::string hash = hash_client_key(presented);
    const ClientKey* found = nullptr;
    for (const ClientKey& key : keys_) {
      std::uint64_t difference = 0;
      for (std::size_t i = 0; i < hash.size(); i += sizeof difference) difference |= word_of(hash, i) ^ word_of(key.sha256, i);
      found = difference == 0 ? &key : found;
    }
    return found;
  }

  /// What is wrong with a key, without telling its hash; empty if nothing.
  [[nodiscard]] static std::string fault_of(const ClientKey& key) {
    const auto is_name = [](char c) { return c > ' ' && c < 0x7F && c != ':'; };
    if (key.name.empty() || key.name.size() > 64 || !std::ranges::all_of(key.name, is_name)) {
      return "a name has 1 to 64 printable characters, no blanks and no colons";
    }
    const auto is_digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
    if (key.sha256.size() != 64 || !std::ranges::all_of(key.sha256, is_digit)) {
      return "what follows the name " + key.name + " is not a SHA-256, which has 64 hexadecimal digits";
    }
    return {};
  }

 private:
  [[nodiscard]] static std::uint64_t word_of(const std::string& text, std::size_t at) noexcept {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data() + at, sizeof word);
    return word;
  }

  std::vector<ClientKey> keys_;
};

/// The key of a request: `Authorization: Bearer KEY` or `x-api-key: KEY`. None if there is none, if both are there and differ, or
/// if the authorization is of another scheme. An empty header counts as absent. A view into the headers.
[[nodiscard]] inline std::optional<std::string_view> presented_key(std::string_view authorization, std::string_view x_api_key) {
  const auto trimmed = [](std::string_view text) {
    const std::size_t begin = text.find_first_not_of(" \t");
    if (begin == std::string_view::npos) return std::string_view{};
    return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
  };
  authorization = trimmed(authorization);
  x_api_key = trimmed(x_api_key);
  if (!authorization.empty()) {
    const std::size_t scheme_end = authorization.find_first_of(" \t");
    if (!detail::equal_ignoring_case(authorization.substr(0, scheme_end), "bearer")) return std::nullopt;
    if (scheme_end == std::string_view::npos) return std::nullopt;
    authorization = trimmed(authorization.substr(scheme_end));
    if (!x_api_key.empty() && x_api_key != authorization) return std::nullopt;
    return authorization;
  }
  if (x_api_key.empty()) return std::nullopt;
  return x_api_key;
}

/// Reads a file of keys: a line `NAME:SHA256` each; blank lines and those that begin with "#" are skipped.
/// @throws Error (bad_input) that names the line, never what stands in it: it may be a key that somebody forgot to hash.
[[nodiscard]] inline std::vector<ClientKey> read_client_keys(std::string_view text) {
  std::vector<ClientKey> keys;
  std::set<std::string> names;
  std::set<std::string> hashes;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const auto refuse = [number](const std::string& why) {
      throw Error{Errc::bad_input, "keys: line " + std::to_string(number) + ": " + why};
    };
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (detail::is_blank(line) || line.starts_with('#')) continue;
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) refuse("it is not NAME:SHA256");
    ClientKey key{std::string{line.substr(0, colon)}, detail::lower_ascii(line.substr(colon + 1))};
    if (!ClientKeys::fault_of(key).empty()) refuse("it is not NAME:SHA256 with a printable name and 64 hexadecimal digits");
    if (!names.insert(key.name).second) refuse("its name stands twice");
    if (!hashes.insert(key.sha256).second) refuse("its key stands twice");
    if (keys.size() == ClientKeys::max_keys) refuse("more than " + std::to_string(ClientKeys::max_keys) + " keys");
    keys.push_back(std::move(key));
  }
  return keys;
}

}  // namespace ecso::gateway
