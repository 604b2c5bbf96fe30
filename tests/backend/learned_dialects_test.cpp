#include <ecso/backend/learned_dialects.hpp>

#include "support/catch.hpp"

#include <chrono>
#include <string>

namespace learned_dialects_test {

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

/// A server's ways to be asked, told apart by a word.
using Learned = ecso::LearnedDialects<std::string>;

}  // namespace

TEST_CASE("what a model refuses changes nothing for another", "[learned_dialects]") {
  Learned learned{"full"};
  learned.learn("o3", 1, "plain");
  CHECK(learned.of("o3") == "plain");
  CHECK(learned.of("gpt-4o") == "full");
  CHECK(learned.of("") == "full");
  CHECK(learned.has_answered("o3", 1));
  CHECK_FALSE(learned.has_answered("o3", 2));
  CHECK_FALSE(learned.has_answered("gpt-4o", 1));
}

TEST_CASE("what was learned of a model is forgotten after its time, and learned anew", "[learned_dialects]") {
  Clock::time_point now{};
  Learned learned{"full", {.good_for = 10min, .now = [&] { return now; }}};
  learned.learn("m", 1, "plain");
  now += 9min;
  learned.learn("m", 2, "plain");
  CHECK(learned.of("m") == "plain");
  now += 1min;
  CHECK(learned.of("m") == "full");
  CHECK_FALSE(learned.has_answered("m", 2));
  learned.learn("m", 1, "plainer");
  now += 9min;
  CHECK(learned.of("m") == "plainer");
  CHECK_FALSE(learned.has_answered("m", 2));
}

TEST_CASE("a name that nobody gives a model is not kept", "[learned_dialects]") {
  Learned learned{"full"};
  learned.learn(std::string(256, 'm'), 0, "plain");
  learned.learn(std::string(257, 'm'), 0, "plain");
  CHECK(learned.of(std::string(256, 'm')) == "plain");
  CHECK(learned.of(std::string(257, 'm')) == "full");
}

TEST_CASE("the oldest model is forgotten where there are too many", "[learned_dialects]") {
  Clock::time_point now{};
  Learned learned{"full", {.max_models = 2, .now = [&] { return now; }}};
  for (const char* model : {"a", "b", "c"}) {
    learned.learn(model, 0, "plain");
    now += 1s;
  }
  CHECK(learned.of("a") == "full");
  CHECK(learned.of("b") == "plain");
  CHECK(learned.of("c") == "plain");
}

}  // namespace learned_dialects_test
