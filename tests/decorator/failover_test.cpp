#include <ecso/decorator/failover.hpp>

#include <ecso/backend/scripted.hpp>
#include <ecso/core/query_scope.hpp>
#include <ecso/decorator/retry.hpp>
#include <ecso/ecso.hpp>

#include "support/catch.hpp"
#include "support/image_bytes.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace failover_test {

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using Why = ecso::detail::ServerHealth::Why;
using ecso::Errc;
using ecso::Error;
using ecso::Step;

ecso::Image image_of(std::uint32_t width) { return ecso::Image::from_bytes(ecso::test::png_bytes(width, 2)); }

ecso::VisionRequest vision_request(std::uint32_t width = 3, const std::string& query = "q") {
  return {ecso::ask({image_of(width)}, query), {.step = Step::answer}};
}

ecso::TextRequest text_request(const std::string& query = "q") {
  return {ecso::close_eyes(ecso::ask({}, query), {}), {.step = Step::regenerate}};
}

/// A server that does as told by a function; answers with its name otherwise.
class Server final : public ecso::MllmBackend {
 public:
  explicit Server(std::string name, ecso::Capabilities able = {.concurrent = true}) : name_{std::move(name)}, able_{able} {}

  ecso::Reply generate(const ecso::VisionRequest& request, const ecso::CallContext& context) override {
    return call(request.options.step, context);
  }
  ecso::Reply generate(const ecso::TextRequest& request, const ecso::CallContext& context) override {
    return call(request.options.step, context);
  }
  ecso::Capabilities capabilities() const override { return able_; }

  /// Before the first call, or while none runs.
  void fails_with(std::optional<Error> error) {
    action = [error = std::move(error)](const ecso::CallContext&) {
      if (error) throw Error{*error};
    };
  }
  int calls() const { return calls_; }

  std::function<void(const ecso::CallContext&)> action = [](const ecso::CallContext&) {};

 private:
  ecso::Reply call(Step step, const ecso::CallContext& context) {
    ++calls_;
    action(context);
    if (ecso::asks_for_verdict(step)) return {.text = step == Step::check ? "yes" : "no"};
    return {.text = name_};
  }

  std::string name_;
  ecso::Capabilities able_;
  std::atomic<int> calls_{0};
};

/// Three servers, and who among them is the first, second and third for `vision_request()`.
struct Three {
  explicit Three(ecso::FailoverOptions options = {.cool_down = 1h, .max_cool_down = 1h})
      : model{{servers[0], servers[1], servers[2]}, options},
        order{ecso::detail::rendezvous_order(ecso::detail::conversation_key(vision_request()), 3)} {}

  Server& nth(std::size_t i) { return servers.at(order.at(i)); }
  std::string name(std::size_t i) const { return std::string(1, "abc"[order.at(i)]); }
  std::string call(const ecso::CallContext& context = {}) { return model.generate(vision_request(), context).text; }
  Error error(const ecso::CallContext& context = {}) {
    try {
      (void)call(context);
    } catch (const Error& e) {
      return e;
    }
    throw std::logic_error{"the call did not fail"};
  }
  std::array<int, 3> calls() { return {nth(0).calls(), nth(1).calls(), nth(2).calls()}; }

  std::array<Server, 3> servers{Server{"a"}, Server{"b"}, Server{"c"}};
  ecso::FailoverBackend model;
  std::vector<std::size_t> order;
};

using Calls = std::array<int, 3>;

TEST_CASE("a conversation stays with one server", "[failover]") {
  Three three;
  for (int i = 0; i < 10; ++i) CHECK(three.call() == three.name(0));
  CHECK(three.calls() == Calls{10, 0, 0});
  std::set<std::string> names;
  for (int i = 0; i < 10; ++i) names.insert(three.model.generate(text_request(), {}).text);
  CHECK(names.size() == 1);
}

