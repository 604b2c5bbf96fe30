#include <ecso/decorator/cache.hpp>

#include <ecso/core/protocol_json.hpp>
#include <ecso/decorator/memory_store.hpp>
#include <ecso/detail/cache_entry.hpp>
#include <ecso/ecso.hpp>

#include "support/catch.hpp"
#include "support/image_bytes.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <limits>
#include <map>
#include <mutex>
#include <optional>
#include <semaphore>
#include <set>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace cache_test {

namespace {

using namespace std::chrono_literals;

/// Counts its calls and answers by a function of the request's step.
class Counting final : public ecso::MllmBackend {
 public:
  using Answer = std::function<ecso::Reply(ecso::Step, const ecso::CallContext&)>;

  Counting() : Counting{[](ecso::Step step, const ecso::CallContext&) { return usual(step); }} {}
  explicit Counting(Answer answer) : answer_{std::move(answer)} {}

  ecso::Reply generate(const ecso::VisionRequest& request, const ecso::CallContext& context) override {
    return call(request.options.step, context);
  }
  ecso::Reply generate(const ecso::TextRequest& request, const ecso::CallContext& context) override {
    return call(request.options.step, context);
  }
  [[nodiscard]] ecso::Capabilities capabilities() const override { return {.logprobs = true, .concurrent = true, .slots = 3}; }

  [[nodiscard]] int calls() const { return calls_; }
  [[nodiscard]] std::map<ecso::Step, int> by_step() const { return by_step_; }

  static ecso::Reply usual(ecso::Step step) {
    ecso::Reply reply{.text = step == ecso::Step::check     ? "yes"
                              : step == ecso::Step::recheck ? "no"
                                                            : "A cat.",
                      .finish_reason = ecso::FinishReason::stop,
                      .usage = {100, 50, 1},
                      .model = "tiny",
                      .duration = 7ms};
    if (ecso::asks_for_verdict(step))
      reply.logprobs = {{reply.text, -0.01, {{reply.text, -0.01}, {reply.text == "no" ? "yes" : "no", -4.6}}}};
    return reply;
  }

 private:
  ecso::Reply call(ecso::Step step, const ecso::CallContext& context) {
    {
      const std::lock_guard lock{mutex_};
      ++by_step_[step];
    }
    ++calls_;
    return answer_(step, context);
  }

  Answer answer_;
  std::atomic<int> calls_{0};
  std::mutex mutex_;
  std::map<ecso::Step, int> by_step_;
};

/// A store whose entries a test can read and spoil.
class OpenStore final : public ecso::ReplyStore {
 public:
  std::optional<std::string> load(const std::string& key) override {
    const auto found = entries.find(key);
    return found == entries.end() ? std::nullopt : std::optional{found->second};
  }
  void save(const std::string& key, const std::string& value) override { entries[key] = value; }

