#include <ecso/gateway/concurrency.hpp>

#include <ecso/core/step.hpp>
#include <ecso/gateway/call_queue.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"

namespace concurrency_test {

namespace {

using ecso::Step;
using ecso::gateway::CallQueue;
using ecso::gateway::CallRank;
using ecso::gateway::ConcurrencyFinder;

/// A server as far as time goes. What it has no room for waits in the order in which it came.
struct Server {
  std::string name;
  std::size_t room = 4;        ///< Calls at work at once.
  double shared = 0;           ///< How much a call slows the others: 0 not at all; 1: all together are as fast as one.
  double chat = 0;             ///< Seconds to read a chat that is in no slot.
  std::size_t remembered = 0;  ///< Chats whose prefix it keeps; those used last.
  double spread = 0.5;         ///< Of the lengths of answers, of 1.
};

/// Exchanges of an answer and a check that all come at once, through a queue. Virtual time.
class Simulation {
 public:
  Simulation(Server server, const CallQueue::Options& options)
      : server_{std::move(server)}, queue_{std::make_shared<CallQueue>(options)} {}

  /// Seconds until all are answered.
  double run(std::size_t exchanges) {
    for (std::size_t i = 0; i < exchanges; ++i) ask({i, Step::answer});
    while (!active_.empty()) {
      const double speed = 1 / (1 + server_.shared * (static_cast<double>(active_.size()) - 1));
      const auto first = std::ranges::min_element(active_, {}, &Active::work);
      const double work = first->work;
      now_ += work / speed;
      for (Active& active : active_) active.work -= work;
      Active ended = std::move(*first);
      active_.erase(first);
      if (!waiting_.empty()) {
        Active next = std::move(waiting_.front());
        waiting_.pop_front();
        start(std::move(next));
      }
      end(std::move(ended));
    }
    return now_;
  }

  [[nodiscard]] std::size_t limit() const { return queue_->level().capacity; }

 private:
  struct Call {
    std::size_t exchange;
    Step step;
  };
  struct Active {
    Call call;
    CallQueue::Lease lease = {};
    double began = 0;
    double work = 0;
  };

  void ask(Call call, CallQueue::Lease before = {}) {
    const CallRank rank = call.step == Step::answer ? CallRank::fresh : CallRank::begun;
    auto entry = queue_->enter({rank}, [this, call](CallQueue::Lease lease) { send({call, std::move(lease)}); });
    before = {};
    if (entry.answer == CallQueue::Answer::granted) send({call, std::move(entry.lease)});
  }

  void send(Active active) {
    active.began = now_;
    if (active_.size() < server_.room) {
      start(std::move(active));
    } else {
      waiting_.push_back(std::move(active));
    }
  }

