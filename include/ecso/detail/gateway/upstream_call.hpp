#pragma once

#include <ecso/backend/server_error.hpp>
#include <ecso/detail/gateway/response_reader.hpp>
#include <ecso/detail/gateway/sweeper.hpp>
#include <ecso/detail/gateway/task.hpp>
#include <ecso/detail/gateway/upstream.hpp>
#include <ecso/detail/gateway/wire.hpp>
#include <ecso/detail/spliced.hpp>
#include <ecso/error.hpp>

#include <boost/asio/error.hpp>

#include <fmt/format.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ecso::detail::gateway {

/// A request for an upstream.
struct UpstreamRequest {
  std::string_view method = "POST";
  std::string target;   ///< What follows the base path, with the query.
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
      : Timed{sweeper}, upstream_{std::move(upstream)}, waiter_{std::make_shared<Upstream::Waiter>(upstream_->executor())} {}

  /// Gives up at once: the connection is closed, and `send` throws Error (cancelled).
  void cancel() {
    waiter_->is_cancelled = true;
    interrupt();
  }

  /// Whether the server could not be reached, or had not begun to answer: another one may be asked.
  [[nodiscard]] bool has_response() const noexcept { return has_response_; }

  /// @throws Error (unavailable, tls, timeout, cancelled, bad_reply) and what the sink throws.
  Task<UpstreamResponse> send(std::shared_ptr<UpstreamCall> self, UpstreamRequest request, ResponseSink sink) {
    static_cast<void>(self);
    auto has_place = co_await upstream_->enter(waiter_);
    if (!has_place) throw failure(Errc::cancelled, "the call was cancelled");
    const Upstream::Place place{upstream_};
    const std::string head = head_of(request);
    for (;;) {
      wire_ = upstream_->take_idle();
      const bool is_kept = wire_ != nullptr;
      if (!is_kept) co_await connect();
      auto response = co_await exchange(&request, &head, &sink);
      if (response) co_return std::move(*response);
      if (!is_kept) throw failure(Errc::unavailable, "the server closed the connection without an answer");
    }
  }

 private:
  static constexpr std::size_t max_error_body_bytes = std::size_t{1} << 20;
  static constexpr std::size_t max_response_bytes = std::size_t{64} << 20;
  static constexpr std::uint32_t max_head_bytes = 256 * 1024;

  [[nodiscard]] bool is_cancelled() const noexcept { return waiter_->is_cancelled; }

  void on_expired() override {
    is_late_ = true;
    interrupt();
  }

  void interrupt() {
    waiter_->changed.signal();
    if (wire_) wire_->close();
  }

  [[nodiscard]] Error failure(Errc code, std::string message) const {
    return Error{code, std::move(message), {.endpoint = upstream_->options().url}};
  }

  /// What a broken operation means.
  [[nodiscard]] Error failure(const error_code& error, std::string_view doing) const {
    if (is_cancelled()) return failure(Errc::cancelled, "the call was cancelled");
    if (is_late_) return failure(Errc::timeout, fmt::format("{}: the time is over", doing));
    return failure(Errc::unavailable, fmt::format("{}: {}", doing, error.message()));
  }

  [[nodiscard]] std::string head_of(const UpstreamRequest& request) const {
    const UpstreamUrl& url = upstream_->url();
    return fmt::format("{} {}{} HTTP/1.1\r\nhost: {}\r\n{}{}content-length: {}\r\n\r\n", request.method, url.path, request.target,
                       url.authority, request.headers, request.body.size() == 0 ? "" : "content-type: application/json\r\n",
                       request.body.size());
  }

  Task<void> connect() {
    expire_after(upstream_->options().connect_timeout);
    error_code error;
    auto endpoints = co_await upstream_->resolve(&error);
    if (is_late_ || is_cancelled() || endpoints.empty()) throw failure(error, "cannot find the server");
    for (const tcp::endpoint& endpoint : endpoints) {
      wire_ = std::make_unique<Wire>(Socket{upstream_->executor()});
      auto result = co_await wire_->socket().async_connect(endpoint, awaited);
      error = std::get<0>(result);
      if (!error || is_late_ || is_cancelled()) break;
    }
    if (error || is_late_ || is_cancelled()) throw failure(error, "cannot connect");
    error_code ignored;
    wire_->socket().set_option(tcp::no_delay{true}, ignored);
    if (upstream_->tls()) {
      auto shaken = co_await wire_->connect_tls(upstream_->tls(), upstream_->url().host);
      if (is_late_ || is_cancelled()) throw failure(shaken, "TLS handshake");
      if (shaken) throw failure(Errc::tls, "TLS handshake: " + shaken.message());
    }
  }

