#pragma once

#include <ecso/detail/gateway/body_memory.hpp>
#include <ecso/detail/gateway/body_schedule.hpp>
#include <ecso/detail/gateway/gate_wait.hpp>
#include <ecso/detail/gateway/origin.hpp>
#include <ecso/detail/gateway/request_head.hpp>
#include <ecso/detail/gateway/response.hpp>
#include <ecso/detail/gateway/response_reader.hpp>
#include <ecso/detail/gateway/sweeper.hpp>
#include <ecso/detail/gateway/task.hpp>
#include <ecso/detail/gateway/wire.hpp>
#include <ecso/gateway/gate.hpp>
#include <ecso/gateway/options.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ecso::detail::gateway {

/// A client's connection: its bytes as requests, responses as bytes. It knows nothing of what they mean. Of one thread.
class Connection final : public Timed, public std::enable_shared_from_this<Connection> {
 public:
  Connection(Sweeper& sweeper, Socket socket, const asio::ip::address& address)
      : Timed{sweeper},
        wire_{std::move(socket)},
        address_{address.to_string()},
        rate_name_{gateway::rate_name(address)},
        readable_{wire_.socket().get_executor()},
        changed_{std::make_shared<Event>(wire_.socket().get_executor())} {}

  [[nodiscard]] Wire& wire() noexcept { return wire_; }
  [[nodiscard]] const std::string& address() const noexcept { return address_; }
  /// What the client's rate is kept under where it has no key.
  [[nodiscard]] const std::string& rate_name() const noexcept { return rate_name_; }
  [[nodiscard]] const RequestHead& head() const noexcept { return head_; }
  [[nodiscard]] bool is_idle() const noexcept { return is_idle_; }
  [[nodiscard]] bool is_late() const noexcept { return is_late_; }
  /// The client has closed, or broke off.
  [[nodiscard]] bool is_gone() const noexcept { return is_gone_; }
  [[nodiscard]] Clock::time_point began() const noexcept { return began_; }
  [[nodiscard]] std::size_t sent_bytes() const noexcept { return sent_bytes_; }
  void close() noexcept { wire_.close(); }

  // --- A request ---

  /// Why there is no request.
  enum class NoRequest { closed, bad };
  struct HeadResult {
    std::optional<NoRequest> none;
    HeadFault fault = {};
  };

  /// Reads the head of the next request.
  /// @param idle how long it may not have begun.
  Task<HeadResult> read_head(const ecso::gateway::Bounds* bounds, std::chrono::milliseconds idle) {
    begin_request();
    parser_->header_limit(static_cast<std::uint32_t>(bounds->max_header_bytes));
    expire_after(idle);
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
      if (error == boost::beast::http::error::header_limit) co_return too_large();
      if (error) co_return HeadResult{NoRequest::bad, {400, "not an HTTP request"}};
      if (!is_plain) co_return HeadResult{NoRequest::bad, {400, "not a plain HTTP request"}};
      if (parser_->is_header_done()) break;
      if (wire_.arrived().size() >= bounds->max_header_bytes) co_return too_large();
      auto failed = co_await fill(bounds->max_header_bytes + 1024);
      if (!failed) continue;
      if (is_late_ && !is_idle_) co_return HeadResult{NoRequest::bad, {408, "the header took too long"}};
      if (!is_idle_ && !is_late_) is_gone_ = true;
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
    if (head_.content_length > bounds->max_body_bytes) {
      co_return HeadFault{413, "the body is larger than this gateway takes"};
    }
    const auto length = static_cast<std::size_t>(head_.content_length);
    if (length == 0 && !head_.is_chunked) co_return std::nullopt;
    is_late_ = false;
    expire_after(bounds->body_timeout);
    body->room = room;
    auto missing = co_await wait_for_room(room, head_.is_chunked ? chunk_memory : length, &body->lease);
    if (missing) co_return missing;
    const bool is_awaited = head_.expects_continue && wire_.arrived().size() == 0;
    if (is_awaited) {
      static constexpr std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";
      std::vector<asio::const_buffer> pieces{asio::buffer(go_on.data(), go_on.size())};
      auto is_taken = co_await write(std::move(pieces), bounds->write_timeout);
      if (!is_taken) co_return gone();
    }
    schedule_ = BodySchedule{Clock::now(), bounds->body_timeout, body, length};
    expire_at(schedule_->next_look(Clock::now()));
    std::optional<HeadFault> fault;
    if (head_.is_chunked) {
      auto result = co_await read_chunks(bounds->max_body_bytes, memory, body);
      fault = result;
    } else {
      body->allocate(memory, length);
      auto result = co_await read_plain(body, length);
      fault = result;
    }
    schedule_.reset();
    expire_never();
    co_return fault;
  }

  /// From now on notices when the client goes away, while something else is waited for; `on_gone` is called at most once.
  void watch(std::function<void()> on_gone) {
    on_gone_ = std::move(on_gone);
    if (!is_reading_) start_reading();
  }
  void unwatch() noexcept { on_gone_ = nullptr; }

