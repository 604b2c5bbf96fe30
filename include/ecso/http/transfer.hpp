#pragma once

#include <ecso/core/backend.hpp>
#include <ecso/error.hpp>
#include <ecso/http/curl.hpp>
#include <ecso/http/options.hpp>

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <exception>
#include <limits>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>

namespace ecso::detail {

/// What goes out. Points to what its maker holds.
struct HttpSend {
  bool is_post = true;
  std::string_view body = {};
  curl_slist* headers = nullptr;
  const OnBody* on_body = nullptr;  ///< May be null.
};

/// One call over libcurl. Pinned: libcurl holds its address.
class Transfer {
 public:
  Transfer(const HttpOptions& options, const std::string& url, const CallContext& context)
      : options_{options}, url_{url}, context_{context} {}
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  /// Leaves `session` fit for another call, or throws.
  void run(CurlSession& session, const HttpSend& send) {
    easy_ = session.easy();
    on_body_ = send.on_body != nullptr && *send.on_body ? send.on_body : nullptr;
    session.reset();
    begin();
    set_options(send);
    const CURLcode result = wait(session);
    if (thrown_) std::rethrow_exception(thrown_);
    if (result != CURLE_OK) fail(result);
    read_head();
    session.reset();  // the header lines, with the key, do not outlive the call
  }

  [[nodiscard]] HttpResponse response() && { return std::move(response_); }

 private:
  using Clock = std::chrono::steady_clock;
  using milliseconds = std::chrono::milliseconds;

  /// libcurl adds its times up, as ints.
  static constexpr milliseconds longest_time{std::numeric_limits<int>::max() / 2};

  void set_options(const HttpSend& send) {
    option(CURLOPT_URL, url_.c_str());
    if (send.is_post) {
      option(CURLOPT_POST, 1L);
      option(CURLOPT_POSTFIELDS, send.body.data() == nullptr ? "" : send.body.data());
      option(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(send.body.size()));
    }
    option(CURLOPT_HTTPHEADER, send.headers);
    option(CURLOPT_USERAGENT, options_.user_agent.c_str());
    option(CURLOPT_ACCEPT_ENCODING, "gzip, deflate");
    // A libcurl built without HTTP/2 refuses this.
    static_cast<void>(curl_easy_setopt(easy_, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS)));
    option(CURLOPT_FOLLOWLOCATION, 0L);
    option(CURLOPT_NOSIGNAL, 1L);
    option(CURLOPT_TCP_KEEPALIVE, 1L);
    option(CURLOPT_ERRORBUFFER, error_text_);
    option(CURLOPT_WRITEFUNCTION, &Transfer::write);
    option(CURLOPT_WRITEDATA, this);
    option(CURLOPT_HEADERFUNCTION, &Transfer::head);
    option(CURLOPT_HEADERDATA, this);
    option(CURLOPT_MAXFILESIZE_LARGE, largest_size());
    // Kept by patience() as well: libcurl shares it out among the addresses of a host.
    option(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(connect_limit().count()));
    option(CURLOPT_SSL_VERIFYPEER, options_.verify == TlsVerify::full ? 1L : 0L);
    option(CURLOPT_SSL_VERIFYHOST, options_.verify == TlsVerify::full ? 2L : 0L);
    if (!options_.ca_file.empty()) {
      option(CURLOPT_CAINFO, options_.ca_file.c_str());
      // Else the system's directory of certificates would be trusted as well. Not every TLS library has one.
      static_cast<void>(curl_easy_setopt(easy_, CURLOPT_CAPATH, nullptr));
    }
    option_unless_empty(CURLOPT_SSLCERT, options_.client_certificate_file);
    option_unless_empty(CURLOPT_SSLKEY, options_.client_key_file);
    option_unless_empty(CURLOPT_UNIX_SOCKET_PATH, options_.unix_socket);
    if (options_.proxy) option(CURLOPT_PROXY, options_.proxy->c_str());
#if LIBCURL_VERSION_NUM >= 0x075700
    option(CURLOPT_QUICK_EXIT, 1L);  // a cancelled call does not wait for its name to be resolved
#endif
  }

  template <typename Value>
  void option(CURLoption name, Value value) {
    set(easy_, name, value);
  }

  void option_unless_empty(CURLoption name, const std::string& value) {
    if (!value.empty()) option(name, value.c_str());
  }

  [[nodiscard]] CURLcode wait(const CurlSession& session) {
    CURLM* multi = session.multi();
    const std::stop_callback wake_up{context_.stop, [multi] { curl_multi_wakeup(multi); }};
    const CurlAttached attached{multi, easy_};
    int ready = 0;
    for (;;) {
      int running = 0;
      check(curl_multi_perform(multi, &running));
      int left = 0;
      if (const CURLMsg* message = curl_multi_info_read(multi, &left)) return message->data.result;
      if (context_.stop.stop_requested()) throw error(Errc::cancelled, "cancelled");
      check(curl_multi_poll(multi, nullptr, 0, static_cast<int>(patience(ready > 0).count()), &ready));
    }
  }