TEST_CASE("answer, check and caption of a query go to one server", "[failover]") {
  std::set<std::string> used;
  for (std::uint32_t width = 1; width <= 30; ++width) {
    Three three;
    ecso::Conversation conversation;
    conversation.messages.push_back({ecso::Role::system, {std::string{"Be brief."}}});
    conversation.messages.push_back(ecso::user_turn({image_of(width), image_of(width + 1)}, "q"));
    ecso::Policy policy = ecso::policy::production();
    std::array<std::size_t, 3> before{};
    std::vector<std::size_t> servers;
    const ecso::PipelineObserver observer{.on_step = [&](const ecso::StepRecord& record) {
      for (std::size_t i = 0; i < 3; ++i) {
        const auto calls = static_cast<std::size_t>(three.servers.at(i).calls());
        // The caption of the second image begins with another image.
        if (calls != before.at(i) && record.step != Step::regenerate && record.step != Step::recheck && record.image == 0) {
          servers.push_back(i);
        }
        before.at(i) = calls;
      }
    }};
    // One call at a time, so that each can be told apart.
    struct Sequential final : ecso::MllmBackend {
      explicit Sequential(ecso::MllmBackend& inner) : backend{inner} {}
      ecso::Reply generate(const ecso::VisionRequest& r, const ecso::CallContext& c) override { return backend.generate(r, c); }
      ecso::Reply generate(const ecso::TextRequest& r, const ecso::CallContext& c) override { return backend.generate(r, c); }
      ecso::MllmBackend& backend;
    } sequential{three.model};
    const ecso::EcsoPipeline<ecso::MllmBackend> pipeline{sequential, policy, observer};
    CHECK(pipeline.run(conversation).path == ecso::Path::eyes_closed);
    REQUIRE(servers.size() == 3);
    CHECK(std::ranges::all_of(servers, [&](std::size_t i) { return i == servers.front(); }));
    used.insert(std::to_string(servers.front()));
  }
  CHECK(used.size() == 3);
}

TEST_CASE("conversations spread evenly, and another server takes only its share", "[failover]") {
  std::array<int, 4> firsts{};
  int moved_elsewhere = 0;
  std::array<int, 4> seconds{};
  for (std::uint64_t i = 0; i < 4000; ++i) {
    const std::uint64_t key = ecso::detail::conversation_key(text_request("query " + std::to_string(i)));
    const auto three = ecso::detail::rendezvous_order(key, 3);
    const auto four = ecso::detail::rendezvous_order(key, 4);
    ++firsts.at(four.front());
    if (four.front() == 0) ++seconds.at(four.at(1));
    if (four.front() != 3 && four.front() != three.front()) ++moved_elsewhere;
    CHECK(std::set<std::size_t>(four.begin(), four.end()).size() == 4);
  }
  CHECK(moved_elsewhere == 0);
  for (const int count : firsts) CHECK((count > 850 && count < 1150));
  for (std::size_t i = 1; i < 4; ++i) CHECK((seconds.at(i) > 250 && seconds.at(i) < 420));
}

TEST_CASE("what a conversation is known by", "[failover]") {
  using ecso::detail::conversation_key;
  CHECK(conversation_key(vision_request(3, "q")) == conversation_key(vision_request(3, "another q")));
  CHECK(conversation_key(vision_request(3)) != conversation_key(vision_request(4)));
  const auto chat = [](const std::string& system, const std::string& first, const std::string& last) {
    ecso::Conversation conversation;
    if (!system.empty()) conversation.messages.push_back({ecso::Role::system, {system}});
    conversation.messages.push_back({ecso::Role::user, {first}});
    conversation.messages.push_back({ecso::Role::user, {last}});
    return conversation;
  };
  const auto vision = [&](const auto&... texts) { return conversation_key(ecso::VisionRequest{chat(texts...), {}}); };
  const auto text = [&](const auto&... texts) {
    return conversation_key(ecso::TextRequest{ecso::close_eyes(chat(texts...), {}), {}});
  };
  CHECK(vision("s", "one", "two") == vision("s", "one", "three"));
  CHECK(vision("s", "one", "two") != vision("s", "other", "two"));
  CHECK(vision("s", "one", "two") != vision("t", "one", "two"));
  CHECK(vision("s", "one", "two") == text("s", "one", "three"));
  CHECK(text("", "one", "two") != text("s", "one", "two"));
  CHECK(text("ab", "c", "d") != text("a", "bc", "d"));
  CHECK(conversation_key(ecso::VisionRequest{}) == conversation_key(ecso::VisionRequest{}));
  // The same on every machine, today and tomorrow: a fleet of gateways agrees.
  CHECK(conversation_key(text_request("q")) == 0x8D1C907B57256D9U);
}

TEST_CASE("a call whose server fails goes to the next, and the server is put aside", "[failover]") {
  for (const Errc code : {Errc::unavailable, Errc::timeout, Errc::tls, Errc::server_error}) {
    INFO(to_string(code));
    Three three;
    three.nth(0).fails_with(Error{code, "down"});
    CHECK(three.call() == three.name(1));
    CHECK(three.call() == three.name(1));
    CHECK(three.calls() == Calls{1, 2, 0});
    CHECK(three.model.generate(text_request(), {}).text != three.name(0));
  }
}