  std::map<std::string, std::string> entries;
};

ecso::Image picture(std::uint32_t width = 2) { return ecso::Image::from_bytes(ecso::test::png_bytes(width, 2)); }

ecso::CacheScope scope() {
  return {.endpoint = "http://h", .model = "llava", .policy = ecso::fingerprint(ecso::policy::production())};
}

ecso::VisionRequest check_request() {
  return {ecso::ask({picture()}, "Harmful?"),
          {.step = ecso::Step::check,
           .sampling = {.temperature = 0.0, .max_tokens = 4},
           .choices = {"yes", "no"},
           .top_logprobs = 5}};
}

/// A reply as the cache gives it again.
ecso::Reply free_of_charge(ecso::Reply reply) {
  reply.usage = {};
  reply.duration = {};
  return reply;
}

TEST_CASE("the second time a cached reply costs nothing and is else the same", "[cache]") {
  Counting model;
  ecso::MemoryStore store;
  ecso::CacheBackend cached{model, store, scope()};
  const ecso::Reply first = cached.generate(check_request(), {});
  CHECK(first == Counting::usual(ecso::Step::check));
  std::string told;
  int pieces = 0;
  const ecso::Reply second = cached.generate(check_request(), {.on_text = [&](std::string_view text) {
                                               told += text;
                                               ++pieces;
                                             }});
  CHECK(second == free_of_charge(first));
  CHECK(told == "yes");
  CHECK(pieces == 1);
  CHECK(model.calls() == 1);
  CHECK(cached.stats() == ecso::CacheStats{.hits = 1, .misses = 1, .stored = 1});
  CHECK(cached.capabilities() == model.capabilities());
}

TEST_CASE("a change of any part of a request, or of its scope, misses the cache", "[cache][safety]") {
  Counting model;
  ecso::MemoryStore store;
  std::set<std::string> texts;
  int asked = 0;

  const auto ask = [&](const ecso::ModelRequest& request, const ecso::CacheScope& at) {
    ecso::CacheBackend cached{
        model,
        store,
        at,
        {.steps = {ecso::Step::answer, ecso::Step::check, ecso::Step::caption, ecso::Step::regenerate, ecso::Step::recheck},
         .also_sampled = true}};
    const auto generate = [&](const auto& r) { return cached.generate(r, {}); };
    (void)std::visit(generate, request);
    ++asked;
    CHECK(model.calls() == asked);
    (void)std::visit(generate, request);
    CHECK(model.calls() == asked);
  };
  const auto vary = [&](const std::function<void(ecso::VisionRequest&)>& change) {
    ecso::VisionRequest request = check_request();
    change(request);
    ask(request, scope());
  };

  vary([](auto&) {});
  for (const auto step : {ecso::Step::answer, ecso::Step::recheck, ecso::Step::caption, ecso::Step::regenerate})
    vary([&](auto& r) { r.options.step = step; });
  vary([](auto& r) { r.options.model = "other"; });
  vary([](auto& r) { r.options.choices = {}; });
  vary([](auto& r) { r.options.choices = {"no", "yes"}; });
  vary([](auto& r) { r.options.choices = {"yes", "no", ""}; });
  vary([](auto& r) { r.options.top_logprobs = 0; });
  vary([](auto& r) { r.options.top_logprobs = 6; });
  vary([](auto& r) { r.options.sampling.temperature.reset(); });
  vary([](auto& r) { r.options.sampling.temperature = std::numeric_limits<double>::denorm_min(); });
  vary([](auto& r) { r.options.sampling.temperature = 0.1; });
  vary([](auto& r) { r.options.sampling.temperature = 0.1 + 1e-17 + std::numeric_limits<double>::epsilon() / 8; });
  vary([](auto& r) { r.options.sampling.top_p = 0.0; });
  vary([](auto& r) { r.options.sampling.max_tokens = 5; });
  vary([](auto& r) { r.options.sampling.max_tokens.reset(); });
  vary([](auto& r) { r.options.sampling.seed = 0; });
  vary([](auto& r) { r.options.sampling.seed = std::numeric_limits<std::uint64_t>::max(); });
  vary([](auto& r) { r.options.sampling.seed = std::numeric_limits<std::uint64_t>::max() - 1; });
  vary([](auto& r) { r.options.sampling.stop = {"a"}; });
  vary([](auto& r) { r.options.sampling.stop = {"a", ""}; });

  vary([](auto& r) { r.conversation = ecso::ask({picture()}, "Harmful? "); });
  vary([](auto& r) { r.conversation = ecso::ask({picture()}, "harmful?"); });
  vary([](auto& r) { r.conversation = ecso::ask({picture(), picture()}, "Harmful?"); });
  vary([](auto& r) { r.conversation = ecso::ask({}, "Harmful?"); });
  vary([](auto& r) { r.conversation.messages.front().role = ecso::Role::assistant; });
  vary([](auto& r) { r.conversation.messages.front().role = ecso::Role::system; });
  vary([](auto& r) { r.conversation.messages.push_back({ecso::Role::user, {std::string{}}}); });
  vary([](auto& r) { r.conversation.messages.push_back({ecso::Role::user, {}}); });
  vary([](auto& r) { std::swap(r.conversation.messages.front().parts[0], r.conversation.messages.front().parts[1]); });
  vary([](auto& r) { r.conversation.messages.front().parts = {picture(), std::string{"Harm"}, std::string{"ful?"}}; });
  vary([](auto& r) { r.conversation.messages.front().parts = {picture(), std::string{"Harmful?\0", 9}}; });
  // A text that spells an image's record is no image.
  const std::string record = ecso::to_json(ecso::TracedImage{picture()}.record()).dump();
  vary([&](auto& r) { r.conversation.messages.front().parts = {record, std::string{"Harmful?"}}; });

  ask(ecso::TextRequest{ecso::close_eyes(ecso::ask({}, "Harmful?"), {}), check_request().options}, scope());

  for (std::size_t changed = 0; changed < 3; ++changed) {
    ecso::CacheScope at = scope();
    if (changed == 0) at.endpoint += "/";
    if (changed == 1) at.model = "llava2";
    if (changed == 2) at.policy = ecso::fingerprint(ecso::policy::paper());
    ask(check_request(), at);
  }
  // Names do not run into each other.
  ask(check_request(), {.endpoint = "a", .model = "bc", .policy = scope().policy});
  ask(check_request(), {.endpoint = "ab", .model = "c", .policy = scope().policy});
  ask(check_request(), {.endpoint = "", .model = "abc", .policy = scope().policy});
  CHECK(store.size() == static_cast<std::size_t>(asked));
}

TEST_CASE("a change of any byte of an image misses the cache", "[cache][safety]") {
  Counting model;
  ecso::MemoryStore store;
  ecso::CacheBackend cached{model, store, scope()};
  // A comment can hold any byte, so that every changed image is an image still.
  const std::string bytes = ecso::test::jpeg_bytes(2, 2, std::string(200, 'x'));
  const std::size_t begin = bytes.find("xxx");
  const auto ask = [&](const std::string& image) {
    ecso::VisionRequest request = check_request();
    request.conversation = ecso::ask({ecso::Image::from_bytes(image)}, "Harmful?");
    (void)cached.generate(request, {});
  };
  ask(bytes);
  for (std::size_t i = 0; i < 200; ++i) {
    std::string changed = bytes;
    changed[begin + i] = static_cast<char>(changed[begin + i] ^ 1 << i % 8);
    ask(changed);
  }
  ask(bytes + '\0');
  CHECK(model.calls() == 202);
  ask(bytes);
  CHECK(model.calls() == 202);
}

TEST_CASE("a request that JSON cannot hold exactly is never cached", "[cache][safety]") {
  Counting model;
  ecso::MemoryStore store;
  ecso::CacheBackend cached{model, store, scope(), {.also_sampled = true}};
  // As JSON with replacement characters, both would be the same.
  for (const char* text : {"harmful\xFF", "harmful\xFE", "harmful\xFF"}) {
    ecso::VisionRequest request = check_request();
    request.conversation = ecso::ask({picture()}, text);
    (void)cached.generate(request, {});
  }
  for (const double temperature : {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    ecso::VisionRequest request = check_request();
    request.options.sampling.temperature = temperature;
    (void)cached.generate(request, {});
    (void)cached.generate(request, {});
  }
  CHECK(model.calls() == 7);
  CHECK(store.size() == 0);
}

TEST_CASE("only the steps that were asked for are cached, and only what chance had no part in", "[cache]") {
  Counting model;
  ecso::MemoryStore store;
  const auto calls_for = [&](ecso::Step step, const ecso::Sampling& sampling, ecso::CacheOptions options = {}) {
    ecso::MemoryStore fresh;
    ecso::CacheBackend cached{model, fresh, scope(), std::move(options)};
    const int before = model.calls();
    ecso::VisionRequest request = check_request();
    request.options.step = step;
    request.options.sampling = sampling;
    (void)cached.generate(request, {});
    (void)cached.generate(request, {});
    return model.calls() - before;
  };
  const ecso::Sampling greedy{.temperature = 0.0};
  CHECK(calls_for(ecso::Step::check, greedy) == 1);
  CHECK(calls_for(ecso::Step::recheck, greedy) == 1);
  CHECK(calls_for(ecso::Step::caption, greedy) == 1);
  CHECK(calls_for(ecso::Step::answer, greedy) == 2);
  CHECK(calls_for(ecso::Step::regenerate, greedy) == 2);
  CHECK(calls_for(ecso::Step::answer, greedy, {.steps = {ecso::Step::answer}}) == 1);
  CHECK(calls_for(ecso::Step::check, greedy, {.steps = {ecso::Step::answer}}) == 2);
  CHECK(calls_for(ecso::Step::check, {}) == 2);
  CHECK(calls_for(ecso::Step::check, {.temperature = 0.7}) == 2);
  CHECK(calls_for(ecso::Step::check, {.temperature = 0.7, .seed = 1}) == 1);
  CHECK(calls_for(ecso::Step::check, {.temperature = 0.7}, {.also_sampled = true}) == 1);
  CHECK(calls_for(ecso::Step::check, greedy, {.max_entry_bytes = 100}) == 2);
}

TEST_CASE("replies that are not whole are not cached", "[cache][safety]") {
  ecso::Reply reply;
  Counting model{[&](ecso::Step, const ecso::CallContext&) { return reply; }};
  const auto calls_for = [&](ecso::Reply given, std::optional<int> max_tokens = 4) {
    reply = std::move(given);
    ecso::MemoryStore store;
    ecso::CacheBackend cached{model, store, scope()};
    const int before = model.calls();
    ecso::VisionRequest request = check_request();
    request.options.sampling.max_tokens = max_tokens;
    CHECK(cached.generate(request, {}).text == reply.text);
    CHECK(cached.generate(request, {}).text == reply.text);
    return model.calls() - before;
  };
  using ecso::FinishReason;
  CHECK(calls_for({.text = "no", .finish_reason = FinishReason::stop}) == 1);
  CHECK(calls_for({.text = "no"}) == 1);
  CHECK(calls_for({.text = "", .finish_reason = FinishReason::stop}) == 2);
  CHECK(calls_for({.text = "no", .finish_reason = FinishReason::content_filter}) == 2);
  CHECK(calls_for({.text = "no", .finish_reason = FinishReason::other}) == 2);
  CHECK(calls_for({.text = "no", .finish_reason = FinishReason::length, .usage = {9, 0, 4}}) == 1);
  CHECK(calls_for({.text = "no", .finish_reason = FinishReason::length, .usage = {9, 0, 3}}) == 2);
  CHECK(calls_for({.text = "no", .finish_reason = FinishReason::length}) == 2);
  CHECK(calls_for({.text = "no", .finish_reason = FinishReason::length, .usage = {9, 0, 4}}, std::nullopt) == 2);
}

TEST_CASE("a reply that JSON cannot hold as it is is not cached", "[cache][safety]") {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  ecso::Reply reply{.text = "no"};
  Counting model{[&](ecso::Step, const ecso::CallContext&) { return reply; }};
  const auto calls_for = [&](std::vector<ecso::TokenLogprobs> logprobs) {
    reply.logprobs = std::move(logprobs);
    ecso::MemoryStore store;
    ecso::CacheBackend cached{model, store, scope()};
    const int before = model.calls();
    const ecso::Reply first = cached.generate(check_request(), {});
    const ecso::Reply second = cached.generate(check_request(), {});
    CHECK(ecso::probability_verdict(first.logprobs) == ecso::probability_verdict(second.logprobs));
    return model.calls() - before;
  };
  CHECK(calls_for({{"no", -0.5, {{"no", -0.5}, {"yes", -infinity}}}}) == 1);
  CHECK(calls_for({{"no", -0.5, {{"no", -0.5}, {"yes", infinity}}}}) == 2);
  CHECK(calls_for({{"no", -0.5, {{"no", -0.5}, {"yes", std::numeric_limits<double>::quiet_NaN()}}}}) == 2);
  CHECK(calls_for({{"no", infinity, {}}}) == 2);
  CHECK(calls_for({{"n\xC3", -0.5, {}}}) == 2);
  reply.text = "no\xFF";
  CHECK(calls_for({}) == 2);
}

TEST_CASE("a damaged entry is never believed, and is overwritten", "[cache][safety]") {
  Counting model;
  OpenStore store;
  ecso::CacheBackend cached{model, store, scope()};
  const ecso::Reply first = cached.generate(check_request(), {});
  REQUIRE(store.entries.size() == 1);
  const std::string key = store.entries.begin()->first;
  const std::string good = store.entries.begin()->second;

  std::uint64_t spoilt = 0;
  const auto spoil = [&](const std::string& entry) {
    store.entries[key] = entry;
    const int before = model.calls();
    CHECK(cached.generate(check_request(), {}).text == "yes");
    CHECK(model.calls() == before + 1);
    CHECK(store.entries.at(key) == good);
    ++spoilt;
  };
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 1 << i % 7);
    spoil(bad);
  }
  for (std::size_t size = 0; size < good.size(); ++size) spoil(good.substr(0, size));
  spoil(good + ' ');
  spoil("no");

