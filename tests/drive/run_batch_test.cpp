#include <ecso/drive/run_batch.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <thread>

#include "support/catch.hpp"

namespace run_batch_test {

namespace {

using namespace ecso;
using namespace std::chrono_literals;

/// Answers each query with its own text; queries that hold a word do what the word says.
class EchoBackend final : public MllmBackend {
 public:
  explicit EchoBackend(bool concurrent = true) : concurrent_{concurrent} {}

  Reply generate(const VisionRequest&, const CallContext&) override { throw Error{Errc::unsupported, "text only"}; }
  Reply generate(const TextRequest& request, const CallContext& context) override {
    const int now = ++under_way;
    for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {}
    struct Leave {
      std::atomic<int>& counter;
      ~Leave() { --counter; }
    } leave{under_way};
    const std::string& text = request.conversation.messages().back().text;
    Reply reply;
    if (asks_for_verdict(request.options.step)) {
      reply.text = "No";
      return reply;
    }
    if (text.find("fail") != std::string::npos) throw Error{Errc::server_error, "failed"};
    const auto time = text.find("slow") != std::string::npos ? 30ms : 1ms;
    const bool is_held = text == "held";
    for (const auto end = std::chrono::steady_clock::now() + time;
         std::chrono::steady_clock::now() < end || (is_held && holds);) {
      if (context.stop.stop_requested()) throw Error{Errc::cancelled, "stopped"};
      std::this_thread::sleep_for(200us);
    }
    reply.text = "echo " + text;
    return reply;
  }
  [[nodiscard]] Capabilities capabilities() const override { return {.concurrent = concurrent_}; }

  std::atomic<int> under_way{0};
  std::atomic<int> most{0};
  std::atomic<bool> holds{true};  ///< The query "held".

 private:
  bool concurrent_;
};

auto queries(std::size_t count, std::string word = "") {
  return [count, word, i = std::size_t{0}, policy = std::make_shared<const Policy>()]() mutable -> std::optional<EcsoProtocol> {
    if (i == count) return std::nullopt;
    return EcsoProtocol{ask({}, std::to_string(i++) + word), policy};
  };
}

}  // namespace

TEST_CASE("a batch answers every query once, with no more calls at once than allowed", "[batch]") {
  EchoBackend backend;
  std::set<std::size_t> seen;
  const std::size_t limit = GENERATE(1U, 3U, 16U);
  run_batch(queries(200), backend,
            [&](std::size_t index, EcsoProtocol protocol) {
              CHECK(protocol.outcome().text == "echo " + std::to_string(index));
              CHECK(seen.insert(index).second);
            },
            {.max_in_flight = limit});
  CHECK(seen.size() == 200);
  CHECK(backend.most <= static_cast<int>(limit));
}

TEST_CASE("queries come out in order of completion", "[batch]") {
  EchoBackend backend;
  std::vector<std::size_t> order;
  auto next = [i = 0, policy = std::make_shared<const Policy>()]() mutable -> std::optional<EcsoProtocol> {
    if (i == 3) return std::nullopt;
    return EcsoProtocol{ask({}, i++ == 0 ? "held" : "quick"), policy};
  };
  const auto on_end = [&](std::size_t index, const EcsoProtocol&) {
    order.push_back(index);
    backend.holds = order.size() < 2;
  };
  run_batch(next, backend, on_end, {.max_in_flight = 2});
  CHECK(order == std::vector<std::size_t>{1, 2, 0});
}

TEST_CASE("a query that fails does not touch the others", "[batch][faults]") {
  EchoBackend backend;
  std::size_t failed = 0;
  std::size_t answered = 0;
  auto next = [i = 0, policy = std::make_shared<const Policy>()]() mutable -> std::optional<EcsoProtocol> {
    if (i == 60) return std::nullopt;
    return EcsoProtocol{ask({}, i++ % 3 == 0 ? "fail" : "fine"), policy};
  };
  run_batch(next, backend, [&](std::size_t, const EcsoProtocol& p) { ++(p.outcome().path == Path::failed ? failed : answered); });
  CHECK(failed == 20);
  CHECK(answered == 40);
}

TEST_CASE("a backend that takes one call at a time gets one", "[batch]") {
  EchoBackend backend{false};
  std::size_t done = 0;
  run_batch(queries(20), backend, [&](std::size_t, const EcsoProtocol&) { ++done; }, {.max_in_flight = 8});
  CHECK(done == 20);
  CHECK(backend.most == 1);
}

TEST_CASE("a stopped batch ends what is under way and takes no more", "[batch][cancel]") {
  EchoBackend backend;
  std::stop_source stop;
  std::size_t taken = 0;
  std::size_t ended = 0;
  auto more = queries(1000, " slow");
  run_batch(
      [&] {
        ++taken;
        return more();
      },
      backend,
      [&](std::size_t, const EcsoProtocol&) {
        if (++ended == 10) stop.request_stop();
      },
      {.stop = stop.get_token(), .max_in_flight = 4});
  CHECK(ended == taken);
  CHECK(ended < 30);
}

TEST_CASE("an empty batch is done at once", "[batch]") {
  EchoBackend backend;
  run_batch(queries(0), backend, [](std::size_t, const EcsoProtocol&) { FAIL(); });
}

}  // namespace run_batch_test