TEST_CASE("an error that another server would repeat goes out at once", "[failover]") {
  for (const Errc code : {Errc::bad_input, Errc::bad_request, Errc::unauthorized, Errc::not_found, Errc::too_large,
                          Errc::cancelled, Errc::bad_reply, Errc::unsupported, Errc::internal}) {
    INFO(to_string(code));
    Three three;
    const Error error{code, "no", {.endpoint = "http://a"}};
    three.nth(0).fails_with(error);
    CHECK(three.error() == error);
    CHECK(three.calls() == Calls{1, 0, 0});
    three.nth(0).fails_with(std::nullopt);
    CHECK(three.call() == three.name(0));
  }
}

TEST_CASE("what is no Error passes through, and nobody is put aside", "[failover]") {
  Three three;
  three.nth(0).action = [](const ecso::CallContext&) { throw std::runtime_error{"broken"}; };
  CHECK_THROWS_WITH(three.call(), "broken");
  CHECK_THROWS_WITH(three.call(), "broken");
  CHECK(three.calls() == Calls{2, 0, 0});
}

TEST_CASE("a busy server is passed over but not put aside, unless it says for how long", "[failover]") {
  Three three;
  three.nth(0).fails_with(Error{Errc::rate_limited, "busy"});
  CHECK(three.call() == three.name(1));
  CHECK(three.call() == three.name(1));
  CHECK(three.calls() == Calls{2, 2, 0});
  three.nth(0).fails_with(Error{Errc::rate_limited, "busy", {.retry_after = 10min}});
  CHECK(three.call() == three.name(1));
  CHECK(three.call() == three.name(1));
  CHECK(three.calls() == Calls{3, 4, 0});
}

TEST_CASE("a request that no server can do puts none aside", "[failover]") {
  Three three;
  for (Server& server : three.servers) server.fails_with(Error{Errc::server_error, "poison"});
  CHECK(three.error().code() == Errc::server_error);
  CHECK(three.calls() == Calls{1, 1, 1});
  for (Server& server : three.servers) server.fails_with(std::nullopt);
  CHECK(three.call() == three.name(0));
  CHECK(three.calls() == Calls{2, 1, 1});
}

TEST_CASE("if all servers fail, the error has all their messages and the last one's code", "[failover]") {
  Three three;
  three.nth(0).fails_with(Error{Errc::unavailable, "loading", {.endpoint = "http://one", .http_status = 503}});
  three.nth(1).fails_with(Error{Errc::timeout, "slow"});
  three.nth(2).fails_with(
      Error{Errc::rate_limited, "busy", {.endpoint = "http://three", .http_status = 429, .retry_after = 7ms}});
  const Error error = three.error();
  CHECK(error.code() == Errc::rate_limited);
  CHECK(error.message() ==
        "http://one: HTTP 503: loading; server " + std::to_string(three.order[1] + 1) + ": slow; http://three: HTTP 429: busy");
  CHECK(error.context() == ecso::ErrorContext{.http_status = 429, .retry_after = 7ms});

  // Only one is asked now, and its error stands alone.
  const Error again = three.error();
  CHECK(again == Error{Errc::unavailable, "loading", {.endpoint = "http://one", .http_status = 503}});
  CHECK(three.calls() == Calls{2, 1, 1});
}

TEST_CASE("if all are aside, the one that failed longest ago is asked, and heals by answering", "[failover]") {
  Three three;
  for (Server& server : three.servers) server.fails_with(Error{Errc::unavailable, "down"});
  (void)three.error();
  CHECK(three.calls() == Calls{1, 1, 1});
  (void)three.error();
  CHECK(three.calls() == Calls{2, 1, 1});
  (void)three.error();
  CHECK(three.calls() == Calls{2, 2, 1});
  three.nth(2).fails_with(std::nullopt);
  CHECK(three.call() == three.name(2));
  CHECK(three.call() == three.name(2));
  CHECK(three.calls() == Calls{2, 2, 3});
  // The only one that is not aside fails: the one that failed longest ago, once more.
  three.nth(2).fails_with(Error{Errc::unavailable, "down"});
  three.nth(0).fails_with(std::nullopt);
  CHECK(three.call() == three.name(0));
}

TEST_CASE("there is no other server once text of the answer was used", "[failover]") {
  Three three;
  three.nth(0).action = [](const ecso::CallContext& context) {
    if (context.on_text) context.on_text("A c");
    throw Error{Errc::unavailable, "broken off"};
  };
  std::string text;
  const Error error = three.error({.on_text = [&](std::string_view piece) { text += piece; }});
  CHECK(error == Error{Errc::unavailable, "broken off"});
  CHECK(text == "A c");
  CHECK(three.calls() == Calls{1, 0, 0});
  CHECK(three.call() == three.name(1));  // It was put aside all the same.
  CHECK(three.calls() == Calls{1, 1, 0});
}

