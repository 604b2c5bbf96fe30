#include <ecso/core/check_input.hpp>

#include "support/catch.hpp"
#include "support/image_bytes.hpp"

#include <chrono>
#include <limits>
#include <string>
#include <vector>

namespace check_input_test {

namespace {

using namespace ecso;
using namespace std::string_literals;

const Image image = Image::from_bytes(test::png_bytes(1, 1));

template <class Check>
std::string problem(Check check) {
  try {
    check();
    return "";
  } catch (const Error& error) {
    CHECK(error.code() == Errc::bad_input);
    return error.message();
  }
}

template <class Change>
std::string policy_problem(Change change) {
  Policy policy;
  change(policy);
  return problem([&] { check_policy(policy); });
}

std::string chat_problem(const Conversation& conversation, const Policy& policy = {}) {
  return problem([&] { check_conversation(conversation, policy); });
}

}  // namespace

TEST_CASE("The policies that come with ecso can be followed", "[check_input]") {
  CHECK_NOTHROW(check_policy(policy::production()));
  CHECK_NOTHROW(check_policy(policy::paper()));
}

TEST_CASE("A policy that cannot be followed is refused by the name of the setting", "[check_input]") {
  for (const int rounds : {0, -1, 17, std::numeric_limits<int>::max()}) {
    CHECK(policy_problem([&](Policy& p) { p.max_rounds = rounds; }) == "policy: max_rounds ranges from 1 to 16");
  }
  CHECK(policy_problem([](Policy& p) { p.max_rounds = 16; }).empty());
  for (const std::string& refusal : {""s, " \t\n"s}) {
    CHECK(policy_problem([&](Policy& p) { p.refusal = refusal; }) == "policy: the refusal text is empty");
  }
  CHECK(policy_problem([](Policy& p) { p.undecided = Verdict::undecided; }) ==
        "policy: undecided must count as harmful or as safe");
  CHECK(policy_problem([](Policy& p) { p.deadline = std::chrono::milliseconds{-1}; }) == "policy: the deadline is negative");
  for (const double x : {-0.01, 1.01, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    const std::string message = "policy: probability: threshold and min_mass range from 0 to 1";
    CHECK(policy_problem([&](Policy& p) { p.probability.threshold = x; }) == message);
    CHECK(policy_problem([&](Policy& p) { p.probability.min_mass = x; }) == message);
    CHECK(policy_problem([&](Policy& p) { p.probability.margin = x; }) == "policy: probability: the margin ranges from 0 to 0.5");
  }
  CHECK(policy_problem([](Policy& p) { p.probability.margin = 0.51; }) == "policy: probability: the margin ranges from 0 to 0.5");
  CHECK(policy_problem([](Policy& p) { p.probability = {.threshold = 1.0, .margin = 0.5, .min_mass = 0.0}; }).empty());
}

TEST_CASE("A chat must end with what the user says", "[check_input]") {
  CHECK(chat_problem(ask({image}, "What is it?")).empty());
  CHECK(chat_problem(ask({}, "Hello")).empty());
  CHECK(chat_problem({}) == "conversation: it has no turn");
  CHECK(chat_problem({{{Role::user, {"Hello"}}, {Role::assistant, {"Hi"}}}}) == "conversation: its last turn is not the user's");
  CHECK(chat_problem({{{Role::system, {"Be brief."}}}}) == "conversation: its last turn is not the user's");
  for (const std::string& query : {""s, " "s, "\n\t\r\v\f "s}) CHECK(chat_problem(ask({image}, query)) == "query: it is empty");
  CHECK(chat_problem({{{Role::user, {image}}}}) == "query: it is empty");
  CHECK(chat_problem({{{Role::user, {}}}}) == "query: it is empty");
  CHECK(chat_problem({{{Role::user, {"Hello"}}, {Role::user, {" ", image, ""}}}}) == "query: it is empty");
  CHECK(chat_problem({{{Role::user, {" ", image, "x"}}}}).empty());
}

TEST_CASE("Text that is not UTF-8 is refused wherever it stands", "[check_input]") {
  CHECK(chat_problem(ask({}, "ab\xFF")) == "query: invalid UTF-8 at byte 2");
  CHECK(chat_problem(ask({}, "\xC0\x80")) == "query: invalid UTF-8 at byte 0");
  CHECK(chat_problem(ask({}, "是\xE6\x98")) == "query: invalid UTF-8 at byte 3");
  CHECK(chat_problem({{{Role::user, {"\x80"}}, {Role::user, {"Hello"}}}}) == "query: invalid UTF-8 at byte 0");
  CHECK(chat_problem(ask({}, "é是🙂")).empty());
}

TEST_CASE("Text over the policy's limit is refused, all turns together", "[check_input]") {
  Policy policy;
  policy.max_text_bytes = 10;
  const std::string message = "query: the text is longer than the policy's max_text_bytes, 10 bytes";
  CHECK(chat_problem(ask({}, std::string(10, 'x')), policy).empty());
  CHECK(chat_problem(ask({}, std::string(11, 'x')), policy) == message);
  CHECK(chat_problem({{{Role::user, {"12345"}}, {Role::assistant, {"12345"}}, {Role::user, {"1"}}}}, policy) == message);
  Conversation with_context = ask({}, "12345");
  with_context.context = "12345";
  CHECK(chat_problem(with_context, policy).empty());
  with_context.context += "6";
  CHECK(chat_problem(with_context, policy) == message);
  CHECK(chat_problem(ask({}, std::string(1 << 20, 'x'))) ==
        "query: the text is longer than the policy's max_text_bytes, 524288 bytes");
}

TEST_CASE("More images than the policy's limit are refused, all turns together", "[check_input]") {
  Policy policy;
  policy.max_images = 2;
  CHECK(chat_problem(ask({image, image}, "x"), policy).empty());
  CHECK(chat_problem(ask({image, image, image}, "x"), policy) == "query: 3 images are more than the policy's max_images, 2");
  CHECK(chat_problem({{{Role::user, {image, image}}, {Role::user, {image, "x"}}}}, policy) ==
        "query: 3 images are more than the policy's max_images, 2");
  CHECK(chat_problem(ask(std::vector<Image>(16, image), "x")).empty());
  CHECK(chat_problem(ask(std::vector<Image>(17, image), "x")) == "query: 17 images are more than the policy's max_images, 16");
}

}  // namespace check_input_test
