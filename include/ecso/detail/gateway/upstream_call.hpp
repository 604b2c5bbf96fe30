#pragma once

#include <ecso/backend/server_error.hpp>
#include <ecso/detail/gateway/gate_wait.hpp>
#include <ecso/detail/gateway/response_reader.hpp>
#include <ecso/detail/gateway/sweeper.hpp>
#include <ecso/detail/gateway/task.hpp>
#include <ecso/detail/gateway/upstream.hpp>
#include <ecso/detail/gateway/wire.hpp>
#include <ecso/detail/spliced.hpp>
#include <ecso/error.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ecso::detail::gateway {

/// Where a target is below.
enum class TargetBase {
  path,  ///< The upstream's base path.
  root,  ///< The same without "/v1".
};

/// A request for an upstream.
struct UpstreamRequest {
  std::string_view method = "POST";
  TargetBase base = TargetBase::path;
  std::string target;   ///< What follows the base, with the query.
  std::string headers;  ///< Lines beside host, content-type and content-length, each with its CRLF.
  Spliced body = {};
};

/// What an upstream answered.
struct UpstreamResponse {
  int status = 0;
  std::string content_type = {};
  std::optional<std::chrono::milliseconds> retry_after = std::nullopt;
  std::string body = {};  ///< Of a status that is no success; a success goes to `on_body`.
};

/// What sees a successful response come.
struct ResponseSink {
  std::function<void()> on_head = {};
  std::function<void(std::string_view)> on_body = {};  ///< What it throws ends the call and comes out of it.
};

/// One call of an upstream: a connection from the pool or a new one, the request, the response. A kept connection that turns out
/// to be closed is replaced. Of one thread.
class UpstreamCall final : public Timed, public std::enable_shared_from_this<UpstreamCall> {
 public:
  UpstreamCall(Sweeper& sweeper, std::shared_ptr<Upstream> upstream)
      : Timed{sweeper}, upstream_{std::move(upstream)}, changed_{std::make_shared<Event>(upstream_->executor())} {}

  /// Gives up at once: the connection is closed, and `send` throws Error (cancelled).
  void cancel() {
    is_cancelled_ = true;
    interrupt();
  }

  /// Whether the server has begun to answer.
  [[nodiscard]] bool has_response() const noexcept { return has_response_; }
  /// Whether the server may have the whole request.
  [[nodiscard]] bool is_sent() const noexcept { return is_sent_; }

  /// Waits for its turn among the calls that have the model work. `*turn` may hold that of the call before it, which is given
  /// back once this one stands in the queue; it is empty afterwards if this one was cancelled.
  Task<void> take_turn(std::shared_ptr<UpstreamCall> self, ecso::gateway::Caller caller, ecso::gateway::CallQueue::Lease* turn) {
    static_cast<void>(self);
    if (is_over()) {
      *turn = {};
      co_return;
    }
    const auto& calls = upstream_->calls();
    if (GateWait::take_now(*calls, caller, *turn)) co_return;
    const auto gives_up = [this] { return is_over(); };
    co_await GateWait::wait(calls, caller, turn, changed_, upstream_->executor(), gives_up);
    if (is_over()) *turn = {};
  }

  /// What cancels it, where it has not begun.
  [[nodiscard]] Error cancelled() const { return failure(Errc::cancelled, "the call was cancelled"); }

  /// @throws Error (unavailable, tls, timeout, cancelled, bad_reply) and what the sink throws.
  Task<UpstreamResponse> send(std::shared_ptr<UpstreamCall> self, UpstreamRequest request, ResponseSink sink) {
    static_cast<void>(self);
    const auto gives_up = [this] { return is_over(); };
    ecso::gateway::Gate::Lease place;
    if (!GateWait::take_now(*upstream_->places(), std::size_t{1}, place)) {
      co_await GateWait::wait(upstream_->places(), std::size_t{1}, &place, changed_, upstream_->executor(), gives_up);
    }
    if (!place || is_over()) throw failure(error_code{}, "waiting for a connection");
    const Busy busy{*upstream_};
    request_ = std::move(request);
    head_ = head_of(request_);
    for (;;) {
      wire_ = upstream_->take_idle();
      const bool is_kept = wire_ != nullptr;
      if (!is_kept) co_await connect();
      auto response = co_await exchange(&sink);
      if (response) co_return std::move(*response);
      if (!is_kept) throw failure(Errc::unavailable, "the server closed the connection without an answer");
    }
  }

 private:
  static constexpr std::size_t max_error_body_bytes = std::size_t{1} << 20;
  static constexpr std::size_t max_response_bytes = std::size_t{64} << 20;
  static constexpr std::uint32_t max_head_bytes = 256 * 1024;

  /// A call that has a place.
  struct Busy {
    Upstream& upstream;

    explicit Busy(Upstream& at) : upstream{at} { upstream.count_call(1); }
    Busy(const Busy&) = delete;
    Busy& operator=(const Busy&) = delete;
    ~Busy() { upstream.count_call(-1); }
  };

