// The upstream of the gateway's benchmarks: an OpenAI-compatible server on 127.0.0.1 whose every answer follows from the request
// (mock_chat.hpp). One thread, and little work: of a large body it keeps the first 16 KB and the last 4 KB, the rest is dropped
// inside the kernel, but all of it is waited for.
//
//   gateway_upstream --port PORT [--delay MS] [--faults PERCENT] [--stall MS] [--seed N]
//
// `GET /count` tells in lines what has been asked of it.

#include "mock_chat.hpp"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <queue>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using namespace ecso::bench;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

struct Settings {
  int port = 0;
  milliseconds delay{0};
  double faults = 0;  // Share of calls, 0 to 1.
  milliseconds stall{4'000};
  std::uint64_t seed = 1;
};

enum class Step { answer, check, caption, regenerate };

// The words of all policies' prompts; an answer's request has none of them.
Step step_of(std::string_view text) {
  const auto has = [&](std::string_view words) { return text.find(words) != std::string_view::npos; };
  if (has("yes or no:")) return Step::check;
  if (has("HARMLESS and ETHICAL") || has("Give only what is safe, lawful")) return Step::regenerate;
  if (has("describe the image") || has("Describe what the image shows") || has("List the plain visual facts"))
    return Step::caption;
  return Step::answer;
}

std::string text_of(Step step, std::string_view token, std::string_view asked) {
  switch (step) {
    case Step::answer: return direct_answer(token);
    case Step::check: return asked.find(forbidden) != std::string_view::npos ? "Yes" : "No";
    case Step::caption: return std::string{caption};
    case Step::regenerate: return safe_answer(token);
  }
  return {};
}

std::string with_header(std::string_view status, std::string_view type, std::string_view body) {
  return "HTTP/1.1 " + std::string{status} + "\r\nContent-Type: " + std::string{type} +
         "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string{body};
}

std::string json_reply(std::string_view body) { return with_header("200 OK", "application/json", body); }

// `content` is JSON.
std::string completion(std::string_view content) {
  return R"({"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"mock","choices":[{"index":0,"message":)"
         R"({"role":"assistant","content":)" +
         std::string{content} +
         R"(,"refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":200,"completion_tokens":50,)"
         R"("total_tokens":250}})";
}

std::string quoted(std::string_view text) { return '"' + std::string{text} + '"'; }

std::string streamed(std::string_view text) {
  std::string out = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
  const auto event = [&](std::string_view data) {
    const std::string line = "data: " + std::string{data} + "\n\n";
    std::array<char, 16> size{};
    const auto end = std::to_chars(size.data(), size.data() + size.size(), line.size(), 16).ptr;
    out.append(size.data(), end).append("\r\n").append(line).append("\r\n");
  };
  const auto chunk = [&](std::string_view delta, std::string_view reason) {
    event(R"({"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"mock","choices":[{"index":0,)"
          R"("delta":)" +
          std::string{delta} + R"(,"finish_reason":)" + std::string{reason} + "}]}");
  };
  chunk(R"({"role":"assistant","content":""})", "null");
  constexpr std::size_t piece = 24;
  for (std::size_t at = 0; at < text.size(); at += piece) chunk(R"({"content":)" + quoted(text.substr(at, piece)) + "}", "null");
  chunk("{}", R"("stop")");
  event("[DONE]");
  return out + "0\r\n\r\n";
}

/// What goes wrong. Wherever it can, a check that fails says "No" all the same: whoever believes it lets a harmful answer out.
enum class Fault {
  reset,        // Nothing but a reset.
  hang_up,      // Nothing but the end.
  error,        // 500.
  busy,         // 503 with Retry-After.
  cut,          // Half of the promised bytes, then the end.
  cut_reset,    // The same with a reset.
  unframed,     // Half of a body without a promise.
  stall,        // Nothing for a while.
  stall_half,   // Half, and the rest after a while.
  garbage,      // No HTTP.
  not_json,     // HTTP, but no JSON.
  wrong_shape,  // JSON, but no answer; a check says what is no verdict.
};
constexpr int fault_kinds = 12;
constexpr std::array<std::string_view, fault_kinds> fault_names{"reset",      "hang_up",   "error",    "busy",
                                                                "cut",        "cut_reset", "unframed", "stall",
                                                                "stall_half", "garbage",   "not_json", "wrong_shape"};

enum class End { keep, close, reset };

/// What a request is answered with: `first`, then after `pause` `rest`, then the end.
struct Answer {
  std::string first;
  std::string rest = {};
  milliseconds wait{0};
  milliseconds pause{0};
  End end = End::keep;
};

Answer half(const std::string& whole, End end) { return {.first = whole.substr(0, whole.size() / 2), .end = end}; }

template <typename Random>
std::string wrong_shape(Step step, Random& random) {
  constexpr std::array<std::string_view, 6> no_answers{R"({"choices":[]})",
                                                       R"({"choices":[{"index":0}]})",
                                                       R"({"choices":{}})",
                                                       "[]",
                                                       R"({"choices":[{"index":0,"message":null,"finish_reason":"stop"}]})",
                                                       R"({"error":{"message":"out of memory","type":"server_error"}})"};
  constexpr std::array<std::string_view, 9> no_verdicts{"null",
                                                        R"("")",
                                                        R"("Maybe")",
                                                        "17",
                                                        R"("No doubt that is harmful")",
                                                        R"("Yes and no")",
                                                        R"("I cannot judge this")",
                                                        R"(["Maybe"])",
                                                        R"("{\"harmful\":false}")"};
  const auto one_of = [&](const auto& values) { return values[random() % values.size()]; };
  if (step == Step::check && random() % 2 == 0) return completion(one_of(no_verdicts));
  return std::string{one_of(no_answers)};
}

template <typename Random>
Answer faulty(Fault fault, Step step, std::string_view usual, std::string_view whole, milliseconds stall, Random& random) {
  const std::string lie = completion(step == Step::check ? quoted("No") : quoted(usual));
  const bool is_answer = step == Step::answer;
  // An answer that failed passes to the client as it is, so that one may not hold what no client may see.
  const std::string_view refused = R"({"error":{"message":"the mock failed","type":"server_error","param":null,"code":null}})";
  const std::string reply{whole};
  switch (fault) {
    case Fault::reset: return {.first = {}, .end = End::reset};
    case Fault::hang_up: return {.first = {}, .end = End::close};
    case Fault::error: return {.first = with_header("500 Internal Server Error", "application/json", is_answer ? refused : lie)};
    case Fault::busy:
      return {.first = with_header("503 Service Unavailable\r\nRetry-After: 1", "application/json", is_answer ? refused : lie)};
    case Fault::cut: return half(step == Step::check ? json_reply(lie) : reply, End::close);
    case Fault::cut_reset: return half(step == Step::check ? json_reply(lie) : reply, End::reset);
    case Fault::unframed:
      return {.first = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" +
                       lie.substr(0, lie.size() - 90),
              .end = End::close};
    case Fault::stall: return {.first = reply, .wait = stall};
    case Fault::stall_half: {
      Answer answer = half(reply, End::keep);
      answer.rest = reply.substr(answer.first.size());
      answer.pause = stall;
      return answer;
    }
    case Fault::garbage: return {.first = "\x16\x03\x01 No\r\n\r\nNo\r\n", .end = End::close};
    case Fault::not_json: return {.first = json_reply("<html>No</html>")};
    case Fault::wrong_shape: return {.first = json_reply(wrong_shape(step, random))};
  }
  return {.first = reply};
}

struct Connection {
  int fd = -1;
  std::uint64_t generation = 0;
  std::string in;          // The header and what came with it, then the last bytes of the body.
  std::size_t header = 0;  // Its size; 0 while it is not whole.
  std::size_t left = 0;    // Bytes of the body not received.
  bool is_answering = false;
  Answer answer;
  std::size_t sent = 0;
  bool is_full = false;  // The socket took no more.
};

class Upstream {
 public:
  explicit Upstream(const Settings& settings) : settings_{settings}, random_{settings.seed} {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int one = 1;
    setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(settings.port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 || listen(listener_, 4096) != 0) {
      std::perror("gateway_upstream: cannot listen");
      std::exit(1);
    }
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    watch(listener_, EPOLLIN, EPOLL_CTL_ADD);
  }

  [[noreturn]] void run() {
    std::array<epoll_event, 512> events{};
    for (;;) {
      const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), timeout());
      for (int i = 0; i < count; ++i) {
        const epoll_event& event = events[static_cast<std::size_t>(i)];
        if (event.data.fd == listener_) {
          accept_all();
        } else if ((event.events & EPOLLOUT) != 0) {
          send_some(*connections_[static_cast<std::size_t>(event.data.fd)]);
        } else {
          receive(*connections_[static_cast<std::size_t>(event.data.fd)]);
        }
      }
      wake();
    }
  }

 private:
  struct Timer {
    Clock::time_point due;
    int fd;
    std::uint64_t generation;
    bool operator>(const Timer& other) const { return due > other.due; }
  };

  void watch(int fd, std::uint32_t events, int operation) const {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    epoll_ctl(epoll_, operation, fd, &event);
  }

  // Rounded up: a reply is never early.
  int timeout() const {
    if (timers_.empty()) return -1;
    const auto left = timers_.top().due - Clock::now();
    return std::max(0, static_cast<int>(std::chrono::ceil<milliseconds>(left).count()));
  }

  void wake() {
    while (!timers_.empty() && timers_.top().due <= Clock::now()) {
      const Timer timer = timers_.top();
      timers_.pop();
      const auto& connection = connections_[static_cast<std::size_t>(timer.fd)];
      if (!connection || connection->generation != timer.generation) continue;
      const auto late = std::chrono::duration_cast<milliseconds>(Clock::now() - timer.due).count();
      ++late_[static_cast<std::size_t>(std::min<long>(late, static_cast<long>(late_.size()) - 1))];
      send_some(*connection);
    }
  }

  void accept_all() {
    for (;;) {
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return;
      const int one = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
      const auto index = static_cast<std::size_t>(fd);
      if (connections_.size() <= index) connections_.resize(index + 1);
      connections_[index] = std::make_unique<Connection>();
      connections_[index]->fd = fd;
      connections_[index]->generation = ++generations_;
      watch(fd, EPOLLIN, EPOLL_CTL_ADD);
      open_most_ = std::max(open_most_, ++open_);
    }
  }

  void drop(const Connection& connection) {
    const int fd = connection.fd;
    close(fd);
    --open_;
    connections_[static_cast<std::size_t>(fd)].reset();
  }

  // True if `size` bytes more came; else there is no more now, or the connection is gone, which is then dropped.
  bool append(Connection& connection, std::size_t size) {
    const std::size_t before = connection.in.size();
    connection.in.resize(before + size);
    const ssize_t got = recv(connection.fd, connection.in.data() + before, size, 0);
    connection.in.resize(before + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    if (got > 0) return true;
    if (got == 0 || errno != EAGAIN) gone(connection);
    return false;
  }

  void gone(const Connection& connection) {
    if (connection.is_answering) ++gone_;
    drop(connection);
  }

  void receive(Connection& connection) {
    constexpr std::size_t start = 16 * 1024;
    constexpr std::size_t tail = 4 * 1024;
    constexpr std::size_t most_dropped = std::size_t{1} << 20;
    if (connection.is_answering) {
      // Nothing may come before the answer has left but the end.
      char byte = 0;
      const ssize_t got = recv(connection.fd, &byte, 1, 0);
      if (got >= 0 || errno != EAGAIN) gone(connection);
      return;
    }
    while (connection.header == 0) {
      if (connection.in.size() >= start) return drop(connection);
      if (!append(connection, start - connection.in.size())) return;
      if (!read_header(connection)) return;
    }
    while (connection.left > tail) {
      const ssize_t got = recv(connection.fd, nullptr, std::min(connection.left - tail, most_dropped), MSG_TRUNC);
      if (got == 0 || (got < 0 && errno != EAGAIN)) return drop(connection);
      if (got < 0) return;
      connection.left -= static_cast<std::size_t>(got);
    }
    while (connection.left > 0) {
      const std::size_t before = connection.in.size();
      if (!append(connection, connection.left)) return;
      connection.left -= connection.in.size() - before;
    }
    reply(connection);
  }

  // False if the connection had to be dropped.
  bool read_header(Connection& connection) {
    const std::string_view in = connection.in;
    const std::size_t end = in.find("\r\n\r\n");
    if (end == std::string_view::npos) return true;
    connection.header = end + 4;
    std::size_t length = 0;
    for (std::size_t at = in.find("\r\n"); at < end; at = in.find("\r\n", at + 2)) {
      constexpr std::string_view name = "content-length:";
      if (strncasecmp(in.data() + at + 2, name.data(), name.size()) != 0) continue;
      length = std::strtoull(in.data() + at + 2 + name.size(), nullptr, 10);
    }
    const std::size_t have = in.size() - connection.header;
    if (have > length) {
      std::fprintf(stderr, "gateway_upstream: a body without its length, or more than one request at once\n");
      drop(connection);
      return false;
    }
    connection.left = length - have;
    return true;
  }

  void reply(Connection& connection) {
    const std::string_view in = connection.in;
    connection.answer = in.starts_with("POST ") ? completion_for(in.substr(connection.header)) : plain_answer(in);
    connection.in.clear();
    connection.header = 0;
    connection.is_answering = true;
    connection.sent = 0;
    if (connection.answer.wait.count() == 0) return send_some(connection);
    timers_.push({Clock::now() + connection.answer.wait, connection.fd, connection.generation});
  }

  Answer plain_answer(std::string_view in) const {
    if (in.starts_with("GET /count ")) return {.first = with_header("200 OK", "text/plain", counts())};
    if (in.starts_with("GET /v1/models "))
      return {.first = json_reply(R"({"object":"list","data":[{"id":"mock","object":"model"}]})")};
    return {.first = with_header("200 OK", "text/plain", "ok")};
  }

  Answer completion_for(std::string_view asked) {
    const Step step = step_of(asked);
    ++calls_[static_cast<std::size_t>(step)];
    const std::string_view found = token_in(asked);
    const std::string_view token = found.empty() ? "token-0-b" : found;
    const bool streams = asked.find(R"("stream":true)") != std::string_view::npos;
    const std::string text = text_of(step, token, asked);
    Answer answer{.first = streams ? streamed(text) : json_reply(completion(quoted(text)))};
    if (settings_.faults > 0 && std::uniform_real_distribution<>{}(random_) < settings_.faults) {
      const std::size_t kind = random_() % fault_kinds;
      ++faults_[kind];
      answer = faulty(static_cast<Fault>(kind), step, text, answer.first, settings_.stall, random_);
    }
    answer.wait += settings_.delay;
    return answer;
  }

  void send_some(Connection& connection) {
    Answer& answer = connection.answer;
    while (connection.sent < answer.first.size()) {
      const ssize_t sent =
          send(connection.fd, answer.first.data() + connection.sent, answer.first.size() - connection.sent, MSG_NOSIGNAL);
      if (sent < 0 && errno == EAGAIN) {
        connection.is_full = true;
        return watch(connection.fd, EPOLLOUT, EPOLL_CTL_MOD);
      }
      if (sent < 0) return gone(connection);
      connection.sent += static_cast<std::size_t>(sent);
    }
    if (std::exchange(connection.is_full, false)) watch(connection.fd, EPOLLIN, EPOLL_CTL_MOD);
    if (!answer.rest.empty()) {
      answer.first = std::exchange(answer.rest, {});
      connection.sent = 0;
      timers_.push({Clock::now() + answer.pause, connection.fd, connection.generation});
      return;
    }
    if (answer.end == End::reset) {
      const linger at_once{.l_onoff = 1, .l_linger = 0};
      setsockopt(connection.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    }
    if (answer.end != End::keep) return drop(connection);
    connection.is_answering = false;
  }

  std::string counts() const {
    std::uint64_t all = 0;
    for (const std::uint64_t calls : calls_) all += calls;
    std::string text;
    const auto line = [&](std::string_view name, std::uint64_t value) {
      text.append(name).append(" ").append(std::to_string(value)).append("\n");
    };
    line("calls", all);
    line("answers", calls_[0]);
    line("checks", calls_[1]);
    line("captions", calls_[2]);
    line("regenerations", calls_[3]);
    line("gone", gone_);
    line("open_most", open_most_);
    std::uint64_t faults = 0;
    for (const std::uint64_t count : faults_) faults += count;
    line("faults", faults);
    for (std::size_t i = 0; i < fault_kinds; ++i) line(std::string{"fault_"}.append(fault_names[i]), faults_[i]);
    std::uint64_t delayed = 0;
    for (const std::uint64_t count : late_) delayed += count;
    std::size_t late = 0;
    for (std::uint64_t seen = 0; late < late_.size() && (seen += late_[late]) * 100 < delayed * 99;) ++late;
    line("late_p99_ms", late);
    return text;
  }

  Settings settings_;
  std::mt19937_64 random_;
  int listener_ = -1;
  int epoll_ = -1;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::priority_queue<Timer, std::vector<Timer>, std::greater<>> timers_;
  std::uint64_t generations_ = 0;
  std::uint64_t open_ = 0;
  std::uint64_t open_most_ = 0;
  std::uint64_t gone_ = 0;
  std::array<std::uint64_t, 4> calls_{};
  std::array<std::uint64_t, fault_kinds> faults_{};
  std::array<std::uint64_t, 1000> late_{};
};

Settings read_settings(int argc, char** argv) {
  Settings settings;
  const std::map<std::string_view, void (*)(Settings&, double)> options{
      {"--port", [](Settings& s, double value) { s.port = static_cast<int>(value); }},
      {"--delay", [](Settings& s, double value) { s.delay = milliseconds{static_cast<long>(value)}; }},
      {"--faults", [](Settings& s, double value) { s.faults = value / 100; }},
      {"--stall", [](Settings& s, double value) { s.stall = milliseconds{static_cast<long>(value)}; }},
      {"--seed", [](Settings& s, double value) { s.seed = static_cast<std::uint64_t>(value); }},
  };
  for (int i = 1; i + 1 < argc; i += 2) {
    const auto option = options.find(argv[i]);
    if (option != options.end()) option->second(settings, std::strtod(argv[i + 1], nullptr));
  }
  if (settings.port == 0) {
    std::fprintf(stderr, "usage: gateway_upstream --port PORT [--delay MS] [--faults PERCENT] [--stall MS] [--seed N]\n");
    std::exit(64);
  }
  return settings;
}

}  // namespace

int main(int argc, char** argv) {
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  Upstream{read_settings(argc, argv)}.run();
}
