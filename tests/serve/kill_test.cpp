// kill -9, of the gateway and of its upstream, under load: clients see broken connections and errors, never an unverified byte,
// and answers again when what was killed is back.

#include <ecso/core/step.hpp>
#include <ecso/gateway/options.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "gateway/chat_upstream.hpp"
#include "gateway/under_test.hpp"
#include "serve/serving.hpp"
#include "support/catch.hpp"
#include "support/http_socket.hpp"
#include "support/reserved_port.hpp"

namespace {

using namespace std::chrono_literals;
using ecso::Step;
using ecso::test::Api;
using ecso::test::chat_request;
using ecso::test::ChatUpstream;
using ecso::test::HttpReply;
using ecso::test::HttpSocket;
using ecso::test::ReservedPort;
using ecso::test::Serving;

int port_of(const std::string& address) { return std::stoi(address.substr(address.find(':') + 1)); }

/// What clients saw.
struct Seen {
  std::atomic<int> right{0};
  std::atomic<int> broken{0};
  std::mutex mutex;
  std::vector<std::string> wrong;

  void add_wrong(const std::string& what) {
    const std::lock_guard lock{mutex};
    wrong.push_back(what.substr(0, 1000));
  }
};

/// Asks until it is told to stop. Every answer must be `answer`; what is broken must hold nothing but comments of a stream.
void ask_again_and_again(int port, const std::string& answer, const std::atomic<bool>& stop, bool stream, Seen& seen) {
  while (!stop) {
    try {
      HttpSocket socket{port};
      socket.send(chat_request(Api::chat, stream));
      const HttpReply reply = socket.read();
      if (socket.all().find("BADWORDS") != std::string::npos) seen.add_wrong("unverified: " + socket.all());
      if (!reply.whole || reply.status >= 500) {
        ++seen.broken;
        continue;
      }
      const ecso::test::Said said = read_said(reply, Api::chat);
      const bool is_right = reply.status == 200 && said.wrong.empty() && said.error.empty() && said.text == answer;
      if (is_right) ++seen.right;
      if (!is_right && said.error.empty()) seen.add_wrong(socket.all());
      if (!said.error.empty()) ++seen.broken;
    } catch (const std::runtime_error&) {
      ++seen.broken;
      std::this_thread::sleep_for(5ms);
    }
  }
}

}  // namespace

TEST_CASE("A gateway that is killed and started again under load never lets out what was not verified", "[serve][kill]") {
  const ChatUpstream upstream{{.answer = "BADWORDS and more of them",
                               .is_harmful = [](const std::string& body) { return ChatUpstream::step_of(body) == Step::check; },
                               .delay = 3ms}};
  const ReservedPort reserved;  // for a server that comes back on it
  const std::string address = reserved.address();
  const std::vector<std::string> command{"serve", "--upstream", upstream.url() + "/v1", "--listen", address};
  Seen seen;
  std::atomic<bool> stop{false};
  constexpr int kills = 8;
  int right_before_last = 0;
  {
    std::optional<Serving> gateway{std::in_place, command};
    std::vector<std::jthread> clients;
    for (int i = 0; i < 8; ++i) {
      clients.emplace_back([&, i] { ask_again_and_again(port_of(address), "A kind answer.", stop, i % 2 == 0, seen); });
    }
    for (int i = 0; i < kills; ++i) {
      CHECK(Serving::happens([&] { return seen.right >= right_before_last + 8; }));
      gateway->signal(SIGKILL);
      CHECK(gateway->end() == 128 + SIGKILL);
      right_before_last = seen.right;
      gateway.emplace(command);
    }
    CHECK(Serving::happens([&] { return seen.right >= right_before_last + 20; }));
    stop = true;
  }
  for (const std::string& what : seen.wrong) UNSCOPED_INFO(what);
  CHECK(seen.wrong.empty());
  CHECK(seen.right > 20);
  CHECK(seen.broken > 0);
  WARN(kills << " kills: " << seen.right << " right answers, " << seen.broken << " broken connections");
}

TEST_CASE("An upstream that is killed in the middle of a stream leaves an error, and is asked again when it is back",
          "[serve][kill]") {
  const ReservedPort reserved;  // for a server that comes back on it
  const std::string address = reserved.address();
  const auto simulate = [&](const std::string& words_per_second) {
    return std::vector<std::string>{"simulate", "--listen", address, "--delay", "20ms", "--words-per-second", words_per_second};
  };
  const auto fast = simulate("1000");
  const auto slow = simulate("0.01");  // It is killed long before the end of its answer.
  for (const std::string mode : {"hold", "window"}) {
    CAPTURE(mode);
    std::optional<Serving> upstream{std::in_place, fast};
    const Serving gateway{{"serve", "--upstream", "http://" + address + "/v1", "--listen", "127.0.0.1:0", "--stream", mode}};
    const int port = port_of(gateway.url().substr(std::string_view{"http://"}.size()));
    const auto ask = [&](std::chrono::milliseconds kill_after) {
      HttpSocket socket{port};
      socket.send(chat_request(Api::chat, true));
      if (kill_after.count() > 0) {
        std::this_thread::sleep_for(kill_after);
        upstream->signal(SIGKILL);
        static_cast<void>(upstream->end());
      }
      return socket.read();
    };
    const ecso::test::Said right = read_said(ask(0ms), Api::chat);
    REQUIRE(right.error.empty());
    REQUIRE(right.text.size() > 20);
    for (const auto after : {5ms, 60ms, 200ms}) {
      upstream.reset();
      upstream.emplace(slow);
      const HttpReply reply = ask(after);
      CAPTURE(after.count(), reply.head, reply.body);
      const ecso::test::Said said = read_said(reply, Api::chat);
      CHECK(reply.whole);
      CHECK((reply.status >= 500 || !said.error.empty()));
      CHECK(right.text.starts_with(said.text));
      upstream.emplace(fast);
      const ecso::test::Said again = read_said(ask(0ms), Api::chat);
      CHECK(again.error.empty());
      CHECK(again.text == right.text);
    }
  }
}
