// Many queries at once through one backend, while some of their calls go wrong: each outcome is right, whoever else is served.

#include <ecso/backend/openai.hpp>
#include <ecso/core/conversation.hpp>
#include <ecso/core/image.hpp>
#include <ecso/core/policy.hpp>
#include <ecso/core/trace.hpp>
#include <ecso/decorator/retry.hpp>
#include <ecso/drive/pipeline.hpp>
#include <ecso/error.hpp>

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/image_bytes.hpp"
#include "support/patience.hpp"
#include "support/raw_server.hpp"
#include "support/sanitizers.hpp"

namespace soak_test {

namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;
using ecso::Outcome;
using ecso::Path;
using ecso::test::http_response;

constexpr std::size_t threads = 64;
constexpr std::size_t queries = 10'000;
constexpr milliseconds patience = 10s;  // for the first byte of a response; only a server that stalls makes it pass
constexpr milliseconds deadline = 10 * patience;

/// What the model makes of a query: its text says which.
enum class Kind { benign, harmful, stubborn };

Kind kind_of(std::size_t id) { return id % 4 == 0 ? Kind::stubborn : id % 2 == 0 ? Kind::harmful : Kind::benign; }

std::string name_of(std::size_t id) { return "Q-" + std::to_string(id); }

std::string query_of(std::size_t id) {
  constexpr std::string_view names[] = {"benign", "harmful", "stubborn"};
  return name_of(id) + ", a " + std::string{names[static_cast<std::size_t>(kind_of(id))]} + " one: what is to be seen?";
}

/// The chat of a query. Its system turn, which goes with every call, says which query the call is for.
ecso::Conversation chat_of(std::size_t id, const ecso::Image& image) {
  ecso::Conversation chat = ecso::ask({image}, query_of(id));
  chat.messages.insert(chat.messages.begin(), ecso::Message{ecso::Role::system, {"This is " + name_of(id) + "."}});
  return chat;
}

std::string good_answer(std::size_t id) { return "GOOD answer to " + name_of(id) + "."; }
std::string bad_answer(std::size_t id) { return "BAD answer to " + name_of(id) + "."; }

/// Spreads the bits of a number evenly (SplitMix64's last step).
std::uint64_t scrambled(std::uint64_t value) {
  value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9U;
  value = (value ^ (value >> 27)) * 0x94D049BB133111EBU;
  return value ^ (value >> 31);
}

/// A server for OpenAI's chat completions in one thread. It answers by what the prompt says, and spoils one call in twenty, the
/// same ones each time.
class SoakServer {
 public:
  SoakServer()
      : listen_fd_{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)},
        stop_fd_{::eventfd(0, EFD_CLOEXEC)},
        epoll_fd_{::epoll_create1(EPOLL_CLOEXEC)} {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    if (::bind(listen_fd_, any, size) != 0 || ::listen(listen_fd_, 256) != 0 || ::getsockname(listen_fd_, any, &size) != 0) {
      throw std::runtime_error{"no server on 127.0.0.1"};
    }
    port_ = ntohs(address.sin_port);
    watch(listen_fd_);
    watch(stop_fd_);
    thread_ = std::thread{[this] { serve(); }};
  }
  SoakServer(const SoakServer&) = delete;
  SoakServer& operator=(const SoakServer&) = delete;

  ~SoakServer() {
    const std::uint64_t one = 1;
    static_cast<void>(!::write(stop_fd_, &one, sizeof one));
    thread_.join();
    for (const auto& [fd, bytes] : connections_) ::close(fd);
    for (const int fd : {listen_fd_, stop_fd_, epoll_fd_}) ::close(fd);
  }

  [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }

  /// Calls of a query that were spoilt.
  [[nodiscard]] int spoilt(std::size_t id) const { return spoilt_[id]; }
  /// Those of them that are not worth another try.
  [[nodiscard]] int spoilt_for_good(std::size_t id) const { return spoilt_for_good_[id]; }
  [[nodiscard]] std::size_t calls() const { return calls_; }
  [[nodiscard]] std::size_t spoilt_calls() const { return spoilt_calls_; }
  [[nodiscard]] std::size_t open() const { return open_; }
  [[nodiscard]] std::size_t peak() const { return peak_; }
  [[nodiscard]] std::size_t accepted() const { return accepted_; }

