#pragma once

#include <ecso/detail/gateway/body_memory.hpp>
#include <ecso/detail/gateway/request_head.hpp>
#include <ecso/detail/gateway/response_reader.hpp>
#include <ecso/detail/gateway/sweeper.hpp>
#include <ecso/detail/gateway/task.hpp>
#include <ecso/detail/gateway/wire.hpp>
#include <ecso/gateway/gate.hpp>
#include <ecso/gateway/options.hpp>

#include <boost/asio/post.hpp>
#include <boost/beast/http/status.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ecso::detail::gateway {

/// What is said to a client.
struct Response {
  int status = 200;
  std::string content_type = "application/json";
  std::string headers = {};  ///< Further lines, each with its CRLF.
  std::string body = {};
};

/// A socket that is tried, and given up after a time.
class Probe final : public Timed {
 public:
  Probe(Sweeper& sweeper, Socket socket) : Timed{sweeper}, socket_{std::move(socket)} {}
  [[nodiscard]] Socket& socket() noexcept { return socket_; }

 private:
  void on_expired() override {
    error_code ignored;
    socket_.close(ignored);
  }

  Socket socket_;
};

/// A client's connection: its bytes as requests, responses as bytes. It knows nothing of what they mean. Of one thread.
class Connection final : public Timed, public std::enable_shared_from_this<Connection> {
 public:
  Connection(Sweeper& sweeper, Socket socket, std::string address)
      : Timed{sweeper},
        wire_{std::move(socket)},
        address_{std::move(address)},
        readable_{wire_.socket().get_executor()},
        granted_{std::make_shared<Event>(wire_.socket().get_executor())} {}

  [[nodiscard]] Wire& wire() noexcept { return wire_; }
  [[nodiscard]] const std::string& address() const noexcept { return address_; }
  [[nodiscard]] const RequestHead& head() const noexcept { return head_; }
  [[nodiscard]] bool is_idle() const noexcept { return is_idle_; }
  [[nodiscard]] bool is_late() const noexcept { return is_late_; }
  /// The client has closed, or broke off.
  [[nodiscard]] bool is_gone() const noexcept { return is_gone_; }
  [[nodiscard]] Clock::time_point began() const noexcept { return began_; }
  [[nodiscard]] std::size_t sent_bytes() const noexcept { return sent_bytes_; }
  void close() noexcept { wire_.close(); }

  /// Why there is no request.
  enum class NoRequest { closed, bad, too_large };
  struct HeadResult {
    std::optional<NoRequest> none;
    HeadFault fault = {};
  };

  /// Reads the head of the next request.
  Task<HeadResult> read_head(const ecso::gateway::Bounds* bounds) {
    head_ = {};
    parser_.emplace();
    parser_->header_limit(static_cast<std::uint32_t>(bounds->max_header_bytes));
    parser_->body_limit(boost::none);
    parser_->get().body() = [this](std::string_view bytes) { take_chunk(bytes); };
    is_idle_ = true;
    is_late_ = false;
    sent_bytes_ = 0;
    expire_after(bounds->idle_timeout);
    HeadScan scan;
    for (;;) {
      error_code error;
      const std::size_t used = put(*parser_, wire_.arrived().data(), error);
      const bool is_plain = scan.take(wire_.arrived().data().substr(0, used));
      wire_.arrived().consume(used);
      if (is_idle_ && (used > 0 || wire_.arrived().size() > 0)) {
        is_idle_ = false;
        began_ = Clock::now();
        expire_after(bounds->header_timeout);
      }
      if (error) co_return refused_head(error);
      if (!is_plain) co_return HeadResult{NoRequest::bad, {400, "not a plain HTTP request"}};
      if (parser_->is_header_done()) break;
      if (wire_.arrived().size() >= bounds->max_header_bytes)
        co_return HeadResult{NoRequest::too_large, {431, "the header is too large"}};
      auto filled = co_await fill(bounds->max_header_bytes + 1024);
      if (!filled) continue;
      if (is_late_ && !is_idle_) co_return HeadResult{NoRequest::bad, {408, "the header took too long"}};
      if (!is_idle_ && wire_.arrived().size() > 0 && filled != asio::error::operation_aborted && !is_late_) is_gone_ = true;
      co_return HeadResult{NoRequest::closed, {}};
    }
    expire_never();
    const auto fault = gateway::read_head(*parser_, head_);
    if (fault) co_return HeadResult{NoRequest::bad, *fault};
    co_return HeadResult{};
  }