  /// Of a client that has sent so far ahead that nothing more is read of it: whether it has gone. To be called now and then.
  void look() {
    if (!on_gone_ || is_reading_ || !wire_.is_left()) return;
    is_gone_ = true;
    std::exchange(on_gone_, nullptr)();
  }

  /// Has `wait_for` look again.
  void wake() { changed_->signal(); }

  /// Waits for a share of a gate. Without one it came to nothing: the time was over (`is_late`), the client has gone, or there
  /// can never be so much.
  Task<void> wait_for(std::shared_ptr<ecso::gateway::Gate> gate, std::size_t weight, ecso::gateway::Gate::Lease* lease) {
    if (GateWait::take_now(*gate, weight, *lease)) co_return;
    const auto gives_up = [this] { return is_late_ || is_gone_; };
    is_waiting_ = true;
    co_await GateWait::wait(std::move(gate), weight, lease, changed_, wire_.socket().get_executor(), gives_up);
    is_waiting_ = false;
  }

  // --- A response ---

  /// Writes a whole response. False if the client did not take it.
  Task<bool> respond(Response response, bool keeps_alive, const ecso::gateway::Bounds* bounds) {
    const bool has_length = response.status >= 200 && response.status != 204;
    const std::string head = response_head(
        response, has_length ? fmt::format("content-length: {}\r\n", response.body.size()) : "", persistence(keeps_alive));
    std::vector<asio::const_buffer> pieces{asio::buffer(head)};
    if (head_.method != "HEAD" && has_length) pieces.push_back(asio::buffer(response.body));
    auto is_taken = co_await write(std::move(pieces), bounds->write_timeout);
    co_return is_taken;
  }

  /// Begins a response whose end is not known: chunked, or to the end of the connection for HTTP/1.0.
  Task<bool> begin_stream(Response response, bool keeps_alive, const ecso::gateway::Bounds* bounds) {
    const std::string head =
        response_head(response, head_.is_http_10 ? "" : "transfer-encoding: chunked\r\n", persistence(keeps_alive));
    std::vector<asio::const_buffer> pieces{asio::buffer(head)};
    auto is_taken = co_await write(std::move(pieces), bounds->write_timeout);
    co_return is_taken;
  }
  Task<bool> write_stream(std::string text, bool is_last, const ecso::gateway::Bounds* bounds) {
    if (text.empty() && !is_last) co_return true;
    const bool is_chunked = !head_.is_http_10;
    const std::string size = is_chunked && !text.empty() ? fmt::format("{:x}\r\n", text.size()) : std::string{};
    const std::string_view end = !is_chunked ? "" : is_last ? (text.empty() ? "0\r\n\r\n" : "\r\n0\r\n\r\n") : "\r\n";
    std::vector<asio::const_buffer> pieces{asio::buffer(size), asio::buffer(text), asio::buffer(end.data(), end.size())};
    auto is_taken = co_await write(std::move(pieces), bounds->write_timeout);
    co_return is_taken;
  }

  /// Closes so that a client that is still sending can read the response.
  Task<void> close_gently() {
    constexpr std::size_t most_bytes = std::size_t{4} << 20;
    is_late_ = false;
    closes_when_late_ = true;
    expire_after(std::chrono::seconds{2});
    co_await wire_.finish();
    for (std::size_t drained = 0; drained < most_bytes;) {
      wire_.arrived().consume(wire_.arrived().size());
      auto failed = co_await fill(read_ahead_bytes);
      if (failed) break;
      drained += wire_.arrived().size();
    }
    wire_.close();
  }

 private:
  static constexpr std::size_t read_ahead_bytes = std::size_t{16} * 1024;
  static constexpr std::size_t chunk_memory = std::size_t{64} * 1024;
  static constexpr std::size_t large_read = std::size_t{64} * 1024;
  static constexpr std::size_t largest_read = std::size_t{512} * 1024;

  [[nodiscard]] std::string_view persistence(bool keeps_alive) const {
    if (!keeps_alive) return "connection: close\r\n";
    return head_.is_http_10 ? "connection: keep-alive\r\n" : "";
  }

  void begin_request() {
    head_ = {};
    parser_.emplace();
    parser_->body_limit(boost::none);
    parser_->get().body() = [this](std::string_view bytes) { chunk_bytes_.push_back(bytes); };
    is_idle_ = true;
    is_late_ = false;
    closes_when_late_ = false;
    sent_bytes_ = 0;
  }

  void on_expired() override {
    if (schedule_) {
      const auto now = Clock::now();
      if (!schedule_->is_over(now) && !schedule_->is_hopeless(now, wire_.waiting_bytes()))
        return expire_at(schedule_->next_look(now));
    }
    is_late_ = true;
    if (is_waiting_) {
      changed_->signal();
    } else if (closes_when_late_) {
      wire_.close();
    } else {
      wire_.cancel();
    }
  }

  [[nodiscard]] static HeadResult too_large() { return {NoRequest::bad, {431, "the header is too large"}}; }

  [[nodiscard]] std::optional<HeadFault> gone() {
    is_gone_ = true;
    return HeadFault{499, "the client went away"};
  }
  [[nodiscard]] std::optional<HeadFault> cut_body() {
    if (is_late_) return HeadFault{408, "the body took too long"};
    return gone();
  }