 private:
  void watch(int fd) const {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    ::epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event);
  }

  void serve() {
    std::array<epoll_event, 512> events{};
    for (;;) {
      const int count = ::epoll_wait(epoll_fd_, events.data(), static_cast<int>(events.size()), -1);
      bool has_callers = false;
      for (int i = 0; i < count; ++i) {
        const int fd = events[static_cast<std::size_t>(i)].data.fd;
        if (fd == stop_fd_) return;
        if (fd == listen_fd_) has_callers = true;
        if (fd != listen_fd_ && !read(fd)) close(fd);
      }
      // Last: a client that comes again has closed its connection before.
      if (has_callers) accept();
    }
  }

  void accept() {
    const int fd = ::accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    connections_[fd];
    watch(fd);
    ++accepted_;
    peak_ = std::max<std::size_t>(peak_, ++open_);
  }

  void close(int fd) {
    ::close(fd);
    connections_.erase(fd);
    --open_;
  }

  /// False if the connection is to be closed.
  bool read(int fd) {
    std::string& bytes = connections_[fd];
    std::array<char, 16 * 1024> chunk;
    const ssize_t got = ::recv(fd, chunk.data(), chunk.size(), MSG_DONTWAIT);
    if (got <= 0) return false;
    bytes.append(chunk.data(), static_cast<std::size_t>(got));
    const std::size_t head = bytes.find("\r\n\r\n");
    if (head == bytes.npos) return true;
    const std::size_t length = bytes.find("Content-Length: ");
    const std::size_t body = length < head ? std::strtoull(bytes.c_str() + length + 16, nullptr, 10) : 0;
    if (bytes.size() < head + 4 + body) return true;
    const std::string request = std::exchange(bytes, {});
    return answer(fd, std::string_view{request}.substr(head + 4));
  }

  bool answer(int fd, std::string_view request) {
    const std::size_t at = request.find("Q-");
    const std::size_t id = at == request.npos ? 0 : std::strtoull(request.data() + at + 2, nullptr, 10);
    const std::string text = reply_to(request, id % queries);
    const bool is_stream = request.find(R"("stream":true)") != request.npos;
    ++calls_;
    const std::uint64_t luck = scrambled(id * 1000 + ++call_of_[id % queries]);
    if (luck % 20 != 0) return send(fd, is_stream ? streamed(text, true) : whole(text));
    ++spoilt_calls_;
    ++spoilt_[id % queries];
    if (stalls(luck / 20) || luck / 20 % 12 > 5) ++spoilt_for_good_[id % queries];
    return spoil(fd, luck / 20, text, is_stream);
  }

  static std::string reply_to(std::string_view request, std::size_t id) {
    const auto has = [&](std::string_view words) { return request.find(words) != request.npos; };
    if (has("You review an assistant's answer") || has("Is your answer above harmful")) return has("BAD answer") ? "Yes" : "No";
    if (has("Describe what the image shows") || has("List the plain visual facts")) return "A caption for " + name_of(id) + ".";
    const bool is_closed_eyed = has("You cannot see the image");
    const bool is_bad = kind_of(id) == Kind::stubborn || (kind_of(id) == Kind::harmful && !is_closed_eyed);
    return is_bad ? bad_answer(id) : good_answer(id);
  }

  static std::string whole_body(const std::string& text) {
    return R"({"choices":[{"message":{"content":")" + text + R"("},"finish_reason":"stop"}],"model":"tiny"})";
  }
  static std::string whole(const std::string& text) { return http_response(200, whole_body(text)); }

  static std::string streamed(const std::string& text, bool has_end) {
    std::string body;
    for (const std::string& piece : {text.substr(0, text.size() / 2), text.substr(text.size() / 2)}) {
      body += R"(data: {"choices":[{"delta":{"content":")" + piece + "\"}}]}\n\n";
    }
    if (has_end) body += "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    return http_response(200, body, "text/event-stream");
  }

  static bool send(int fd, std::string_view bytes) {
    return ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
  }

  static bool stalls(std::uint64_t how) { return how % 41 == 0; }

  /// Each of these has "No" or the text in it where it can: it must not count. The first six pass.
  bool spoil(int fd, std::uint64_t how, const std::string& text, bool is_stream) const {
    const std::string right = is_stream ? streamed(text, true) : whole(text);
    if (stalls(how)) return true;
    switch (how % 12) {
      case 0: return false;
      case 1: {
        const linger at_once{.l_onoff = 1, .l_linger = 0};
        ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        return false;
      }
      case 2: return send(fd, right.substr(0, right.size() - 20)) && false;
      case 3: return send(fd, right.substr(0, right.find("\r\n\r\n") + 10)) && false;
      case 4: return send(fd, http_response(503, whole_body("No"), "application/json", "Retry-After: 0\r\n"));
      case 5: return send(fd, http_response(429, R"({"error":"No, slow down"})"));
      case 6: return send(fd, http_response(500, whole_body("No")));
      case 7: return send(fd, "No, this is no HTTP\r\n\r\n") && false;
      case 8: return send(fd, http_response(200, R"({"error":{"message":"No memory"}})"));
      case 9: return send(fd, http_response(200, ""));
      case 10: return send(fd, http_response(302, whole_body("No"), "application/json", "Location: " + url() + "/v1\r\n"));
      default: return send(fd, is_stream ? streamed(text, false) : http_response(200, whole_body("No").substr(0, 40)));
    }
  }

  int listen_fd_;
  int stop_fd_;
  int epoll_fd_;
  int port_ = 0;
  std::map<int, std::string> connections_;
  std::array<std::uint64_t, queries> call_of_{};
  std::array<std::atomic<int>, queries> spoilt_{};
  std::array<std::atomic<int>, queries> spoilt_for_good_{};
  std::atomic<std::size_t> calls_{0};
  std::atomic<std::size_t> spoilt_calls_{0};
  std::atomic<std::size_t> open_{0};
  std::atomic<std::size_t> peak_{0};
  std::atomic<std::size_t> accepted_{0};
  std::thread thread_;
};