  /// How long to wait for something to happen. Every limit is kept here: how well libcurl keeps one depends on its version.
  /// @param was_ready Whether the connection could be read or written before libcurl was called.
  /// @throws Error (timeout) if one of the limits is over.
  [[nodiscard]] milliseconds patience(bool was_ready) {
    const auto now = Clock::now();
    milliseconds left = longest_time;
    const auto is_over = [&](Clock::time_point start, milliseconds limit) {
      left = std::min(left, std::chrono::ceil<milliseconds>(start + limit - now));
      return left.count() <= 0;
    };
    const bool has_begun = status() >= 200;  // not by a 100 or 103, which say nothing yet
    note_progress(now, was_ready, has_begun);
    if (!is_connected()) {
      if (is_over(start_, connect_limit())) throw error(Errc::timeout, describe_no_connection());
    } else if (const milliseconds limit = clamped(has_begun ? options_.between_bytes_timeout : options_.first_byte_timeout);
               limit.count() > 0 && is_over(last_byte_, limit)) {
      throw error(Errc::timeout, has_begun
                                     ? fmt::format("the response stopped: no byte for {} ms, after {}", limit.count(), received())
                                     : fmt::format("no byte of a response within {} ms", limit.count()));
    }
    if (limit_.count() > 0 && is_over(start_, limit_)) throw error(Errc::timeout, describe_limit());
    return left;
  }

  void note_progress(Clock::time_point now, bool was_ready, bool has_begun) {
    const curl_off_t sent = figure(CURLINFO_SIZE_UPLOAD_T);
    const curl_off_t got = figure(CURLINFO_SIZE_DOWNLOAD_T) + (has_begun ? head_bytes_ : 0);
    // libcurl 8.14 gives a full connection a little more whenever it is called: the kernel takes it, though nobody reads.
    const bool has_moved = got != got_ || (sent != sent_ && was_ready);
    if (!is_connected() || has_moved) last_byte_ = now;
    sent_ = sent;
    got_ = got;
  }

  /// The call's time starts. @throws Error (cancelled, timeout) if there is none.
  void begin() {
    if (context_.stop.stop_requested()) throw error(Errc::cancelled, "cancelled before the call started");
    start_ = last_byte_ = Clock::now();
    limit_ = clamped(options_.call_timeout);
    if (!context_.deadline) return;
    const auto rest = std::chrono::ceil<milliseconds>(*context_.deadline - start_);
    if (rest.count() <= 0) throw error(Errc::timeout, "the deadline passed before the call started");
    is_deadline_ = limit_.count() == 0 || rest < limit_;
    if (is_deadline_) limit_ = clamped(rest);
  }

  [[nodiscard]] milliseconds connect_limit() const {
    constexpr milliseconds of_libcurl{300'000};
    const milliseconds limit = clamped(options_.connect_timeout);
    return limit.count() > 0 ? limit : of_libcurl;
  }

  [[nodiscard]] static milliseconds clamped(milliseconds time) { return std::clamp(time, milliseconds{0}, longest_time); }

  static std::size_t head(char* line, std::size_t size, std::size_t count, void* self) noexcept {
    auto& transfer = *static_cast<Transfer*>(self);
    try {
      transfer.take_head({line, size * count});
    } catch (...) {
      transfer.thrown_ = std::current_exception();
      return 0;
    }
    return size * count;
  }

  /// A line of it, or of the head of an interim response.
  void take_head(std::string_view line) {
    constexpr curl_off_t most_bytes = 256 * 1024;
    constexpr std::string_view name = "server:";
    head_bytes_ += static_cast<curl_off_t>(line.size());
    if (head_bytes_ > most_bytes) {
      throw error(Errc::bad_reply, fmt::format("the response's head is larger than {} bytes", most_bytes));
    }
    if (line.starts_with("HTTP/")) response_.server.clear();
    const auto is_same = [](char lower, char c) { return (c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c) == lower; };
    if (line.size() < name.size() || !std::equal(name.begin(), name.end(), line.begin(), is_same)) return;
    line.remove_prefix(name.size());
    const auto first = line.find_first_not_of(" \t\r\n");
    const auto last = line.find_last_not_of(" \t\r\n");
    response_.server = first == line.npos ? "" : line.substr(first, last - first + 1);
  }

  static std::size_t write(char* data, std::size_t size, std::size_t count, void* self) noexcept {
    auto& transfer = *static_cast<Transfer*>(self);
    const std::size_t bytes = size * count;
    if (bytes > transfer.options_.max_response_bytes - transfer.body_bytes_) {
      transfer.is_too_large_ = true;
      return 0;
    }
    transfer.body_bytes_ += bytes;
    try {
      transfer.take({data, bytes});
    } catch (...) {
      transfer.thrown_ = std::current_exception();
      return 0;
    }
    return bytes;
  }

  void take(std::string_view bytes) {
    // libcurl may have much more at hand before it comes back to wait().
    if (context_.stop.stop_requested()) throw error(Errc::cancelled, "cancelled");
    const int code = status();
    if (on_body_ != nullptr && code >= 200 && code < 300) return (*on_body_)(bytes);
    std::string& body = response_.body;
    if (body.empty()) body.reserve(announced_size());
    body.append(bytes);
  }

  [[nodiscard]] curl_off_t largest_size() const {
    constexpr auto most = static_cast<std::size_t>(std::numeric_limits<curl_off_t>::max());
    return static_cast<curl_off_t>(std::min(options_.max_response_bytes, most));
  }

  /// The Content-Length, if the server gave one that can be believed before its bytes have come; else 0.
  [[nodiscard]] std::size_t announced_size() const {
    constexpr curl_off_t most = 16 * 1024 * 1024;
    return static_cast<std::size_t>(
        std::clamp<curl_off_t>(figure(CURLINFO_CONTENT_LENGTH_DOWNLOAD_T), 0, std::min(most, largest_size())));
  }

  void read_head() {
    response_.status = status();
    const auto text = [&](CURLINFO which) -> std::string {
      const char* value = nullptr;
      curl_easy_getinfo(easy_, which, &value);
      return value == nullptr ? "" : value;
    };
    response_.content_type = text(CURLINFO_CONTENT_TYPE);
    response_.location = text(CURLINFO_REDIRECT_URL);
    const curl_off_t seconds = figure(CURLINFO_RETRY_AFTER);
    constexpr curl_off_t a_year = curl_off_t{365} * 24 * 3600;
    if (seconds > 0) response_.retry_after = std::chrono::seconds{std::min(seconds, a_year)};
  }

  [[nodiscard]] curl_off_t figure(CURLINFO which) const {
    curl_off_t value = 0;
    curl_easy_getinfo(easy_, which, &value);
    return value;
  }

  [[nodiscard]] bool is_connected() const { return figure(CURLINFO_PRETRANSFER_TIME_T) > 0; }

  [[nodiscard]] int status() const {
    long value = 0;
    curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &value);
    return static_cast<int>(value);
  }

