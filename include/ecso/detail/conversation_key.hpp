#pragma once

#include <ecso/core/conversation.hpp>
#include <ecso/core/request.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace ecso::detail {

/// FNV-1a, 64 bits: the same on every machine.
class Fnv1a {
 public:
  /// Adds a text with its end, so that "ab", "c" is not "a", "bc".
  void add(std::string_view text) noexcept {
    for (const char c : text) add_byte(static_cast<unsigned char>(c));
    add_byte(0xFF);  // no byte of UTF-8
  }

  [[nodiscard]] std::uint64_t value() const noexcept { return value_; }

 private:
  void add_byte(unsigned char byte) noexcept { value_ = (value_ ^ byte) * 0x100000001B3U; }

  std::uint64_t value_ = 0xCBF29CE484222325U;
};

/// What the calls of a query have in common: the system turns and the first image; without an image, the first other turn.
[[nodiscard]] inline std::uint64_t conversation_key(const VisionRequest& request) {
  Fnv1a key;
  const Image* image = nullptr;
  const Message* first_turn = nullptr;
  for (const Message& message : request.conversation.messages) {
    if (message.role == Role::system) key.add(message.text());
    if (message.role != Role::system && first_turn == nullptr) first_turn = &message;
    for (const Part& part : message.parts) {
      if (image == nullptr) image = std::get_if<Image>(&part);
    }
  }
  if (image != nullptr) {
    key.add(image->sha256());
  } else if (first_turn != nullptr) {
    key.add(first_turn->text());
  }
  return key.value();
}

/// The system turns and the first other turn.
[[nodiscard]] inline std::uint64_t conversation_key(const TextRequest& request) {
  Fnv1a key;
  const auto& messages = request.conversation.messages();
  for (const TextMessage& message : messages) {
    if (message.role == Role::system) key.add(message.text);
  }
  const auto first_turn = std::ranges::find_if(messages, [](const TextMessage& m) { return m.role != Role::system; });
  if (first_turn != messages.end()) key.add(first_turn->text);
  return key.value();
}

/// The numbers below `count` in an order of the key's own, by rendezvous hashing: each number is first for the same share of all
/// keys, and where one is left out, its keys spread over the others.
[[nodiscard]] inline std::vector<std::size_t> rendezvous_order(std::uint64_t key, std::size_t count) {
  // The finaliser of SplitMix64: each bit of the input turns half of the output's.
  const auto mix = [](std::uint64_t x) {
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9U;
    x = (x ^ x >> 27) * 0x94D049BB133111EBU;
    return x ^ x >> 31;
  };
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto weight = [&](std::size_t i) { return mix(mix(key) ^ mix(0x9E3779B97F4A7C15U * (i + 1))); };
  std::ranges::sort(order, std::ranges::greater{}, weight);
  return order;
}

}  // namespace ecso::detail