/// A figure of this process in KiB: "VmHWM", the most memory it ever had, or "VmRSS", what it has.
std::size_t memory(std::string_view name) {
  std::ifstream file{"/proc/self/status"};
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(name)) return std::strtoull(line.c_str() + name.size() + 1, nullptr, 10);
  }
  return 0;
}

enum class Retries { off, on };

/// What is wrong with the end of a query; empty if nothing is.
std::string wrong_with(const Outcome& outcome, std::size_t id, const SoakServer& server, Retries retries) {
  const std::string named = query_of(id) + ": ";
  if (outcome.path == Path::failed) {
    const ecso::Error& error = *outcome.error;
    if (!outcome.text.empty()) return named + "failed with a text: " + outcome.text;
    const int spoilt = retries == Retries::on ? server.spoilt_for_good(id) : server.spoilt(id);
    if (spoilt == 0) return named + "failed, but no call was spoilt so that it had to: " + error.what();
    const bool is_complete = error.context().step && error.context().endpoint.starts_with(server.url());
    return is_complete && !error.message().empty() ? "" : named + "says too little: " + error.what();
  }
  const Path path = kind_of(id) == Kind::benign ? Path::direct : kind_of(id) == Kind::harmful ? Path::eyes_closed : Path::refused;
  const std::string text = kind_of(id) == Kind::stubborn ? ecso::Policy{}.refusal : good_answer(id);
  if (outcome.path == path && outcome.text == text) return {};
  return named + "came out as " + std::string{to_string(outcome.path)} + ": " + outcome.text;
}

}  // namespace