  [[nodiscard]] bool is_over() const noexcept { return is_cancelled_ || is_late_; }

  void on_expired() override {
    is_late_ = true;
    interrupt();
  }

  void interrupt() {
    changed_->signal();
    if (wire_) wire_->close();
  }

  [[nodiscard]] Error failure(Errc code, std::string message) const {
    return Error{code, std::move(message), {.endpoint = upstream_->options().url}};
  }

  /// What a broken operation means.
  [[nodiscard]] Error failure(const error_code& error, std::string_view doing) const {
    if (is_cancelled_) return failure(Errc::cancelled, "the call was cancelled");
    if (is_late_) return failure(Errc::timeout, fmt::format("{}: the time is over", doing));
    return failure(Errc::unavailable, fmt::format("{}: {}", doing, error.message()));
  }

  [[nodiscard]] std::string head_of(const UpstreamRequest& request) const {
    const UpstreamUrl& url = upstream_->url();
    return fmt::format("{} {}{} HTTP/1.1\r\nhost: {}\r\naccept-encoding: identity\r\n{}{}content-length: {}\r\n\r\n",
                       request.method, request.base == TargetBase::path ? std::string_view{url.path} : url.root(), request.target,
                       url.authority, request.headers, request.body.size() == 0 ? "" : "content-type: application/json\r\n",
                       request.body.size());
  }

  // --- A connection ---

  /// Tries the addresses one after the other; each has its share of the time.
  Task<void> connect() {
    const auto until = Clock::now() + upstream_->options().connect_timeout;
    const bool has_limit = upstream_->options().connect_timeout.count() > 0;
    if (has_limit) expire_at(until);
    const auto gives_up = [this] { return is_over(); };
    error_code error;
    auto endpoints = co_await upstream_->resolve(changed_, gives_up, &error);
    if (is_over() || endpoints.empty()) throw failure(error, "cannot find the server");
    for (std::size_t i = 0; i < endpoints.size(); ++i) {
      const auto now = Clock::now();
      if (has_limit) expire_at(now + (until - now) / static_cast<int>(endpoints.size() - i));
      wire_ = std::make_unique<Wire>(Socket{upstream_->executor()});
      auto result = co_await wire_->socket().async_connect(endpoints[i], awaited);
      error = std::get<0>(result);
      if (is_cancelled_ || (!error && !is_late_)) break;
      if (is_late_ && i + 1 < endpoints.size()) is_late_ = false;
    }
    if (error || is_over()) {
      upstream_->doubt_addresses();
      throw failure(error, "cannot connect");
    }
    if (has_limit) expire_at(until);
    error_code ignored;
    wire_->socket().set_option(tcp::no_delay{true}, ignored);
    if (upstream_->tls()) {
      auto shaken = co_await wire_->connect_tls(upstream_->tls(), upstream_->url().host);
      if (is_over()) throw failure(shaken, "TLS handshake");
      if (shaken) throw failure(Errc::tls, "TLS handshake: " + shaken.message());
    }
  }

  // --- The request ---

  /// A request on its way. A server may answer before it has read everything, so this goes on beside the reading.
  struct Sending {
    Outgoing out{};
    error_code error = {};
    bool is_done = false;
  };

  void begin_sending() {
    std::vector<asio::const_buffer> pieces{asio::buffer(head_)};
    for (const std::string_view piece : request_.body.pieces()) pieces.push_back(asio::buffer(piece));
    sending_ = {.out = Outgoing{std::move(pieces)}};
    expire_after(upstream_->options().between_bytes_timeout);
    is_sent_ = false;
    if (wire_->write_now(sending_.out)) {
      end_sending();
    } else {
      asio::co_spawn(upstream_->executor(), go_on_sending(shared_from_this()), asio::detached);
    }
  }

  static Task<void> go_on_sending(std::shared_ptr<UpstreamCall> self) {
    const auto on_progress = [call = self.get()](std::size_t) {
      if (!call->has_response_) call->expire_after(call->upstream_->options().between_bytes_timeout);
    };
    Wire* const wire = self->wire_.get();
    self->sending_.error = asio::error::no_memory;  // unless it ends without an exception
    try {
      auto error = co_await wire->write(&self->sending_.out, on_progress);
      self->sending_.error = error;
    } catch (const std::exception&) {
      wire->close();
    }
    self->end_sending();
    self->changed_->signal();
  }

  void end_sending() {
    sending_.is_done = true;
    is_sent_ = !sending_.error;
    if (!has_response_ && !is_over()) expire_after(upstream_->options().first_byte_timeout);
  }

  // --- The response ---

