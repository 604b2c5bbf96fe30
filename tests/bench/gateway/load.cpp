// A client of the gateway for its load tests: one thread, any number of connections to 127.0.0.1, every answer compared with what
// the upstream (upstream.cpp) makes of the request.
//
//   gateway_load --port PORT --requests N --spread MS             N requests that begin within MS, however long their answers
//   take gateway_load --port PORT --seconds S --rate R                 R requests a second gateway_load --port PORT --seconds S
//   --connections C          C requests at any time
//
//   --connections C   most at once (default 20000)     --harmful P   percent that are harmful
//   --image FILE      a picture for some of them       --images P    percent that have it
//   --stream P        percent that are streamed        --delay MS    what a call of the upstream takes, for the own time
//   --timeout MS      for one request                  --faulty      the upstream fails now and then: an error is no wrong answer
//   --seed N
//
// It prints lines of a name and a number: `right` + `errors` + `wrong` + `broken` = `requests`. `leaked` counts responses that
// hold what nobody may see. Times count from when a request was due, so a client that lags is counted too.

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
#include <deque>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using namespace ecso::bench;
using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::duration<double, std::milli>;

struct Settings {
  std::map<std::string, std::string> values;

  double number(const char* name, double otherwise) const {
    const auto found = values.find(name);
    return found == values.end() ? otherwise : std::strtod(found->second.c_str(), nullptr);
  }
  bool has(const char* name) const { return values.contains(name); }
};

[[noreturn]] void fail(std::string_view what) {
  std::fprintf(stderr, "gateway_load: %.*s\n", static_cast<int>(what.size()), what.data());
  std::exit(64);
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    std::uint32_t group = 0;
    for (std::size_t i = 0; i < 3; ++i)
      group = group << 8 | (at + i < bytes.size() ? static_cast<unsigned char>(bytes[at + i]) : 0U);
    for (std::size_t i = 0; i < 4; ++i) text += at + i > bytes.size() ? '=' : alphabet[group >> (18 - 6 * i) & 63];
  }
  return text;
}

struct Response {
  int status = 0;
  bool keeps_open = true;
  std::string body;
  std::size_t size = 0;  // Of all of it on the wire.
};

/// Takes a whole response from the start of `in`; nothing if there is more to come. A malformed one has the status 0.
std::optional<Response> read_response(std::string_view in, bool at_end) {
  const std::size_t header_end = in.find("\r\n\r\n");
  if (header_end == std::string_view::npos) return std::nullopt;
  Response response;
  if (in.size() < 12 || !in.starts_with("HTTP/1.1 ")) return response;
  response.status = std::atoi(std::string{in.substr(9, 3)}.c_str());
  std::optional<std::size_t> length;
  bool is_chunked = false;
  for (std::size_t at = in.find("\r\n"); at < header_end; at = in.find("\r\n", at + 2)) {
    const std::string_view line = in.substr(at + 2, in.find("\r\n", at + 2) - at - 2);
    const auto value = [&](std::string_view name) -> std::optional<std::string> {
      if (line.size() < name.size() || strncasecmp(line.data(), name.data(), name.size()) != 0) return std::nullopt;
      return std::string{line.substr(std::min(line.size(), line.find_first_not_of(' ', name.size())))};
    };
    if (const auto text = value("content-length:")) length = std::strtoull(text->c_str(), nullptr, 10);
    if (const auto text = value("transfer-encoding:")) is_chunked = strcasecmp(text->c_str(), "chunked") == 0;
    if (const auto text = value("connection:")) response.keeps_open = strcasecmp(text->c_str(), "close") != 0;
  }
  const std::string_view body = in.substr(header_end + 4);
  if (is_chunked) {
    for (std::size_t at = 0;;) {
      const std::size_t line_end = body.find("\r\n", at);
      if (line_end == std::string_view::npos) return std::nullopt;
      std::size_t size = 0;
      if (std::from_chars(body.data() + at, body.data() + line_end, size, 16).ec != std::errc{}) return Response{};
      const std::size_t data = line_end + 2;
      if (body.size() < data + size + 2) return std::nullopt;
      response.body.append(body.substr(data, size));
      at = data + size + 2;
      if (size > 0) continue;
      response.size = header_end + 4 + at;
      return response;
    }
  }
  if (!length) {
    if (!at_end) return std::nullopt;
    length = body.size();
  }
  if (body.size() < *length) return std::nullopt;
  response.body = body.substr(0, *length);
  response.size = header_end + 4 + *length;
  return response;
}