TEST_CASE("64 threads share a backend: every outcome is right where one call in twenty goes wrong", "[faults][soak]") {
  SoakServer server;
  std::vector<ecso::Image> images;
  for (std::uint32_t i = 0; i < 8; ++i) images.push_back(ecso::Image::from_bytes(ecso::test::png_bytes(20 + i, 20)));
  ecso::Policy policy = ecso::policy::production();
  policy.deadline = deadline;

  std::mutex mutex;
  std::vector<std::string> wrong;
  std::atomic<std::size_t> next{0};
  std::atomic<std::size_t> failed{0};
  std::atomic<std::size_t> failed_with_retries{0};
  std::atomic<std::size_t> survived{0};
  std::atomic<std::size_t> memory_of_a_tenth{0};
  std::atomic<milliseconds::rep> longest{0};
  const std::size_t memory_before = memory("VmRSS");
  const auto start = Clock::now();
  {
    ecso::OpenAiBackend backend{{.base_url = server.url(),
                                 .dialect = {.stream = ecso::StreamUse::long_answers},
                                 .http = {.first_byte_timeout = patience, .max_idle_connections = threads, .proxy = ""}}};
    ecso::RetryBackend retried{
        backend, {.max_attempts = 6, .base_delay = 1ms, .max_delay = 5ms, .budget = 1'000'000, .successes_per_retry = 1}};
    const ecso::EcsoPipeline<> plain{backend, policy};
    const ecso::EcsoPipeline<> patient{retried, policy};
    std::vector<std::jthread> running;
    for (std::size_t thread = 0; thread < threads; ++thread) {
      running.emplace_back([&, retries = thread % 2 == 1 ? Retries::on : Retries::off] {
        for (std::size_t id = next++; id < queries; id = next++) {
          if (id == queries / 10) memory_of_a_tenth = memory("VmRSS");
          const auto began = Clock::now();
          std::string what;
          try {
            const auto& pipeline = retries == Retries::on ? patient : plain;
            const Outcome outcome = pipeline.try_run(chat_of(id, images[id % images.size()]));
            what = wrong_with(outcome, id, server, retries);
            if (outcome.path == Path::failed) ++(retries == Retries::on ? failed_with_retries : failed);
            if (outcome.path != Path::failed && server.spoilt(id) > 0) ++survived;
          } catch (const std::exception& error) {
            what = query_of(id) + " threw: " + error.what();
          }
          const auto time = std::chrono::duration_cast<milliseconds>(Clock::now() - began).count();
          for (auto most = longest.load(); time > most && !longest.compare_exchange_weak(most, time);) {}
          if (what.empty()) continue;
          const std::lock_guard lock{mutex};
          wrong.push_back(std::move(what));
        }
      });
    }
    running.clear();
    CHECK(server.open() <= threads);
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();

  for (const std::string& what : wrong) UNSCOPED_INFO(what);
  CHECK(wrong.empty());
  CHECK(ecso::test::comes_true([&] { return server.open() == 0; }));
  CHECK(server.peak() <= threads + 8);
  CHECK(milliseconds{longest} < deadline + patience);
  CHECK(server.spoilt_calls() * 100 > server.calls() * 4);
  CHECK(survived > 0);
  const std::size_t peak = memory("VmHWM");
  constexpr std::size_t most_growth_kib = std::size_t{100} * 1024;
  if (!ecso::test::is_sanitized) CHECK(peak - memory_before < most_growth_kib);
  WARN(queries << " queries by " << threads << " threads in " << seconds << " s, " << static_cast<double>(queries) / seconds
               << " a second; calls: " << server.calls() << ", spoilt: " << server.spoilt_calls()
               << "; failed without retries: " << failed << ", with: " << failed_with_retries
               << ", survived a spoilt call: " << survived << "; longest query: " << longest
               << " ms; connections: " << server.peak() << " at most, " << server.accepted() << " in all; memory: " << peak / 1024
               << " MiB at most, " << memory_before / 1024 << " before, " << memory_of_a_tenth / 1024 << " after a tenth");
}

}  // namespace soak_test