  /// Nothing if a kept connection turned out to be closed before a byte of the response came.
  Task<std::optional<UpstreamResponse>> exchange(const UpstreamRequest* request, const std::string* head, ResponseSink* sink) {
    const auto& times = upstream_->options();
    std::vector<asio::const_buffer> pieces{asio::buffer(*head)};
    for (const std::string_view piece : request->body.pieces()) pieces.push_back(asio::buffer(piece));
    expire_after(times.between_bytes_timeout);
    auto sent = co_await wire_->write(std::move(pieces), [this] { expire_after(upstream_->options().between_bytes_timeout); });
    if (is_cancelled() || is_late_) throw failure(sent, "sending the request");
    // A server may answer and close before it has read everything, so a failed write is not the end.
    expire_after(times.first_byte_timeout);

    UpstreamResponse response;
    std::optional<ResponseParser> parser;
    const auto begin = [&] {
      parser.emplace();
      parser->header_limit(max_head_bytes);
      parser->body_limit(max_response_bytes);
      parser->get().body() = [&](std::string_view bytes) {
        if (response.status < 300) return sink->on_body(bytes);
        response.body.append(bytes.substr(0, max_error_body_bytes - std::min(max_error_body_bytes, response.body.size())));
      };
    };
    begin();
    ReadBuffer& buffer = wire_->arrived();
    while (!parser->is_done()) {
      const asio::mutable_buffer room = buffer.prepare(max_head_bytes);
      auto read = co_await wire_->read_some(room);
      const error_code error = std::get<0>(read);
      const std::size_t count = std::get<1>(read);
      if (is_cancelled() || is_late_) throw failure(error, has_response_ ? "receiving the answer" : "waiting for the answer");
      if (error) {
        if (!has_response_) co_return std::nullopt;
        error_code cut;
        if (parser->got_some()) parser->put_eof(cut);  // nothing of the response yet, after an interim one
        if (cut || !parser->is_done()) throw failure(Errc::bad_reply, "the answer was cut: " + error.message());
        break;
      }
      has_response_ = true;
      expire_after(times.between_bytes_timeout);
      buffer.commit(count);
      take(*parser, buffer, response, *sink);
      if (parser->is_header_done() && response.status < 200) {
        begin();  // an interim response
        take(*parser, buffer, response, *sink);
      }
    }
    expire_never();
    if (parser->keep_alive() && buffer.size() == 0 && !sent) {
      upstream_->keep(std::move(wire_));
    } else {
      wire_.reset();
    }
    co_return std::optional<UpstreamResponse>{std::move(response)};
  }

  void take(ResponseParser& parser, ReadBuffer& buffer, UpstreamResponse& response, ResponseSink& sink) {
    namespace http = boost::beast::http;
    error_code error;
    const bool had_head = parser.is_header_done();
    buffer.consume(put(parser, buffer.data(), error));
    if (!error && !had_head && parser.is_header_done()) {
      const auto& head = parser.get();
      response.status = static_cast<int>(head.result_int());
      if (response.status < 200) return;
      const std::string_view encoding{head[http::field::content_encoding].data(), head[http::field::content_encoding].size()};
      if (!encoding.empty() && encoding != "identity") {
        throw failure(Errc::bad_reply, "the answer is compressed, which was not asked for");
      }
      const auto type = head[http::field::content_type];
      response.content_type.assign(type.data(), type.size());
      response.retry_after = seconds_of(head[http::field::retry_after]);
      if (response.status < 300 && sink.on_head) sink.on_head();
      parser.eager(true);
      buffer.consume(put(parser, buffer.data(), error));
    }
    if (error) throw failure(Errc::bad_reply, "not an HTTP response: " + error.message());
  }

  template <typename Text>
  [[nodiscard]] static std::optional<std::chrono::milliseconds> seconds_of(const Text& text) {
    if (text.empty() || text.size() > 6) return std::nullopt;
    long seconds = 0;
    for (const char c : text) {
      if (c < '0' || c > '9') return std::nullopt;
      seconds = seconds * 10 + (c - '0');
    }
    return std::chrono::seconds{seconds};
  }

  std::shared_ptr<Upstream> upstream_;
  std::shared_ptr<Upstream::Waiter> waiter_;
  std::unique_ptr<Wire> wire_;
  bool is_late_ = false;
  bool has_response_ = false;
};

}  // namespace ecso::detail::gateway
