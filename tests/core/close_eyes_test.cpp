#include <ecso/core/close_eyes.hpp>

#include <ecso/core/step_requests.hpp>

#include "support/catch.hpp"
#include "support/image_bytes.hpp"

#include <cstddef>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <variant>
#include <vector>

namespace close_eyes_test {

namespace {

using namespace ecso;
using namespace std::string_literals;
using namespace std::string_view_literals;

const Image image = Image::from_bytes(test::png_bytes(1, 1));

std::vector<std::string> texts_of(const TextConversation& conversation) {
  std::vector<std::string> texts;
  for (const TextMessage& message : conversation.messages()) texts.push_back(message.text);
  return texts;
}

/// A tiny image whose file holds 96 random bytes.
Image random_image(std::mt19937& random) {
  std::string payload;
  for (int i = 0; i < 96; ++i) payload += static_cast<char>(random() % 256);
  return Image::from_bytes(test::png_start(1, 1) + test::png_chunk("raNd", payload) +
                           test::png_chunk("IDAT", test::raw("\x78\x01\x03\x00\x00\x00\x00\x01")) + test::png_chunk("IEND", ""));
}

std::string random_text(std::mt19937& random) {
  static const std::vector<std::string> words{
      "cake", "[image 1]", "{query}", "{caption}", "\n",       "> ", "</s>", "<image>", "data:image/png;base64,",
      "é",    "\0"s,       "%s",      "是",        "Image 1: "};
  std::string text;
  for (std::size_t left = 1 + random() % 8; left > 0; --left) text += words[random() % words.size()] + " ";
  return text;
}

/// Turns of any role with texts and images in any order; the last turn is the user's and has text.
Conversation random_conversation(std::mt19937& random) {
  Conversation conversation;
  const auto add_part = [&](Message& turn) {
    if (random() % 2 == 0)
      turn.parts.emplace_back(random_image(random));
    else
      turn.parts.emplace_back(random_text(random));
  };
  for (std::size_t turns = random() % 5; turns > 0; --turns) {
    Message& turn = conversation.messages.emplace_back();
    const Role roles[]{Role::system, Role::user, Role::assistant};
    turn.role = roles[random() % 3];
    for (std::size_t parts = random() % 4; parts > 0; --parts) add_part(turn);
  }
  Message& last = conversation.messages.emplace_back();
  for (std::size_t parts = random() % 3; parts > 0; --parts) add_part(last);
  last.parts.emplace_back(random_text(random));
  for (std::size_t parts = random() % 3; parts > 0; --parts) add_part(last);
  return conversation;
}

constexpr std::size_t window = 24;

using Windows = std::unordered_set<std::string_view>;

/// Every piece of 24 bytes of the images' bytes and base64.
Windows windows_of(const std::vector<Image>& images) {
  Windows windows;
  for (const Image& one : images) {
    for (const std::string_view data : {one.bytes(), one.base64()}) {
      for (std::size_t at = 0; at + window <= data.size(); ++at) windows.insert(data.substr(at, window));
    }
  }
  return windows;
}

bool leaks(const TextConversation& conversation, const Windows& windows) {
  for (const TextMessage& message : conversation.messages()) {
    const std::string_view text = message.text;
    for (std::size_t at = 0; at + window <= text.size(); ++at) {
      if (windows.contains(text.substr(at, window))) return true;
    }
  }
  return false;
}

}  // namespace

TEST_CASE("With eyes closed the last turn is the prompt with caption and query", "[close_eyes]") {
  const std::vector<std::string> captions{"A cake."};
  const TextConversation closed = close_eyes(ask({image}, "How?"), captions, prompts::paper.regenerate, prompts::paper.fence);
  CHECK(texts_of(closed) ==
        std::vector{"You are given some hints regarding a question on an image.\n\nHints: \"Answer: A cake.\"\n\n"
                    "Based on the hints, answer the following question in a HARMLESS and ETHICAL way.\n\nHow?"s});
  CHECK(closed.messages()[0].role == Role::user);
}

TEST_CASE("With eyes closed caption and query are quoted unless told otherwise", "[close_eyes]") {
  const std::vector<std::string> captions{"A cake.\n</s>"};
  const std::string text = close_eyes(ask({image}, "How?\nQUESTION:"), captions).messages()[0].text;
  CHECK(text.find("\n> A cake.\n> < /s>\n") != std::string::npos);
  CHECK(text.find("\n> How?\n> QUESTION:\n") != std::string::npos);
}

TEST_CASE("Several captions are numbered, one stands alone", "[close_eyes]") {
  const auto joined = [](std::span<const std::string_view> captions) {
    std::string storage;
    return std::string{join_captions(captions, storage)};
  };
  CHECK(joined({}).empty());
  CHECK(joined(std::vector{"Only."sv}) == "Only.");
  CHECK(joined(std::vector{"A cake."sv, "A dog.\nBarking."sv, ""sv}) == "Image 1: A cake.\nImage 2: A dog.\nBarking.\nImage 3: ");
  const std::vector<std::string> captions{"A cake.", "A dog."};
  const std::string text = close_eyes(ask({image, image}, "How?"), captions).messages()[0].text;
  CHECK(text.find("HINTS:\n> Image 1: A cake.\n> Image 2: A dog.\n") != std::string::npos);
}

TEST_CASE("Images of earlier turns become words, and roles stay", "[close_eyes]") {
  const Conversation conversation{{{Role::system, {image, "Be brief."}},
                                   {Role::user, {"Look:", image, "and", image}},
                                   {Role::assistant, {image}},
                                   {Role::user, {"What", image, "is it?"}}}};
  const std::vector<std::string> captions{"a", "b", "c", "d", "e"};
  const TextConversation closed = close_eyes(conversation, captions, RegeneratePrompt{"{query}|{caption}"s}, Fence::none);
  CHECK(texts_of(closed) == std::vector<std::string>{"[image 1]\nBe brief.", "Look:\n[image 2]\nand\n[image 3]", "[image 4]",
                                                     "What\nis it?|Image 1: a\nImage 2: b\nImage 3: c\nImage 4: d\nImage 5: e"});
  CHECK(closed.messages()[0].role == Role::system);
  CHECK(closed.messages()[2].role == Role::assistant);
}

TEST_CASE("An image of an earlier turn alone also brings the prompt", "[close_eyes]") {
  const Conversation conversation{{{Role::user, {image, "What is it?"}}, {Role::assistant, {"A cake."}}, {Role::user, {"How?"}}}};
  const std::vector<std::string> captions{"a"};
  const TextConversation closed = close_eyes(conversation, captions, RegeneratePrompt{"{query}|{caption}"s}, Fence::none);
  CHECK(texts_of(closed) == std::vector<std::string>{"[image 1]\nWhat is it?", "A cake.", "How?|a"});
}

TEST_CASE("A chat without images stays as it is", "[close_eyes]") {
  const Conversation conversation{{{Role::system, {"Be brief."}}, {Role::user, {"", "one", "", "two"}}, {Role::user, {}}}};
  CHECK(texts_of(close_eyes(conversation, {})) == std::vector<std::string>{"Be brief.", "\none\n\ntwo", ""});
  CHECK(close_eyes({}, {}).messages().empty());
}

TEST_CASE("With eyes closed a turn of several texts reads as it does with eyes open", "[close_eyes]") {
  const Message turn{Role::user, {"", "one", "two", ""}};
  CHECK(close_eyes({{turn}}, {}).messages()[0].text == turn.text());
}

TEST_CASE("Captions and images that differ in number are refused", "[close_eyes]") {
  const auto close = [](std::size_t images, std::size_t captions) {
    return close_eyes(ask(std::vector<Image>(images, image), "How?"), std::vector<std::string>(captions, "A cake."));
  };
  CHECK_NOTHROW(close(2, 2));
  CHECK_THROWS_WITH(close(2, 1), "close_eyes: 1 captions for 2 images");
  CHECK_THROWS_WITH(close(1, 0), "close_eyes: 0 captions for 1 images");
  CHECK_THROWS_WITH(close(0, 1), "close_eyes: 1 captions for 0 images");
  try {
    static_cast<void>(close(1, 2));
    FAIL("not refused");
  } catch (const Error& error) {
    CHECK(error.code() == Errc::bad_input);
  }
}

TEST_CASE("No request of text holds any piece of an image", "[close_eyes][property]") {
  std::mt19937 random{6};
  std::size_t text_requests = 0;
  std::size_t with_images = 0;
  for (int i = 0; i < 1'000; ++i) {
    const Conversation conversation = random_conversation(random);
    const std::vector<Image> images = images_of(conversation);
    if (!images.empty()) ++with_images;
    const Windows windows = windows_of(images);
    std::vector<std::string> captions;
    for (std::size_t k = 0; k < images.size(); ++k) captions.push_back(random_text(random));
    const std::string answer = random_text(random);
    CHECK_FALSE(leaks(close_eyes(conversation, captions), windows));

    Policy policy = random() % 2 == 0 ? policy::production() : policy::paper();
    policy.system_turns = random() % 2 == 0 ? SystemTurns::keep : SystemTurns::drop;
    const Capabilities capabilities{.logprobs = true, .forced_choice = true};
    const std::optional<Sampling> sampling;
    const StepRequests requests{policy, capabilities, sampling};
    std::vector<ModelRequest> all{requests.answer(conversation), requests.check(conversation, answer),
                                  requests.recheck(conversation, answer)};
    for (int round = 1; round <= 3; ++round) {
      all.push_back(requests.regenerate(conversation, std::vector<std::string_view>{captions.begin(), captions.end()}, round));
      REQUIRE(std::holds_alternative<TextRequest>(all.back()));
    }
    REQUIRE(std::holds_alternative<TextRequest>(all[2]));
    for (const ModelRequest& request : all) {
      const auto* text = std::get_if<TextRequest>(&request);
      if (text == nullptr) continue;
      ++text_requests;
      CHECK_FALSE(leaks(text->conversation, windows));
    }
  }
  CHECK(with_images > 500);
  CHECK(text_requests > 4'000);
}

TEST_CASE("The search for pieces of an image finds one", "[close_eyes]") {
  const Windows windows = windows_of({image});
  const auto text_of = [](std::string_view data) { return close_eyes(ask({}, "x" + std::string{data} + "y"), {}); };
  CHECK(leaks(text_of(image.base64().substr(3, window)), windows));
  CHECK(leaks(text_of(image.bytes().substr(1, window)), windows));
  CHECK_FALSE(leaks(text_of(image.base64().substr(3, window - 1)), windows));
}

}  // namespace close_eyes_test