TEST_CASE("empty pieces do not tie a call to a server", "[failover]") {
  Three three;
  three.nth(0).action = [](const ecso::CallContext& context) {
    context.on_text("");
    throw Error{Errc::unavailable, "broken off"};
  };
  CHECK(three.call({.on_text = [](std::string_view) {}}) == three.name(1));
}

TEST_CASE("a stopped or late call goes to no other server", "[failover]") {
  Three three;
  std::stop_source source;
  three.nth(0).action = [&](const ecso::CallContext&) {
    source.request_stop();
    throw Error{Errc::unavailable, "down"};
  };
  CHECK(three.error({.stop = source.get_token()}) == Error{Errc::unavailable, "down"});
  CHECK(three.calls() == Calls{1, 0, 0});
  three.nth(1).fails_with(Error{Errc::timeout, "slow"});
  CHECK(three.error({.deadline = Clock::now()}) == Error{Errc::timeout, "slow"});
  CHECK(three.calls() == Calls{1, 1, 0});
}

TEST_CASE("failover hands the context on", "[failover]") {
  Three three;
  ecso::QueryScope query;
  std::stop_source source;
  const auto deadline = Clock::now() + 1h;
  three.nth(0).action = [&](const ecso::CallContext& context) {
    CHECK(context.stop == source.get_token());
    CHECK(context.deadline == deadline);
    CHECK(context.query == &query);
    CHECK_FALSE(context.on_text);
  };
  CHECK(three.call({.stop = source.get_token(), .deadline = deadline, .query = &query}) == three.name(0));
}

TEST_CASE("after its cool-down a server is tried again, and is back if it works", "[failover]") {
  Three three{{.cool_down = 20ms, .max_cool_down = 20ms}};
  three.nth(0).fails_with(Error{Errc::unavailable, "down"});
  CHECK(three.call() == three.name(1));
  std::this_thread::sleep_for(25ms);
  CHECK(three.call() == three.name(1));
  CHECK(three.nth(0).calls() == 2);
  three.nth(0).fails_with(std::nullopt);
  std::this_thread::sleep_for(25ms);
  CHECK(three.call() == three.name(0));
}

TEST_CASE("a probe that learns nothing leaves room for another", "[failover]") {
  Three three{{.cool_down = 0ms, .max_cool_down = 0ms}};
  three.nth(0).fails_with(Error{Errc::unavailable, "down"});
  CHECK(three.call() == three.name(1));
  three.nth(0).fails_with(Error{Errc::cancelled, "stopped"});
  CHECK(three.error().code() == Errc::cancelled);
  three.nth(0).action = [](const ecso::CallContext&) { throw 7; };
  CHECK_THROWS_AS(three.call(), int);
  three.nth(0).fails_with(std::nullopt);
  CHECK(three.call() == three.name(0));
}

TEST_CASE("a server's time aside doubles up to its limit, and one call at a time probes it", "[failover]") {
  using Health = ecso::detail::ServerHealth;
  Health health{2, 1s, 5s};
  const std::vector<std::size_t> order{0, 1};
  Clock::time_point now{};
  const auto first = [&] { return health.choose(order, true, now)->server; };
  CHECK(first() == 0);
  for (const auto pause : {1s, 2s, 4s, 5s, 5s}) {
    health.failed(0, now);
    now += pause - 1ms;
    health.failed(0, now);  // A call that was under way: the same failure.
    CHECK(first() == 1);
    now += 1ms;
    const auto probe = health.choose(order, true, now);
    CHECK(probe->server == 0);
    CHECK(probe->why == Why::probe);
    CHECK(first() == 1);  // Somebody probes it already.
    health.nothing_learnt({0, Why::last_resort});
    CHECK(first() == 1);
    health.nothing_learnt(*probe);
    CHECK(first() == 0);
  }
  health.answered(0);
  CHECK(first() == 0);
  CHECK(health.choose(order, true, now)->why == Why::healthy);
  health.failed(0, now);  // From the beginning.
  now += 1s;
  CHECK(first() == 0);
}