  void start(Active active) {
    // A length of its own for each exchange, from 1 - spread to 1 + spread.
    const auto draw = static_cast<double>((active.call.exchange * 2'654'435'761U) % 1'000) / 1'000;
    active.work = active.call.step == Step::answer ? 1 + server_.spread * (2 * draw - 1) : 0.1;
    if (std::erase(kept_, active.call.exchange) == 0) {
      active.work += server_.chat;
      forget_one();
    }
    kept_.push_back(active.call.exchange);
    active_.push_back(std::move(active));
  }

  /// Makes room for a chat: the one used longest ago goes, but none that is at work.
  void forget_one() {
    if (kept_.size() < server_.remembered) return;
    const auto is_idle = [&](std::size_t exchange) {
      return std::ranges::none_of(active_, [&](const Active& active) { return active.call.exchange == exchange; });
    };
    const auto oldest = std::ranges::find_if(kept_, is_idle);
    if (oldest != kept_.end()) kept_.erase(oldest);
  }

  void end(Active ended) {
    if (std::erase(kept_, ended.call.exchange) != 0) kept_.push_back(ended.call.exchange);
    using namespace std::chrono;
    const auto at = [](double seconds) { return ConcurrencyFinder::Time{duration_cast<nanoseconds>(duration<double>{seconds})}; };
    queue_->note(ended.call.step, ConcurrencyFinder::Went::well, at(ended.began), at(now_));
    if (ended.call.step == Step::answer) ask({ended.call.exchange, Step::check}, std::move(ended.lease));
  }

  Server server_;
  std::shared_ptr<CallQueue> queue_;
  double now_ = 0;
  std::vector<Active> active_;
  std::deque<Active> waiting_;
  std::deque<std::size_t> kept_;  ///< Chats, that used last at the end.
};

struct Found {
  double seconds = 0;
  std::size_t limit = 0;
};

Found best_fixed(const Server& server, std::size_t exchanges) {
  Found best{.seconds = std::numeric_limits<double>::max()};
  for (std::size_t limit = 1; limit <= 512; limit += std::max<std::size_t>(1, limit / 8)) {
    const double seconds = Simulation{server, {.capacity = limit}}.run(exchanges);
    if (seconds < best.seconds) best = {seconds, limit};
  }
  return best;
}

Found found(const Server& server, std::size_t exchanges) {
  Simulation simulation{server, {.finding = ConcurrencyFinder::Options{}}};
  const double seconds = simulation.run(exchanges);
  return {seconds, simulation.limit()};
}

const std::vector<Server> servers{
    {.name = "one slot", .room = 1, .chat = 1, .remembered = 1},
    {.name = "two slots", .room = 2, .chat = 1, .remembered = 2},
    {.name = "four slots", .room = 4, .chat = 1, .remembered = 4},
    {.name = "five slots that share a processor", .room = 5, .shared = 0.3, .chat = 1, .remembered = 5},
    {.name = "eight slots, little to read", .room = 8, .chat = 0.1, .remembered = 8},
    {.name = "sixteen slots", .room = 16, .chat = 1, .remembered = 16},
    {.name = "one processor, no cache", .room = 4, .shared = 1},
    {.name = "four slots, a third of the time for reading", .room = 4, .chat = 0.47, .remembered = 4, .spread = 0},
    {.name = "batches of 64", .room = 64, .shared = 0.02, .chat = 0.2, .remembered = 1'000},
    {.name = "batches of 256", .room = 256, .shared = 0.01, .chat = 0.2, .remembered = 10'000},
    {.name = "a farm", .room = 1'000, .chat = 0.1, .remembered = 10'000},
};

}  // namespace

TEST_CASE("What is found is at most a tenth slower than the best fixed number, the search included", "[gateway][concurrency]") {
  for (const Server& server : servers) {
    CAPTURE(server.name);
    constexpr std::size_t exchanges = 6'000;
    const Found best = best_fixed(server, exchanges);
    const Found by_itself = found(server, exchanges);
    CAPTURE(best.limit, best.seconds, by_itself.limit, by_itself.seconds);
    CHECK(by_itself.seconds <= 1.1 * best.seconds);
  }
}

TEST_CASE("Two hundred chats on a server of a few slots take half as long again at most while it is searched",
          "[gateway][concurrency]") {
  for (const Server& server : servers) {
    if (server.room > 16) continue;
    CAPTURE(server.name);
    CHECK(found(server, 200).seconds <= 1.5 * best_fixed(server, 200).seconds);
  }
}

namespace {

/// Tells a finder of calls that take so long, each after the one before.
class Told {
 public:
  explicit Told(const ConcurrencyFinder::Options& options) : finder{options} {}

  void calls(int count, ConcurrencyFinder::Demand demand, ConcurrencyFinder::Went went = ConcurrencyFinder::Went::well) {
    for (int i = 0; i < count; ++i) {
      now += std::chrono::milliseconds{10};
      finder.ended(
          {.went = went, .demand = demand, .under_way = finder.limit(), .began = now - std::chrono::seconds{1}, .at = now});
    }
  }

  ConcurrencyFinder finder;
  ConcurrencyFinder::Time now{};
};

}  // namespace

TEST_CASE("Nothing is found out while no call waits for its turn", "[gateway][concurrency]") {
  Told told{{.first = 8}};
  told.calls(10'000, ConcurrencyFinder::Demand::met);
  CHECK(told.finder.limit() == 8);
  told.calls(16, ConcurrencyFinder::Demand::more);
  CHECK(told.finder.limit() == 16);
}

TEST_CASE("A server that has no room for so many gets fewer, once for those that were under way", "[gateway][concurrency]") {
  Told told{{.first = 100, .most = 1'000}};
  told.calls(50, ConcurrencyFinder::Demand::met, ConcurrencyFinder::Went::turned_away);
  CHECK(told.finder.limit() == 70);
  told.calls(60, ConcurrencyFinder::Demand::met, ConcurrencyFinder::Went::turned_away);
  CHECK(told.finder.limit() == 49);
  for (int i = 0; i < 100; ++i) told.calls(100, ConcurrencyFinder::Demand::more, ConcurrencyFinder::Went::turned_away);
  CHECK(told.finder.limit() == 1);
}

TEST_CASE("What is found lies within the bounds, whatever calls take", "[gateway][concurrency]") {
  for (const std::size_t most : {1U, 2U, 3U, 7U, 100U}) {
    Told told{{.first = 1'000'000, .most = most}};
    CHECK(told.finder.limit() == most);
    std::uint64_t state = most;
    for (int i = 0; i < 20'000; ++i) {
      state = state * 6'364'136'223'846'793'005U + 1;
      const auto took = std::chrono::microseconds{state >> 44};
      told.now += std::chrono::microseconds{state >> 50};
      told.finder.ended({.step = static_cast<Step>((state >> 33) % 5),
                         .went = (state >> 36) % 64 == 0 ? ConcurrencyFinder::Went::turned_away : ConcurrencyFinder::Went::well,
                         .demand = (state >> 43) % 100 == 0 ? ConcurrencyFinder::Demand::met : ConcurrencyFinder::Demand::more,
                         .under_way = told.finder.limit(),
                         .began = told.now - took,
                         .at = told.now});
      REQUIRE(told.finder.limit() >= 1);
      REQUIRE(told.finder.limit() <= most);
    }
  }
}

TEST_CASE("Calls that take no time at all teach nothing", "[gateway][concurrency]") {
  ConcurrencyFinder finder{{.first = 4}};
  for (int i = 0; i < 1'000; ++i) finder.ended({.demand = ConcurrencyFinder::Demand::more, .under_way = 4});
  CHECK(finder.limit() == 4);
}

}  // namespace concurrency_test