  /// Nothing if a kept connection turned out to be closed before a byte of the response came.
  Task<std::optional<UpstreamResponse>> exchange(ResponseSink* sink) {
    begin_sending();
    UpstreamResponse response;
    std::optional<ResponseParser> parser;
    bool is_cut = false;
    std::optional<Error> broken;
    try {
      begin_response(parser, response, *sink);
      while (!is_whole(parser, response)) {
        const asio::mutable_buffer room = wire_->arrived().prepare(max_head_bytes);
        if (room.size() == 0) throw failure(Errc::bad_reply, "not an HTTP response: a line without an end");
        auto read = co_await wire_->read_some(room);
        const error_code error = std::get<0>(read);
        if (is_over()) throw failure(error, has_response_ ? "receiving the answer" : "waiting for the answer");
        if (error) {
          is_cut = true;
          if (has_response_) end_at_close(*parser, error);
          break;
        }
        has_response_ = true;
        expire_after(upstream_->options().between_bytes_timeout);
        wire_->arrived().commit(std::get<1>(read));
        take(parser, response, *sink);
      }
    } catch (const Error& error) {
      broken = error;
    } catch (const std::exception& error) {
      broken = Error{Errc::internal, error.what()};
    }
    // Whoever is still writing uses the wire and the request.
    const bool is_kept =
        !broken && !is_cut && sending_.is_done && !sending_.error && parser->keep_alive() && wire_->arrived().size() == 0;
    if (!is_kept) wire_->close();
    while (!sending_.is_done) co_await changed_->wait();
    expire_never();
    if (is_kept) upstream_->keep(std::move(wire_));
    wire_.reset();
    if (broken) throw *broken;
    if (is_cut && !has_response_) co_return std::nullopt;
    co_return std::optional<UpstreamResponse>{std::move(response)};
  }

  void begin_response(std::optional<ResponseParser>& parser, UpstreamResponse& response, ResponseSink& sink) {
    response = {};
    parser.emplace();
    parser->header_limit(max_head_bytes);
    parser->body_limit(max_response_bytes);
    parser->get().body() = [&response, &sink](std::string_view bytes) {
      if (response.status < 300) return sink.on_body(bytes);
      response.body.append(bytes.substr(0, max_error_body_bytes - std::min(max_error_body_bytes, response.body.size())));
    };
  }

  [[nodiscard]] static bool is_whole(const std::optional<ResponseParser>& parser, const UpstreamResponse& response) {
    return response.status >= 200 && parser->is_done();
  }

  /// Takes what has arrived. After an interim response (RFC 9110, section 15.2) the real one begins.
  void take(std::optional<ResponseParser>& parser, UpstreamResponse& response, ResponseSink& sink) {
    take_some(*parser, response, sink);
    while (parser->is_header_done() && response.status < 200) {
      begin_response(parser, response, sink);
      take_some(*parser, response, sink);
    }
  }

  void take_some(ResponseParser& parser, UpstreamResponse& response, ResponseSink& sink) {
    ReadBuffer& buffer = wire_->arrived();
    error_code error;
    const bool had_head = parser.is_header_done();
    buffer.consume(put(parser, buffer.data(), error));
    if (!error && !had_head && parser.is_header_done()) {
      read_head(parser, response);
      if (response.status < 200) return;
      if (response.status < 300 && sink.on_head) sink.on_head();
      parser.eager(true);
      buffer.consume(put(parser, buffer.data(), error));
    }
    if (error) throw failure(Errc::bad_reply, "not an HTTP response: " + error.message());
  }

  void read_head(const ResponseParser& parser, UpstreamResponse& response) const {
    namespace http = boost::beast::http;
    const auto& head = parser.get();
    response.status = static_cast<int>(head.result_int());
    const auto value = [&](http::field name) {
      const auto text = head[name];
      return std::string_view{text.data(), text.size()};
    };
    if (response.status == 101) throw failure(Errc::bad_reply, "the server changes to another protocol");
    const std::string_view encoding = value(http::field::content_encoding);
    if (!encoding.empty() && encoding != "identity") {
      throw failure(Errc::bad_reply, "the answer is compressed, which was not asked for");
    }
    response.content_type = value(http::field::content_type);
    response.retry_after = seconds_of(value(http::field::retry_after));
  }

  /// The connection has ended: the response too, if that is how it says its end, and if it was no accident.
  void end_at_close(ResponseParser& parser, const error_code& error) const {
    error_code cut;
    if (error == asio::error::eof && parser.got_some()) parser.put_eof(cut);  // nothing of the response yet, after an interim one
    if (cut || !parser.is_done()) throw failure(Errc::bad_reply, "the answer was cut: " + error.message());
  }

  [[nodiscard]] static std::optional<std::chrono::milliseconds> seconds_of(std::string_view text) {
    if (text.empty() || text.size() > 6) return std::nullopt;
    long seconds = 0;
    for (const char c : text) {
      if (c < '0' || c > '9') return std::nullopt;
      seconds = seconds * 10 + (c - '0');
    }
    return std::chrono::seconds{seconds};
  }

  std::shared_ptr<Upstream> upstream_;
  std::shared_ptr<Event> changed_;
  UpstreamRequest request_;
  std::string head_;
  Sending sending_;
  std::unique_ptr<Wire> wire_;
  bool is_cancelled_ = false;
  bool is_late_ = false;
  bool has_response_ = false;
  bool is_sent_ = false;
};

}  // namespace ecso::detail::gateway