  /// Reads the body of the request whose head was read, into `body`. Nothing if all went well.
  Task<std::optional<HeadFault>> read_body(const ecso::gateway::Bounds* bounds, std::shared_ptr<ecso::gateway::Gate> room,
                                           std::shared_ptr<BodyMemory> memory, Body* body) {
    constexpr std::size_t chunked_start = std::size_t{64} * 1024;
    if (head_.content_length > bounds->max_body_bytes) {
      co_return HeadFault{413, "the body is larger than this gateway takes"};
    }
    const auto length = static_cast<std::size_t>(head_.content_length);
    if (length == 0 && !head_.is_chunked) co_return std::nullopt;
    is_late_ = false;
    expire_after(bounds->body_timeout);
    body->room = room;
    auto has_room = co_await wait_for(room, head_.is_chunked ? chunked_start : length, &body->lease);
    if (!has_room)
      co_return HeadFault{is_late_ ? 503 : 413, is_late_ ? "no memory for the body became free in time"
                                                         : "the body is larger than this gateway has memory for"};
    const bool is_awaited = head_.expects_continue && wire_.arrived().size() == 0;
    if (is_awaited) {
      static constexpr std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";
      std::vector<asio::const_buffer> pieces{asio::buffer(go_on.data(), go_on.size())};
      auto error = co_await write(std::move(pieces), bounds->write_timeout);
      if (error) co_return gone();
    }
    expire_after(bounds->body_timeout);
    if (head_.is_chunked) {
      auto fault = co_await read_chunks(bounds, memory, body);
      co_return fault;
    }
    body->allocate(std::move(memory), length);
    while (body->size < length) {
      const std::size_t at_hand = std::min(wire_.arrived().size(), length - body->size);
      if (at_hand > 0) {
        std::memcpy(body->data() + body->size, wire_.arrived().data().data(), at_hand);
        wire_.arrived().consume(at_hand);
        body->size += at_hand;
        continue;
      }
      if (is_reading_) {
        auto filled = co_await fill(read_ahead_bytes);
        if (filled) co_return cut_body();
        continue;
      }
      auto read = co_await wire_.read_some(asio::buffer(body->data() + body->size, length - body->size));
      if (std::get<0>(read)) co_return cut_body();
      body->size += std::get<1>(read);
    }
    expire_never();
    co_return std::nullopt;
  }

  /// From now on notices when the client goes away, while something else is waited for; `on_gone` is called at most once.
  void watch(std::function<void()> on_gone) {
    on_gone_ = std::move(on_gone);
    if (!is_reading_) start_reading(read_ahead_bytes);
  }
  void unwatch() noexcept { on_gone_ = nullptr; }
  /// Has `wait_for` look again.
  void wake() { granted_->signal(); }

  /// Writes a whole response. False if the client did not take it.
  Task<bool> respond(Response response, bool keeps_alive, const ecso::gateway::Bounds* bounds) {
    const std::string head = head_of(response, fmt::format("content-length: {}\r\n", response.body.size()), keeps_alive);
    const bool has_body = head_.method != "HEAD";
    std::vector<asio::const_buffer> pieces{asio::buffer(head)};
    if (has_body) pieces.push_back(asio::buffer(response.body));
    auto error = co_await write(std::move(pieces), bounds->write_timeout);
    co_return !error;
  }