  /// Nothing if there is room.
  Task<std::optional<HeadFault>> wait_for_room(std::shared_ptr<ecso::gateway::Gate> room, std::size_t bytes,
                                               ecso::gateway::Gate::Lease* lease) {
    if (GateWait::take_now(*room, bytes, *lease)) co_return std::nullopt;
    watch([this] { wake(); });
    co_await wait_for(std::move(room), bytes, lease);
    unwatch();
    if (*lease) co_return std::nullopt;
    if (is_gone_) co_return gone();
    if (is_late_) co_return HeadFault{503, "no memory for the body became free in time"};
    co_return HeadFault{413, "the body is larger than this gateway has memory for"};
  }

  Task<std::optional<HeadFault>> read_plain(Body* body, std::size_t length) {
    while (body->size < length) {
      const std::size_t at_hand = std::min(wire_.arrived().size(), length - body->size);
      if (at_hand > 0) {
        body->append(wire_.arrived().data().substr(0, at_hand));
        wire_.arrived().consume(at_hand);
        continue;
      }
      if (is_reading_) {
        auto failed = co_await fill(read_ahead_bytes);
        if (failed) co_return cut_body();
        continue;
      }
      const std::size_t missing = length - body->size;
      const bool is_large = missing >= large_read && !wire_.is_tls();
      wire_.wake_at(is_large ? std::min(missing, largest_read) : 1);
      auto read = co_await wire_.read_some(asio::buffer(body->data() + body->size, missing));
      body->size += std::get<1>(read);
      if (!std::get<0>(read)) continue;
      wire_.wake_at(1);
      co_return cut_body();
    }
    wire_.wake_at(1);
    co_return std::nullopt;
  }

  Task<std::optional<HeadFault>> read_chunks(std::size_t most_bytes, std::shared_ptr<BodyMemory> memory, Body* body) {
    body->allocate(memory, chunk_memory);
    parser_->body_limit(most_bytes);
    parser_->eager(true);
    for (;;) {
      error_code error;
      chunk_bytes_.clear();
      const std::size_t used = put(*parser_, wire_.arrived().data(), error);
      if (error == boost::beast::http::error::body_limit) {
        co_return HeadFault{413, "the body is larger than this gateway takes"};
      }
      if (error) co_return HeadFault{400, "the chunks of the body are malformed"};
      for (const std::string_view bytes : chunk_bytes_) {
        if (!body->grow_for(bytes.size())) co_return HeadFault{503, "no memory for the body is free"};
        body->append(bytes);
      }
      wire_.arrived().consume(used);
      if (parser_->is_done()) co_return std::nullopt;
      if (used > 0 && wire_.arrived().size() > 0) continue;
      if (wire_.arrived().size() >= read_ahead_bytes) co_return HeadFault{400, "a line between the chunks has no end"};
      auto failed = co_await fill(read_ahead_bytes);
      if (failed) co_return cut_body();
    }
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

  void start_reading() {
    const asio::mutable_buffer room = wire_.arrived().prepare(read_ahead_bytes);
    if (room.size() == 0) return;  // `look` sees when a client that sends that far ahead goes away
    is_reading_ = true;
    wire_.read_some(room, [self = shared_from_this()](const error_code& error, std::size_t count) {
      self->is_reading_ = false;
      self->wire_.arrived().commit(count);
      self->read_error_ = error;
      self->readable_.signal();
      if (!self->on_gone_) return;
      if (!error) return self->start_reading();
      self->is_gone_ = true;
      std::exchange(self->on_gone_, nullptr)();
    });
  }

  /// False if the client took too little in the time, or has gone.
  Task<bool> write(std::vector<asio::const_buffer> pieces, std::chrono::milliseconds timeout) {
    constexpr std::size_t enough = std::size_t{16} * 1024;
    for (const asio::const_buffer& piece : pieces) sent_bytes_ += piece.size();
    Outgoing out{std::move(pieces)};
    if (wire_.write_now(out)) co_return true;
    closes_when_late_ = true;
    expire_after(timeout);
    std::size_t taken = 0;
    const auto on_progress = [&taken, timeout, this](std::size_t count) {
      taken += count;
      if (taken < enough) return;
      taken = 0;
      expire_after(timeout);
    };
    auto error = co_await wire_.write(&out, on_progress);
    expire_never();
    closes_when_late_ = false;
    co_return !error;
  }

  Wire wire_;
  std::string address_;
  std::string rate_name_;
  std::optional<RequestParser> parser_;
  RequestHead head_;
  std::vector<std::string_view> chunk_bytes_;  ///< What the parser found in what has arrived.
  std::optional<BodySchedule> schedule_;
  Event readable_;
  std::shared_ptr<Event> changed_;
  std::function<void()> on_gone_;
  error_code read_error_;
  Clock::time_point began_{};
  std::size_t sent_bytes_ = 0;
  bool is_reading_ = false;
  bool is_waiting_ = false;
  bool closes_when_late_ = false;
  bool is_idle_ = true;
  bool is_late_ = false;
  bool is_gone_ = false;
};

}  // namespace ecso::detail::gateway