  // Sealed as it should be, but no reply.
  const auto sealed = [&](const std::string& json) { return ecso::detail::cache_header(key, json) + json; };
  spoil(sealed("{}"));
  spoil(sealed("not JSON"));
  spoil(sealed(std::string(100'000, '[')));
  std::string other_schema = good;
  spoil(other_schema.replace(other_schema.find("-1 "), 3, "-2 "));

  // A good entry under another request's key.
  ecso::VisionRequest other = check_request();
  other.conversation = ecso::ask({picture(5)}, "Harmful?");
  const std::string other_key =
      *ecso::detail::cache_key({{"endpoint", scope().endpoint}, {"model", scope().model}, {"policy", scope().policy}}, other);
  store.entries[other_key] = good;
  const int before = model.calls();
  (void)cached.generate(other, {});
  CHECK(model.calls() == before + 1);

  CHECK(cached.stats().damaged == spoilt + 1);
  CHECK(cached.generate(check_request(), {}) == free_of_charge(first));
}

TEST_CASE("errors are not cached", "[cache]") {
  int left = 1;
  Counting model{[&](ecso::Step step, const ecso::CallContext&) {
    if (left-- > 0) throw ecso::Error{ecso::Errc::unavailable, "no server"};
    return Counting::usual(step);
  }};
  ecso::MemoryStore store;
  ecso::CacheBackend cached{model, store, scope()};
  CHECK_THROWS_WITH(cached.generate(check_request(), {}), "no server");
  CHECK(cached.generate(check_request(), {}).text == "yes");
  CHECK(cached.generate(check_request(), {}).text == "yes");
  CHECK(model.calls() == 2);
}

TEST_CASE("a store that fails costs no query its answer", "[cache][faults]") {
  struct : ecso::ReplyStore {
    std::optional<std::string> load(const std::string&) override {
      throw ecso::Error{ecso::Errc::unavailable, "locked", {.endpoint = "replies.sqlite"}};
    }
    void save(const std::string&, const std::string&) override { throw std::runtime_error{"disk full"}; }
  } store;
  Counting model;
  std::vector<std::string> told;
  ecso::CacheBackend cached{model, store, scope(), {.on_store_error = [&](const ecso::Error& error) {
                              told.emplace_back(error.what());
                              throw std::runtime_error{"dropped"};
                            }}};
  CHECK(cached.generate(check_request(), {}) == Counting::usual(ecso::Step::check));
  CHECK(told == std::vector<std::string>{"replies.sqlite: locked", "the reply store threw: disk full"});
  CHECK(cached.stats() == ecso::CacheStats{.misses = 1, .store_errors = 2});
  ecso::CacheBackend silent{model, store, scope()};
  CHECK(silent.generate(check_request(), {}).text == "yes");
}

TEST_CASE("a scope says whose replies they are", "[cache]") {
  Counting model;
  ecso::MemoryStore store;
  const auto make = [&](const ecso::CacheScope& at) { ecso::CacheBackend{model, store, at}; };
  const std::string policy = scope().policy;
  CHECK_NOTHROW(make({.endpoint = "http://h", .policy = policy}));
  CHECK_NOTHROW(make({.model = "llava", .policy = policy}));
  CHECK_THROWS_WITH(make({.policy = policy}), "cache: the scope must name the model or its endpoint");
  for (const std::string& bad : {std::string{}, std::string{"production"}, policy.substr(1), std::string(64, 'G')}) {
    CHECK_THROWS_WITH(make({.model = "llava", .policy = bad}), Catch::Matchers::ContainsSubstring("must be its fingerprint"));
  }
  CHECK_THROWS_WITH(make({.model = "\xFF", .policy = policy}), "cache: the scope must be UTF-8");
}

TEST_CASE("a query asked again spends only its answers", "[cache][pipeline]") {
  Counting model;
  ecso::MemoryStore store;
  const auto ask = [&](const ecso::Policy& policy) {
    ecso::CacheBackend cached{model, store, {.endpoint = "http://h", .model = "llava", .policy = ecso::fingerprint(policy)}};
    ecso::EcsoPipeline pipeline{cached, policy};
    return pipeline.run(picture(), "What is this?");
  };
  const auto production = ecso::policy::production();
  const ecso::Outcome first = ask(production);
  CHECK(first.path == ecso::Path::eyes_closed);
  CHECK(model.calls() == 5);
  const ecso::Outcome second = ask(production);
  CHECK(second.path == first.path);
  CHECK(second.text == first.text);
  CHECK(model.calls() == 7);
  CHECK(model.by_step() == std::map<ecso::Step, int>{{ecso::Step::answer, 2},
                                                     {ecso::Step::check, 1},
                                                     {ecso::Step::caption, 1},
                                                     {ecso::Step::regenerate, 2},
                                                     {ecso::Step::recheck, 1}});
  REQUIRE(second.steps.size() == 5);
  CHECK(second.steps[1].usage == ecso::Usage{});
  CHECK(second.steps[1].duration.count() > 0);

  // Nothing of this is in the requests: the fingerprint alone tells the policies apart.
  ecso::Policy stricter = production;
  stricter.probability.threshold = 0.4;
  (void)ask(stricter);
  CHECK(model.calls() == 12);
}

TEST_CASE("equal calls at the same time become one", "[cache][threads]") {
  constexpr int threads = 16;
  std::counting_semaphore<> open{0};
  Counting model{[&](ecso::Step step, const ecso::CallContext&) {
    open.acquire();
    return Counting::usual(step);
  }};
  ecso::MemoryStore store;
  ecso::CacheBackend cached{model, store, scope()};
  std::atomic<int> right{0};
  {
    std::vector<std::jthread> askers;
    for (int i = 0; i < threads; ++i) {
      askers.emplace_back([&] {
        std::string told;
        const ecso::CallContext context{.on_text = [&](std::string_view text) { told += text; }};
        right += cached.generate(check_request(), context).text == "yes" ? 1 : 0;
      });
    }
    std::this_thread::sleep_for(50ms);
    open.release(threads);
  }
  CHECK(right == threads);
  CHECK(model.calls() == 1);
  const ecso::CacheStats stats = cached.stats();
  CHECK(stats.misses == 1);
  CHECK(stats.stored == 1);
  CHECK(stats.hits + stats.shared == threads - 1);
}

TEST_CASE("a leader that is cancelled, fails or is filtered does not fail those who wait", "[cache][threads][faults]") {
  const int how = GENERATE(0, 1, 2);
  std::binary_semaphore leading{0};
  std::counting_semaphore<> open{0};
  std::atomic<int> calls{0};
  Counting model{[&](ecso::Step step, const ecso::CallContext& context) -> ecso::Reply {
    if (calls++ > 0) return Counting::usual(step);
    leading.release();
    open.acquire();
    if (how == 0) {
      while (!context.stop.stop_requested()) std::this_thread::sleep_for(1ms);
      throw ecso::Error{ecso::Errc::cancelled, "stopped"};
    }
    if (how == 1) throw std::runtime_error{"broken"};
    return {.text = "no", .finish_reason = ecso::FinishReason::content_filter};
  }};
  ecso::MemoryStore store;
  ecso::CacheBackend cached{model, store, scope()};
  std::stop_source stop;
  std::atomic<int> leader_failed{0};
  std::atomic<int> right{0};
  {
    std::jthread leader{[&] {
      try {
        leader_failed += cached.generate(check_request(), {.stop = stop.get_token()}).text == "no" ? 1 : 0;
      } catch (const std::exception&) {
        ++leader_failed;
      }
    }};
    leading.acquire();
    std::vector<std::jthread> others;
    for (int i = 0; i < 4; ++i) {
      others.emplace_back([&] { right += cached.generate(check_request(), {}).text == "yes" ? 1 : 0; });
    }
    std::this_thread::sleep_for(20ms);
    stop.request_stop();
    open.release();
  }
  CHECK(leader_failed == 1);
  CHECK(right == 4);
  CHECK(store.size() == 1);
}

TEST_CASE("who waits for an equal call keeps to its own deadline and stop token", "[cache][threads]") {
  std::binary_semaphore leading{0};
  std::binary_semaphore open{0};
  Counting model{[&](ecso::Step step, const ecso::CallContext&) {
    leading.release();
    open.acquire();
    return Counting::usual(step);
  }};
  ecso::MemoryStore store;
  ecso::CacheBackend cached{model, store, scope()};
  std::jthread leader{[&] { (void)cached.generate(check_request(), {}); }};
  leading.acquire();

  CHECK_THROWS_WITH(cached.generate(check_request(), {.deadline = std::chrono::steady_clock::now() + 20ms}),
                    "the deadline passed while the same call was under way");
  std::stop_source stop;
  std::jthread stopper{[&] {
    std::this_thread::sleep_for(20ms);
    stop.request_stop();
  }};
  CHECK_THROWS_WITH(cached.generate(check_request(), {.stop = stop.get_token()}), "cancelled while the same call was under way");
  open.release();
  leader.join();
  CHECK(cached.generate(check_request(), {}).text == "yes");
  CHECK(model.calls() == 1);
}

TEST_CASE("many threads with many requests get each its own reply", "[cache][threads]") {
  struct : ecso::MllmBackend {
    ecso::Reply generate(const ecso::VisionRequest& request, const ecso::CallContext&) override {
      ++calls;
      if (calls % 20 == 0) throw ecso::Error{ecso::Errc::server_error, "down"};
      return {.text = "reply to " + ecso::query_of(request.conversation), .finish_reason = ecso::FinishReason::stop};
    }
    ecso::Reply generate(const ecso::TextRequest&, const ecso::CallContext&) override { return {}; }
    std::atomic<int> calls{0};
  } model;
  ecso::MemoryStore store{{.max_entries = 20}};
  ecso::CacheBackend cached{model, store, scope()};
  const ecso::Image image = picture();
  std::atomic<int> wrong{0};
  std::atomic<int> right{0};
  std::atomic<int> failed{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 8; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 300; ++i) {
          const std::string query = "query " + std::to_string((i + t) % 30);
          ecso::VisionRequest request{ecso::ask({image}, query), check_request().options};
          try {
            ++(cached.generate(request, {}).text == "reply to " + query ? right : wrong);
          } catch (const ecso::Error&) {
            ++failed;
          }
        }
      });
    }
  }
  CHECK(wrong == 0);
  CHECK(right + failed == 8 * 300);
  const ecso::CacheStats stats = cached.stats();
  CHECK(stats.misses == static_cast<std::uint64_t>(model.calls));
  CHECK(stats.hits + stats.shared + stats.misses == 8 * 300);
}

}  // namespace

}  // namespace cache_test