  /// Begins a response whose end is not known: chunked, or to the end of the connection for HTTP/1.0.
  Task<bool> begin_stream(Response response, bool keeps_alive, const ecso::gateway::Bounds* bounds) {
    is_chunking_ = keeps_alive || parser_->get().version() == 11;
    const std::string head = head_of(response, is_chunking_ ? "transfer-encoding: chunked\r\n" : "", keeps_alive && is_chunking_);
    std::vector<asio::const_buffer> pieces{asio::buffer(head)};
    auto error = co_await write(std::move(pieces), bounds->write_timeout);
    co_return !error;
  }
  Task<bool> write_stream(std::string text, bool is_last, const ecso::gateway::Bounds* bounds) {
    const std::string size = is_chunking_ && !text.empty() ? fmt::format("{:x}\r\n", text.size()) : std::string{};
    const std::string_view end = !is_chunking_ ? "" : is_last ? (text.empty() ? "0\r\n\r\n" : "\r\n0\r\n\r\n") : "\r\n";
    if (text.empty() && !is_last) co_return true;
    std::vector<asio::const_buffer> pieces{asio::buffer(size), asio::buffer(text), asio::buffer(end.data(), end.size())};
    auto error = co_await write(std::move(pieces), bounds->write_timeout);
    co_return !error;
  }

  /// Closes so that a client that is still sending can read the response.
  Task<void> close_gently() {
    constexpr std::size_t most_bytes = std::size_t{4} << 20;
    wire_.finish();
    is_late_ = false;
    expire_after(std::chrono::seconds{2});
    for (std::size_t drained = 0; drained < most_bytes;) {
      wire_.arrived().consume(wire_.arrived().size());
      auto error = co_await fill(read_ahead_bytes);
      if (error) break;
      drained += wire_.arrived().size();
    }
    wire_.close();
  }

  /// Waits for a share of a gate. False if it came to nothing: the time was over (`is_late`), or there can never be one.
  Task<bool> wait_for(std::shared_ptr<ecso::gateway::Gate> gate, std::size_t weight, ecso::gateway::Gate::Lease* lease) {
    struct Grant {
      ecso::gateway::Gate::Lease lease;
    };
    auto grant = std::make_shared<Grant>();
    auto entry = gate->enter(
        weight, [grant, event = granted_, executor = wire_.socket().get_executor()](ecso::gateway::Gate::Lease given) {
          // It comes in the thread of whoever made room.
          auto handed = std::make_shared<ecso::gateway::Gate::Lease>(std::move(given));
          asio::post(executor, [grant, event, handed] {
            grant->lease = std::move(*handed);
            event->signal();
          });
        });
    using Answer = ecso::gateway::Gate::Answer;
    if (entry.answer == Answer::granted) *lease = std::move(entry.lease);
    if (entry.answer != Answer::waiting) co_return entry.answer == Answer::granted;
    is_waiting_ = true;
    while (!grant->lease && !is_late_ && !is_gone_) co_await granted_->wait();
    is_waiting_ = false;
    if (!grant->lease) {
      // Too late to be taken back, it is given back as soon as it comes.
      static_cast<void>(gate->cancel(entry.ticket));
      co_return false;
    }
    *lease = std::move(grant->lease);
    co_return true;
  }

 private:
  static constexpr std::size_t read_ahead_bytes = std::size_t{16} * 1024;

  void on_expired() override {
    is_late_ = true;
    if (is_waiting_) {
      granted_->signal();
    } else {
      wire_.close();
    }
  }

  [[nodiscard]] HeadResult refused_head(const error_code& error) const {
    namespace http = boost::beast::http;
    if (error == http::error::header_limit) return {NoRequest::too_large, {431, "the header is too large"}};
    return {NoRequest::bad, {400, "not an HTTP request"}};
  }

  [[nodiscard]] std::optional<HeadFault> gone() {
    if (!is_late_) is_gone_ = true;
    return HeadFault{499, "the client went away"};
  }
  [[nodiscard]] std::optional<HeadFault> cut_body() {
    if (is_late_) return HeadFault{408, "the body took too long"};
    return gone();
  }