  [[nodiscard]] Error error(Errc code, std::string message, int http_status = 0) const {
    return Error{code, std::move(message), {.endpoint = url_, .http_status = http_status}};
  }

  [[noreturn]] void fail(CURLcode result) const {
    if (is_too_large_ || result == CURLE_FILESIZE_EXCEEDED) {
      throw error(Errc::bad_reply, fmt::format("the response is larger than {} bytes", options_.max_response_bytes), status());
    }
    if (result == CURLE_OPERATION_TIMEDOUT) throw error(Errc::timeout, describe_no_connection());  // its only limit
    const std::string_view reason = error_text_[0] != '\0' ? error_text_ : curl_easy_strerror(result);
    // libcurl's message repeats the URL, with the password in it.
    if (reason.starts_with("Unsupported proxy")) throw error(Errc::bad_input, "the proxy's URL is not one that can be used");
    // Our own reasons not to take bytes have been given above.
    if (result == CURLE_WRITE_ERROR) throw error(Errc::bad_reply, "the response cannot be unpacked", status());
    if (result == CURLE_OUT_OF_MEMORY && is_connected()) {
      throw error(Errc::bad_reply, "a line of the response's head is too long, or there is no memory for it", status());
    }
    // libcurl words this anew from version to version.
    std::string message = result == CURLE_PARTIAL_FILE ? "the response was cut short, after " + received() : std::string{reason};
    if (result == CURLE_COULDNT_CONNECT && !options_.unix_socket.empty())
      message += " (Unix socket " + options_.unix_socket + ")";
    throw error(errc(result, reason), std::move(message), status());
  }

  /// Some things libcurl says only in words.
  [[nodiscard]] static Errc errc(CURLcode result, std::string_view reason) {
    if (reason.starts_with("Unix socket path too long")) return Errc::bad_input;
    // In TLS 1.3 the server refuses a client's certificate after the handshake.
    if (result == CURLE_RECV_ERROR && reason.find(" alert ") != reason.npos) return Errc::tls;
    return curl_errc(result);
  }

  [[nodiscard]] std::string describe_no_connection() const {
    return fmt::format("no connection within {} ms", connect_limit().count());
  }

  [[nodiscard]] std::string describe_limit() const {
    return fmt::format("no complete response within {} ms ({}), {}", limit_.count(),
                       is_deadline_ ? "the time left until the deadline" : "the limit for a call",
                       is_connected() ? received() : "not even a connection");
  }

  [[nodiscard]] std::string received() const { return fmt::format("{} bytes of it", body_bytes_); }

  const HttpOptions& options_;
  const std::string& url_;
  const CallContext& context_;
  const OnBody* on_body_ = nullptr;
  HttpResponse response_;
  CURL* easy_ = nullptr;
  std::exception_ptr thrown_;
  std::size_t body_bytes_ = 0;
  curl_off_t head_bytes_ = 0;
  curl_off_t sent_ = 0;
  curl_off_t got_ = 0;
  Clock::time_point start_{};
  Clock::time_point last_byte_{};
  milliseconds limit_{0};
  bool is_deadline_ = false;
  bool is_too_large_ = false;
  char error_text_[CURL_ERROR_SIZE] = "";
};

}  // namespace ecso::detail
