#include <ecso/gateway/gate.hpp>

#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/catch.hpp"

namespace gate_test {

namespace {

using namespace ecso::gateway;
using Answer = Gate::Answer;

/// Keeps the leases that come later, and who came in which order.
struct Guests {
  Guests() = default;
  Guests(const Guests&) = delete;
  Guests& operator=(const Guests&) = delete;
  ~Guests() {
    // One by one: each that goes may bring another.
    while (!leases.empty()) leave();
  }

  std::vector<Gate::Lease> leases;
  std::string order;

  void leave() {
    const Gate::Lease lease = std::move(leases.back());
    leases.pop_back();
  }

  Gate::OnGrant called(char name) {
    return [this, name](Gate::Lease lease) {
      order += name;
      leases.push_back(std::move(lease));
    };
  }
};

}  // namespace

TEST_CASE("a gate lets in what fits and takes it back", "[gateway][gate]") {
  Gate gate{{.capacity = 10}};
  Guests guests;
  {
    const Gate::Entry six = gate.enter(6, guests.called('a'));
    const Gate::Entry four = gate.enter(4, guests.called('b'));
    CHECK(six.answer == Answer::granted);
    CHECK(six.lease.weight() == 6);
    CHECK(four.answer == Answer::granted);
    CHECK(gate.taken() == 10);
  }
  CHECK(gate.taken() == 0);
  CHECK(guests.order.empty());
}

TEST_CASE("what weighs more than the capacity is refused at once", "[gateway][gate]") {
  Gate gate{{.capacity = 10}};
  CHECK(gate.enter(11, {}).answer == Answer::too_heavy);
  CHECK(gate.enter(static_cast<std::size_t>(-1), {}).answer == Answer::too_heavy);
  CHECK(gate.enter(10, {}).answer == Answer::granted);
  Gate closed{{}};
  CHECK(closed.enter(1, {}).answer == Answer::too_heavy);
}

TEST_CASE("who does not fit waits its turn, and the heavy are not overtaken", "[gateway][gate]") {
  Gate gate{{.capacity = 10}};
  Guests guests;
  Gate::Entry first = gate.enter(5, {});
  Gate::Entry second = gate.enter(3, {});
  CHECK(gate.enter(9, guests.called('9')).answer == Answer::waiting);
  CHECK(gate.enter(1, guests.called('1')).answer == Answer::waiting);
  CHECK(gate.enter(2, guests.called('2')).answer == Answer::waiting);
  CHECK(gate.waiting() == 3);
  second.lease = {};
  CHECK(guests.order.empty());
  first.lease = {};
  CHECK(guests.order == "91");
  CHECK(gate.taken() == 10);
  guests.leases[1] = {};
  CHECK(guests.order == "91");
  guests.leases[0] = {};
  CHECK(guests.order == "912");
  guests.leases.clear();
  CHECK(gate.taken() == 0);
  CHECK(gate.waiting() == 0);
}

TEST_CASE("no more wait than may", "[gateway][gate]") {
  Gate gate{{.capacity = 1, .max_waiting = 2}};
  Guests guests;
  Gate::Entry inside = gate.enter(1, {});
  CHECK(gate.enter(1, guests.called('a')).answer == Answer::waiting);
  CHECK(gate.enter(1, guests.called('b')).answer == Answer::waiting);
  CHECK(gate.enter(1, guests.called('c')).answer == Answer::full);
  inside.lease = {};
  CHECK(guests.order == "a");
  CHECK(gate.enter(1, guests.called('c')).answer == Answer::waiting);
}

TEST_CASE("who has nobody to call does not wait", "[gateway][gate]") {
  Gate gate{{.capacity = 1}};
  CHECK(gate.enter(1, {}).answer == Answer::granted);
  const Gate::Entry inside = gate.enter(1, {});
  CHECK(gate.enter(1, {}).answer == Answer::full);
  CHECK(gate.waiting() == 0);
}

TEST_CASE("who cancels is not called, and makes way for the next", "[gateway][gate]") {
  Gate gate{{.capacity = 10}};
  Guests guests;
  const Gate::Entry inside = gate.enter(5, {});
  const Gate::Entry heavy = gate.enter(10, guests.called('h'));
  const Gate::Entry light = gate.enter(1, guests.called('l'));
  CHECK(gate.cancel(heavy.ticket));
  CHECK(guests.order == "l");
  CHECK_FALSE(gate.cancel(heavy.ticket));
  CHECK_FALSE(gate.cancel(light.ticket));
  CHECK_FALSE(gate.cancel(0));
  CHECK(gate.taken() == 6);
}

TEST_CASE("a lease moves and is given back once", "[gateway][gate]") {
  Gate gate{{.capacity = 10}};
  Gate::Lease a = gate.enter(4, {}).lease;
  Gate::Lease b = std::move(a);
  CHECK_FALSE(a);
  CHECK(a.weight() == 0);
  CHECK(b);
  a = gate.enter(3, {}).lease;
  CHECK(gate.taken() == 7);
  a = std::move(b);
  CHECK(gate.taken() == 4);
  Gate::Lease& same = a;
  a = std::move(same);
  CHECK(gate.taken() == 4);
  a = {};
  CHECK(gate.taken() == 0);
}

TEST_CASE("a lease grows by what fits, even while others wait", "[gateway][gate]") {
  Gate gate{{.capacity = 10}};
  Guests guests;
  Gate::Lease lease = gate.enter(4, {}).lease;
  CHECK(gate.enter(8, guests.called('a')).answer == Answer::waiting);
  CHECK(lease.try_grow(5));
  CHECK_FALSE(lease.try_grow(2));
  CHECK_FALSE(lease.try_grow(static_cast<std::size_t>(-1)));
  CHECK(lease.try_grow(1));
  CHECK(gate.taken() == 10);
  CHECK(lease.weight() == 10);
  lease = {};
  CHECK(guests.order == "a");
  CHECK_FALSE(lease.try_grow(1));
}

TEST_CASE("a gate can change its bounds while it is in use", "[gateway][gate]") {
  Gate gate{{.capacity = 4}};
  Guests guests;
  Gate::Lease lease = gate.enter(3, {}).lease;
  CHECK(gate.enter(4, guests.called('a')).answer == Answer::waiting);
  SECTION("wider") {
    gate.resize({.capacity = 7});
    CHECK(guests.order == "a");
  }
  SECTION("narrower than what is inside and what waits") {
    gate.resize({.capacity = 2});
    CHECK_FALSE(lease.try_grow(1));
    CHECK(gate.enter(3, {}).answer == Answer::too_heavy);
    CHECK(guests.order.empty());
    lease = {};
    CHECK(guests.order == "a");
    CHECK(gate.enter(1, {}).answer == Answer::full);
  }
}

TEST_CASE("a hundred thousand who leave as soon as they come in do not fill the stack", "[gateway][gate]") {
  Gate gate{{.capacity = 1}};
  Gate::Lease lease = gate.enter(1, {}).lease;
  int called = 0;
  for (int i = 0; i < 100'000; ++i) CHECK(gate.enter(1, [&](Gate::Lease) { ++called; }).answer == Answer::waiting);
  lease = {};
  CHECK(called == 100'000);
  CHECK(gate.taken() == 0);
}

TEST_CASE("a callback may use the gate", "[gateway][gate]") {
  Gate gate{{.capacity = 1}};
  Gate::Lease lease = gate.enter(1, {}).lease;
  Guests guests;
  const auto entry = gate.enter(1, [&](Gate::Lease granted) {
    CHECK(gate.taken() == 1);
    CHECK(gate.enter(1, guests.called('b')).answer == Answer::waiting);
    granted = {};
    CHECK(guests.order.empty());
  });
  CHECK(entry.answer == Answer::waiting);
  lease = {};
  CHECK(guests.order == "b");
}

TEST_CASE("what a forgotten callback owns may give back", "[gateway][gate]") {
  auto gate = std::make_optional<Gate>(Gate::Options{.capacity = 2});
  auto held = std::make_shared<Gate::Lease>(gate->enter(2, {}).lease);
  const auto keep = [held](Gate::Lease) {};
  const Gate::Entry first = gate->enter(1, keep);
  const Gate::Entry second = gate->enter(1, keep);
  held.reset();
  SECTION("when it cancels") {
    CHECK(gate->cancel(first.ticket));
    CHECK(gate->cancel(second.ticket));
    CHECK(gate->waiting() == 0);
  }
  SECTION("when all are forgotten") {
    gate->forget_waiting();
    CHECK(gate->waiting() == 0);
  }
  SECTION("when the gate ends") { gate.reset(); }
}

TEST_CASE("threads never get in together what does not fit, and all get their turn or none", "[gateway][gate][threads]") {
  constexpr std::size_t capacity = 20;
  Gate gate{{.capacity = capacity, .max_waiting = 50}};
  std::atomic<std::size_t> inside = 0;
  std::atomic<std::size_t> most = 0;
  std::atomic<int> granted = 0;
  std::atomic<int> cancelled = 0;
  std::atomic<int> full = 0;
  std::mutex mutex;
  std::vector<Gate::Lease> kept;
  const auto take = [&](Gate::Lease lease) {
    const std::size_t now = inside += lease.weight();
    for (std::size_t seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {}
    ++granted;
    const std::lock_guard lock{mutex};
    kept.push_back(std::move(lease));
  };
  const auto drop_one = [&] {
    Gate::Lease dropped;
    const std::lock_guard lock{mutex};
    if (kept.empty()) return;
    std::swap(dropped, kept.back());
    kept.pop_back();
    inside -= dropped.weight();
  };
  constexpr int rounds = 3000;
  std::vector<std::thread> threads;
  for (unsigned seed = 0; seed < 4; ++seed) {
    threads.emplace_back([&, seed] {
      std::mt19937 random{seed};
      for (int i = 0; i < rounds; ++i) {
        Gate::Entry entry = gate.enter(random() % capacity + 1, take);
        if (entry.answer == Answer::granted) take(std::move(entry.lease));
        if (entry.answer == Answer::full) ++full;
        if (entry.answer == Answer::waiting && random() % 4 == 0 && gate.cancel(entry.ticket)) ++cancelled;
        // Not the lease's end under the lock: its callbacks take it.
        drop_one();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  while (gate.taken() > 0) drop_one();
  CHECK(gate.waiting() == 0);
  CHECK(most <= capacity);
  CHECK(granted + cancelled + full == 4 * rounds);
  CHECK(granted > 0);
}

}  // namespace gate_test