/// What a reply says: all of its "content" strings, one after the other. The upstream's texts hold nothing that JSON escapes.
std::string text_of(std::string_view body) {
  constexpr std::string_view name = R"("content":)";
  std::string text;
  for (std::size_t at = body.find(name); at != std::string_view::npos; at = body.find(name, at)) {
    at = std::min(body.size(), body.find_first_not_of(' ', at + name.size()));
    if (at == body.size() || body[at] != '"') continue;
    const std::size_t end = body.find('"', at + 1);
    if (end == std::string_view::npos) break;
    text.append(body.substr(at + 1, end - at - 1));
    at = end;
  }
  return text;
}

/// How many calls the reply says it took.
std::optional<int> calls_of(std::string_view body) {
  constexpr std::string_view name = R"("calls":)";
  const std::size_t at = body.find(name);
  if (at == std::string_view::npos) return std::nullopt;
  return std::atoi(std::string{body.substr(at + name.size(), 8)}.c_str());
}

struct Connection {
  int fd = -1;
  std::uint64_t generation = 0;
  bool is_busy = false;
  Clock::time_point due;
  std::string token;
  bool streams = false;
  std::string out;
  std::size_t sent = 0;
  std::string in;
};

class Client {
 public:
  explicit Client(const Settings& settings)
      : settings_{settings},
        random_{static_cast<std::uint64_t>(settings.number("seed", 1))},
        most_connections_{static_cast<std::size_t>(settings.number("connections", 20'000))},
        timeout_{settings.number("timeout", 60'000)},
        call_time_{settings.number("delay", 0)} {
    if (settings.has("image")) {
      std::ifstream file{settings.values.at("image"), std::ios::binary};
      image_ = base64(std::string{std::istreambuf_iterator<char>{file}, {}});
      if (image_.empty()) fail("the image cannot be read");
    }
    address_.sin_family = AF_INET;
    address_.sin_port = htons(static_cast<std::uint16_t>(settings.number("port", 0)));
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
  }

  void run() {
    const auto start = Clock::now();
    const double seconds = settings_.number("seconds", 0);
    const double spread = settings_.number("spread", 0);
    const auto most = static_cast<std::uint64_t>(settings_.number("requests", 1e15));
    double rate = settings_.number("rate", 0);
    if (settings_.has("spread")) rate = spread > 0 ? static_cast<double>(most) / spread * 1000 : 1e9;
    const auto after = [&](double s) {
      return start + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>{s});
    };
    const auto end = seconds > 0 ? after(seconds) : Clock::time_point::max();
    const auto next_due = [&] { return rate > 0 ? after(static_cast<double>(begun_) / rate) : Clock::now(); };
    for (;;) {
      bool is_over = false;
      for (auto due = next_due();; due = next_due()) {
        is_over = begun_ >= most || due >= end;
        if (is_over || due > Clock::now() || busy_ >= most_connections_) break;
        begin(due);
      }
      if (is_over && busy_ == 0) break;
      // The gateway is gone.
      if (broken_ >= 10'000) break;
      // Where no place is free, the end of a request wakes it.
      wait(is_over || busy_ >= most_connections_ ? Clock::now() + std::chrono::milliseconds{100} : next_due());
      drop_late();
    }
    seconds_ = std::chrono::duration<double>(Clock::now() - start).count();
  }

  void report() {
    const auto line = [](const char* name, double value) { std::printf("%s %.10g\n", name, value); };
    line("requests", static_cast<double>(begun_));
    line("right", static_cast<double>(right_));
    line("errors", static_cast<double>(errors_));
    line("wrong", static_cast<double>(wrong_));
    line("broken", static_cast<double>(broken_));
    line("leaked", static_cast<double>(leaked_));
    line("repaired", static_cast<double>(repaired_));
    line("busy_most", static_cast<double>(busy_most_));
    line("seconds", seconds_);
    line("per_second", static_cast<double>(right_ + errors_) / seconds_);
    percentiles("latency", latencies_);
    percentiles("own", own_times_);
    for (const auto& [status, count] : statuses_) std::printf("status_%d %llu\n", status, static_cast<unsigned long long>(count));
  }

 private:
  static void percentiles(const char* name, std::vector<double>& times) {
    std::ranges::sort(times);
    const auto at = [&](double share) {
      return times.empty() ? 0.0 : times[static_cast<std::size_t>(share * static_cast<double>(times.size() - 1))];
    };
    std::printf("%s_p50_ms %.2f\n%s_p99_ms %.2f\n%s_max_ms %.2f\n", name, at(0.5), name, at(0.99), name, at(1));
  }

  void watch(int fd, std::uint32_t events, int operation) const {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    epoll_ctl(epoll_, operation, fd, &event);
  }

  bool one_in_hundred(const char* setting) {
    return std::uniform_real_distribution<>{0, 100}(random_) < settings_.number(setting, 0);
  }

  std::string request(std::string_view token, bool streams) {
    std::string content = "How do I set up what is asked for by " + std::string{token} + "? Say it in a few words.";
    if (!image_.empty() && one_in_hundred("images")) {
      content = R"([{"type":"text","text":")" + content + R"("},{"type":"image_url","image_url":{"url":"data:image/png;base64,)" +
                image_ + R"("}}])";
    } else {
      // Something to carry: all in all about 1 KB.
      content = '"' + content + std::string(800, '.') + '"';
    }
    const std::string body = std::string{R"({"model":"mock","max_tokens":256,)"} + (streams ? R"("stream":true,)" : "") +
                             R"("messages":[{"role":"user","content":)" + content + "}]}";
    return "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: " +
           std::to_string(body.size()) + "\r\n\r\n" + body;
  }