  Task<std::optional<HeadFault>> read_chunks(const ecso::gateway::Bounds* bounds, std::shared_ptr<BodyMemory> memory,
                                             Body* body) {
    chunks_.clear();
    chunks_limit_ = bounds->max_body_bytes;
    parser_->eager(true);
    while (!parser_->is_done()) {
      error_code error;
      const std::size_t used = put(*parser_, wire_.arrived().data(), error);
      wire_.arrived().consume(used);
      if (error) co_return HeadFault{400, "the chunks of the body are malformed"};
      if (chunks_.size() > chunks_limit_) co_return HeadFault{413, "the body is larger than this gateway takes"};
      if (chunks_.size() > body->lease.weight() && !body->lease.try_grow(chunks_.size())) {
        co_return HeadFault{503, "no memory for the body is free"};
      }
      if (parser_->is_done()) break;
      if (used > 0 && wire_.arrived().size() > 0) continue;
      auto filled = co_await fill(read_ahead_bytes);
      if (filled) co_return cut_body();
    }
    expire_never();
    body->allocate(std::move(memory), std::max<std::size_t>(chunks_.size(), 1));
    body->size = chunks_.size();
    std::memcpy(body->data(), chunks_.data(), chunks_.size());
    chunks_ = {};
    co_return std::nullopt;
  }

  void take_chunk(std::string_view bytes) {
    if (chunks_.size() <= chunks_limit_) chunks_ += bytes;
  }

  /// Reads what there is, at least a byte.
  Task<error_code> fill(std::size_t most_bytes) {
    if (!is_reading_) {
      const asio::mutable_buffer room = wire_.arrived().prepare(std::max(most_bytes, wire_.arrived().size() + 1));
      auto read = co_await wire_.read_some(room);
      wire_.arrived().commit(std::get<1>(read));
      co_return std::get<0>(read);
    }
    while (is_reading_) co_await readable_.wait();
    co_return std::exchange(read_error_, {});
  }

  void start_reading(std::size_t most_bytes) {
    const asio::mutable_buffer room = wire_.arrived().prepare(most_bytes);
    if (room.size() == 0) return;  // a client that sends that far ahead is watched no more
    is_reading_ = true;
    wire_.read_some(room, [self = shared_from_this(), most_bytes](const error_code& error, std::size_t count) {
      self->is_reading_ = false;
      self->wire_.arrived().commit(count);
      self->read_error_ = error;
      self->readable_.signal();
      if (!self->on_gone_) return;
      if (!error) return self->start_reading(most_bytes);
      self->is_gone_ = true;
      std::exchange(self->on_gone_, nullptr)();
    });
  }

  Task<error_code> write(std::vector<asio::const_buffer> pieces, std::chrono::milliseconds timeout) {
    for (const asio::const_buffer& piece : pieces) sent_bytes_ += piece.size();
    expire_after(timeout);
    auto error = co_await wire_.write(std::move(pieces), [this, timeout] { expire_after(timeout); });
    expire_never();
    co_return error;
  }

  [[nodiscard]] static std::string head_of(const Response& response, std::string_view framing, bool keeps_alive) {
    namespace http = boost::beast::http;
    const std::string_view reason = view_of(http::obsolete_reason(http::int_to_status(static_cast<unsigned>(response.status))));
    return fmt::format("HTTP/1.1 {} {}\r\ncontent-type: {}\r\n{}{}{}\r\n", response.status, reason, response.content_type,
                       response.headers, framing, keeps_alive ? "" : "connection: close\r\n");
  }

  Wire wire_;
  std::string address_;
  std::optional<RequestParser> parser_;
  RequestHead head_;
  std::string chunks_;
  std::size_t chunks_limit_ = 0;
  Event readable_;
  std::shared_ptr<Event> granted_;
  std::function<void()> on_gone_;
  error_code read_error_;
  Clock::time_point began_{};
  std::size_t sent_bytes_ = 0;
  bool is_reading_ = false;
  bool is_waiting_ = false;
  bool is_idle_ = true;
  bool is_late_ = false;
  bool is_gone_ = false;
  bool is_chunking_ = false;
};

}  // namespace ecso::detail::gateway