TEST_CASE("what a server asks for prolongs its time aside, within the limit", "[failover]") {
  ecso::detail::ServerHealth health{1, 1s, 5s};
  const std::vector<std::size_t> order{0};
  const Clock::time_point start{};
  health.failed(0, start, 3s);
  CHECK_FALSE(health.choose(order, false, start + 3s - 1ms));
  CHECK(health.choose(order, true, start + 3s - 1ms)->why == Why::last_resort);
  CHECK(health.choose(order, false, start + 3s)->why == Why::probe);
  health.failed(0, start + 3s, std::chrono::milliseconds::max());
  CHECK_FALSE(health.choose(order, false, start + 8s - 1ms));
  CHECK(health.choose(order, false, start + 8s));
  CHECK_FALSE(health.choose({}, true, start));
}

TEST_CASE("several servers can what all of them can", "[failover]") {
  const ecso::Capabilities all{
      .vision = true, .logprobs = true, .forced_choice = true, .concurrent = true, .streaming = true, .slots = 4};
  Server full{"full", all};
  Server twin{"twin", all};
  ecso::Capabilities sum = all;
  sum.slots = 8;
  CHECK(ecso::FailoverBackend({full, twin}).capabilities() == sum);
  CHECK(ecso::FailoverBackend({full}).capabilities() == all);

  Server none{"none", {.vision = false}};
  CHECK(ecso::FailoverBackend({full, none, twin}).capabilities() == ecso::Capabilities{.vision = false});
  Server huge{"huge", {.slots = std::numeric_limits<int>::max()}};
  CHECK(ecso::FailoverBackend({huge, huge}).capabilities().slots == std::numeric_limits<int>::max());
}

TEST_CASE("failover needs a server and sensible options", "[failover]") {
  using Catch::Matchers::ContainsSubstring;
  Server server{"a"};
  CHECK_THROWS_WITH(ecso::FailoverBackend({}), ContainsSubstring("no backend"));
  CHECK_THROWS_WITH(ecso::FailoverBackend({server}, {.cool_down = -1ms}), ContainsSubstring("cool-down"));
  CHECK_THROWS_WITH(ecso::FailoverBackend({server}, {.max_cool_down = 25h}), ContainsSubstring("cool-down"));
}

TEST_CASE("a pipeline over servers that all fail at a step releases nothing", "[failover][retry]") {
  const auto image = image_of(3);
  for (const Step bad : {Step::answer, Step::check, Step::caption, Step::regenerate, Step::recheck}) {
    struct FailsAt final : ecso::MllmBackend {
      explicit FailsAt(Step step) : bad_step{step} {}
      ecso::Reply say(Step step) const {
        if (step == bad_step) throw Error{Errc::unavailable, "injected"};
        if (ecso::asks_for_verdict(step)) return {.text = step == Step::check ? "yes" : "no"};
        return {.text = "text"};
      }
      ecso::Reply generate(const ecso::VisionRequest& r, const ecso::CallContext&) override { return say(r.options.step); }
      ecso::Reply generate(const ecso::TextRequest& r, const ecso::CallContext&) override { return say(r.options.step); }
      Step bad_step;
    };
    FailsAt one{bad};
    FailsAt two{bad};
    ecso::FailoverBackend servers{{one, two}};
    ecso::RetryBackend retried{servers, {.max_attempts = 2, .base_delay = 0ms}};
    const ecso::Outcome outcome = ecso::EcsoPipeline<ecso::MllmBackend>{retried}.try_run(ecso::ask({image}, "q"));
    CHECK(outcome.path == ecso::Path::failed);
    CHECK(outcome.text.empty());
    REQUIRE(outcome.error);
    CHECK(outcome.error->context().step == bad);
    CHECK_THAT(outcome.error->what(), Catch::Matchers::StartsWith(std::string{to_string(bad)} + ": "));
    CHECK_THAT(outcome.error->what(), Catch::Matchers::EndsWith("(after 2 attempts)"));
  }
}

TEST_CASE("eight threads, a server that comes and goes, and no call lost", "[failover]") {
  std::atomic<int> calls{0};
  Server steady{"steady"};
  Server moody{"moody"};
  moody.action = [&](const ecso::CallContext&) {
    if (calls++ / 50 % 2 == 1) throw Error{Errc::unavailable, "down"};
  };
  ecso::FailoverBackend model{{moody, steady}, {.cool_down = 1ms, .max_cool_down = 2ms}};
  std::atomic<int> answered{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 8; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 500; ++i) {
          const std::string text = model.generate(text_request(std::to_string(t) + "/" + std::to_string(i)), {}).text;
          if (text == "steady" || text == "moody") ++answered;
        }
      });
    }
  }
  CHECK(answered == 4000);
  CHECK(moody.calls() > 0);
  CHECK(steady.calls() > 0);
}

}  // namespace

}  // namespace failover_test