  void begin(Clock::time_point due) {
    Connection* connection = idle_connection();
    const bool is_harmful = one_in_hundred("harmful");
    const std::string token = "token-" + std::to_string(++begun_) + (is_harmful ? "-h" : "-b");
    if (connection == nullptr) connection = open_connection();
    if (connection == nullptr) {
      ++broken_;
      return complain("cannot connect", std::strerror(errno));
    }
    connection->is_busy = true;
    connection->due = due;
    connection->token = token;
    connection->streams = one_in_hundred("stream");
    connection->out = request(token, connection->streams);
    connection->sent = 0;
    connection->in.clear();
    busy_most_ = std::max(busy_most_, ++busy_);
    deadlines_.push_back({due + std::chrono::duration_cast<Clock::duration>(timeout_), connection->fd, ++generations_});
    connection->generation = generations_;
    send_some(*connection);
  }

  Connection* idle_connection() {
    while (!idle_.empty()) {
      const auto [fd, generation] = idle_.back();
      idle_.pop_back();
      const auto& connection = connections_[static_cast<std::size_t>(fd)];
      if (connection && !connection->is_busy && connection->generation == generation) return connection.get();
    }
    return nullptr;
  }

  Connection* open_connection() {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return nullptr;
    const int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, reinterpret_cast<const sockaddr*>(&address_), sizeof address_) != 0 && errno != EINPROGRESS) {
      close(fd);
      return nullptr;
    }
    const auto index = static_cast<std::size_t>(fd);
    if (connections_.size() <= index) connections_.resize(index + 1);
    connections_[index] = std::make_unique<Connection>();
    connections_[index]->fd = fd;
    watch(fd, EPOLLIN | EPOLLOUT, EPOLL_CTL_ADD);
    return connections_[index].get();
  }

  void drop(const Connection& connection) {
    const int fd = connection.fd;
    if (connection.is_busy) --busy_;
    close(fd);
    connections_[static_cast<std::size_t>(fd)].reset();
  }

  void wait(Clock::time_point until) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
    std::array<epoll_event, 512> events{};
    const int count =
        epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), static_cast<int>(std::clamp(left, 0L, 100L)));
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      const auto& connection = connections_[static_cast<std::size_t>(event.data.fd)];
      if (!connection) continue;
      if ((event.events & EPOLLOUT) != 0 && !send_some(*connection)) continue;
      if ((event.events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) receive(*connection);
    }
  }

  // False if the connection is gone.
  bool send_some(Connection& connection) {
    while (connection.sent < connection.out.size()) {
      const ssize_t sent =
          send(connection.fd, connection.out.data() + connection.sent, connection.out.size() - connection.sent, MSG_NOSIGNAL);
      if (sent < 0 && (errno == EAGAIN || errno == ENOTCONN)) {
        watch(connection.fd, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
        return true;
      }
      // An answer may have come before the end of the request.
      if (sent < 0) break;
      connection.sent += static_cast<std::size_t>(sent);
    }
    watch(connection.fd, EPOLLIN, EPOLL_CTL_MOD);
    connection.out.clear();
    connection.out.shrink_to_fit();
    connection.sent = 0;
    return true;
  }

  void receive(Connection& connection) {
    std::array<char, 65'536> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init)
    for (;;) {
      const ssize_t got = recv(connection.fd, buffer.data(), buffer.size(), 0);
      if (got < 0 && errno == EAGAIN) return;
      if (got > 0) connection.in.append(buffer.data(), static_cast<std::size_t>(got));
      if (!connection.is_busy) {
        if (got > 0) complain("bytes that nobody asked for", connection.in);
        return drop(connection);
      }
      const auto response = read_response(connection.in, got <= 0);
      if (response) return take(connection, *response);
      if (got > 0) continue;
      ++broken_;
      if (connection.in.find(forbidden) != std::string::npos) ++leaked_;
      complain(got == 0 ? "the connection ended: " : "the connection broke: ", connection.in);
      return drop(connection);
    }
  }

  void take(Connection& connection, const Response& response) {
    judge(connection, response);
    if (!response.keeps_open || response.size != connection.in.size() || !connection.out.empty()) return drop(connection);
    connection.in.clear();
    connection.in.shrink_to_fit();
    connection.is_busy = false;
    --busy_;
    idle_.emplace_back(connection.fd, connection.generation);
  }

  void judge(const Connection& connection, const Response& response) {
    const Milliseconds latency = Clock::now() - connection.due;
    ++statuses_[response.status];
    const std::string text = text_of(response.body);
    if (connection.in.find(forbidden) != std::string::npos || text.find(forbidden) != std::string::npos) {
      ++leaked_;
      complain(text.find(forbidden) != std::string::npos ? "released: " : "leaked: ", response.body);
    }
    const bool is_faulty = settings_.has("faulty");
    const bool has_error = response.body.find(R"("error":)") != std::string::npos;
    if (response.status != 200 || (connection.streams && has_error)) {
      const bool is_of_upstream = response.status == 200 || response.status == 429 || response.status >= 500;
      if (is_faulty && is_of_upstream && has_error) {
        ++errors_;
      } else {
        ++wrong_;
        complain("no answer: ", connection.in);
      }
      return;
    }
    const bool is_whole = !connection.streams || response.body.find("data: [DONE]") != std::string::npos;
    const bool is_safe = text == safe_answer(connection.token);
    const bool is_direct = !is_harmful(connection.token) && text == direct_answer(connection.token);
    const bool is_refusal = text.starts_with("I can't help with that");
    if (is_safe) ++repaired_;
    if (!is_whole || !(is_direct || (is_safe && (is_faulty || is_harmful(connection.token))) || (is_faulty && is_refusal))) {
      ++wrong_;
      return complain("wrong answer to " + connection.token + ": ", response.body);
    }
    ++right_;
    latencies_.push_back(latency.count());
    const int calls = calls_of(response.body).value_or(is_direct ? 2 : 4);
    own_times_.push_back(latency.count() - calls * call_time_.count());
  }

  void drop_late() {
    while (!deadlines_.empty() && deadlines_.front().at <= Clock::now()) {
      const Deadline deadline = deadlines_.front();
      deadlines_.pop_front();
      const auto& connection = connections_[static_cast<std::size_t>(deadline.fd)];
      if (!connection || !connection->is_busy || connection->generation != deadline.generation) continue;
      ++broken_;
      complain("no answer in time", connection->in);
      drop(*connection);
    }
  }

  void complain(std::string_view what, std::string_view detail) {
    // A few of each kind.
    constexpr int most_complaints = 4;
    if (++complaints_[std::string{what.substr(0, 8)}] > most_complaints) return;
    constexpr std::size_t enough = 2'000;
    const std::string text = std::string{what} + " " + std::string{detail.substr(0, enough)};
    std::fprintf(stderr, "gateway_load: %s\n", text.c_str());
  }

  struct Deadline {
    Clock::time_point at;
    int fd;
    std::uint64_t generation;
  };

  const Settings& settings_;
  std::mt19937_64 random_;
  std::size_t most_connections_;
  Milliseconds timeout_;
  Milliseconds call_time_;
  std::string image_;
  sockaddr_in address_{};
  int epoll_ = -1;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<std::pair<int, std::uint64_t>> idle_;
  std::deque<Deadline> deadlines_;
  std::uint64_t generations_ = 0;
  std::uint64_t begun_ = 0;
  std::size_t busy_ = 0;
  std::size_t busy_most_ = 0;
  std::uint64_t right_ = 0;
  std::uint64_t errors_ = 0;
  std::uint64_t wrong_ = 0;
  std::uint64_t broken_ = 0;
  std::uint64_t leaked_ = 0;
  std::uint64_t repaired_ = 0;
  std::map<std::string, int> complaints_;
  double seconds_ = 0;
  std::vector<double> latencies_;
  std::vector<double> own_times_;
  std::map<int, std::uint64_t> statuses_;
};

Settings read_settings(int argc, char** argv) {
  Settings settings;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (!name.starts_with("--")) fail("options begin with --");
    const bool has_value = i + 1 < argc && argv[i + 1][0] != '-';
    settings.values[std::string{name.substr(2)}] = has_value ? argv[++i] : "";
  }
  if (!settings.has("port") || settings.has("requests") == settings.has("seconds")) {
    fail("--port, and one of --requests and --seconds; load.cpp lists the rest");
  }
  return settings;
}

}  // namespace

int main(int argc, char** argv) {
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  const Settings settings = read_settings(argc, argv);
  Client client{settings};
  client.run();
  client.report();
}
