#include <ecso/core/conversation.hpp>

#include "support/catch.hpp"
#include "support/image_bytes.hpp"

#include <string>
#include <variant>
#include <vector>

namespace conversation_test {

namespace {

using namespace ecso;

Image image_of_width(std::uint32_t width) { return Image::from_bytes(test::png_bytes(width, 1)); }

/// "i3" for an image 3 pixels wide, else the text.
std::vector<std::string> shapes(const Message& message) {
  std::vector<std::string> shapes;
  for (const Part& part : message.parts) {
    const auto* image = std::get_if<Image>(&part);
    shapes.push_back(image != nullptr ? "i" + std::to_string(image->width()) : std::get<std::string>(part));
  }
  return shapes;
}

std::string transcript_of(const Conversation& conversation) {
  std::string storage;
  return std::string{ecso::transcript_of(conversation, storage)};
}

using Shapes = std::vector<std::string>;

const Image a = image_of_width(1);
const Image b = image_of_width(2);

}  // namespace

TEST_CASE("Asking makes one user turn, images before text", "[conversation]") {
  const Conversation conversation = ask({a, b}, "What is it?");
  REQUIRE(conversation.messages.size() == 1);
  CHECK(conversation.messages[0].role == Role::user);
  CHECK(shapes(conversation.messages[0]) == Shapes{"i1", "i2", "What is it?"});
  CHECK(shapes(ask({}, "Hello").messages[0]) == Shapes{"Hello"});
}

TEST_CASE("The texts of a turn are joined by a line break", "[conversation]") {
  CHECK(Message{Role::user, {"one", a, "two"}}.text() == "one\ntwo");
  CHECK(Message{Role::user, {"", "two"}}.text() == "\ntwo");
  CHECK(Message{Role::user, {a}}.text().empty());
  CHECK(Message{}.text().empty());
}

TEST_CASE("The images of a chat are found in order, in every turn", "[conversation]") {
  const Conversation conversation{
      {{Role::system, {b}}, {Role::user, {"x", a}}, {Role::assistant, {"y"}}, {Role::user, {b, "z"}}}};
  CHECK(images_of(conversation) == std::vector{b, a, b});
  CHECK(has_image(conversation));
  CHECK_FALSE(has_image(ask({}, "Hello")));
  CHECK_FALSE(has_image({}));
  CHECK(images_of({}).empty());
}

TEST_CASE("The query is the text of the last turn", "[conversation]") {
  CHECK(query_of({}).empty());
  CHECK(query_of({{{Role::user, {"first"}}, {Role::assistant, {"answer"}}, {Role::user, {a, "second", "third"}}}}) ==
        "second\nthird");
}

TEST_CASE("A checker is shown a chat of one turn as its text", "[conversation]") {
  CHECK(transcript_of(ask({a}, "What is it?")) == "What is it?");
  CHECK(transcript_of({{{Role::system, {"Be brief."}}, {Role::user, {a, "What is it?"}}}}) == "What is it?");
  CHECK(transcript_of({}).empty());
  CHECK(transcript_of({{{Role::user, {"What", a, "is it?"}}}}) == "What\nis it?");
}

TEST_CASE("A checker is shown every spoken turn of a longer chat, after its role", "[conversation]") {
  const Conversation conversation{{{Role::system, {"Be brief."}},
                                   {Role::user, {a, "Part one:", "mix"}},
                                   {Role::assistant, {"Fine."}},
                                   {Role::user, {a}},
                                   {Role::user, {"Part two:", b, "heat"}}}};
  CHECK(transcript_of(conversation) == "user: Part one:\nmix\nassistant: Fine.\nuser: \nuser: Part two:\nheat");
}

TEST_CASE("Asking about a chat keeps its system turns and nothing else", "[conversation]") {
  const Conversation conversation{{{Role::system, {"Be brief."}},
                                   {Role::user, {a, "x"}},
                                   {Role::assistant, {"y"}},
                                   {Role::system, {"Be kind."}},
                                   {Role::user, {"z"}}}};
  const Conversation asked = ask_about(conversation, {a, b}, "Is it harmful?");
  REQUIRE(asked.messages.size() == 3);
  CHECK(asked.messages[0] == conversation.messages[0]);
  CHECK(asked.messages[1] == conversation.messages[3]);
  CHECK(asked.messages[2].role == Role::user);
  CHECK(shapes(asked.messages[2]) == Shapes{"i1", "i2", "Is it harmful?"});
  CHECK(ask_about(ask({a}, "x"), {b}, "p") == ask({b}, "p"));
}

TEST_CASE("Asking about a chat leaves out the images of its system turns", "[conversation]") {
  const Conversation conversation{{{Role::system, {a, "Be brief.", b, "Be kind."}}, {Role::system, {a}}, {Role::user, {"x"}}}};
  const Conversation asked = ask_about(conversation, {b}, "p");
  REQUIRE(asked.messages.size() == 2);
  CHECK(shapes(asked.messages[0]) == Shapes{"Be brief.", "Be kind."});
  CHECK(shapes(asked.messages[1]) == Shapes{"i2", "p"});
}

TEST_CASE("Images are put before the only text of a turn, in their order", "[conversation]") {
  Conversation conversation{
      {{Role::user, {"x", b, a}}, {Role::user, {b, "y", a}}, {Role::user, {a, "z"}}, {Role::user, {a, b}}, {Role::user, {}}}};
  put_images_first(conversation);
  CHECK(shapes(conversation.messages[0]) == Shapes{"i2", "i1", "x"});
  CHECK(shapes(conversation.messages[1]) == Shapes{"i2", "i1", "y"});
  CHECK(shapes(conversation.messages[2]) == Shapes{"i1", "z"});
  CHECK(shapes(conversation.messages[3]) == Shapes{"i1", "i2"});
  CHECK(conversation.messages[4].parts.empty());
}

TEST_CASE("A turn that mixes several texts with images keeps its order", "[conversation]") {
  Conversation conversation{{{Role::user, {"Compare", a, "with", b}}}};
  const Conversation before = conversation;
  put_images_first(conversation);
  CHECK(conversation == before);
}

TEST_CASE("Roles have the names of chat APIs", "[conversation]") {
  CHECK(to_string(Role::system) == "system");
  CHECK(to_string(Role::user) == "user");
  CHECK(to_string(Role::assistant) == "assistant");
}

}  // namespace conversation_test
