#pragma once

#include <ecso/detail/gateway/response_reader.hpp>

#include <boost/beast/http/field.hpp>
#include <boost/beast/http/fields.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>

namespace ecso::detail::gateway {

/// What the gateway wants to know of a request's head. A copy: it outlives the parser.
struct RequestHead {
  std::string method;
  std::string path;   ///< Without the query.
  std::string query;  ///< With its question mark; empty if there is none.
  bool is_http_10 = false;
  bool keeps_alive = false;
  bool is_chunked = false;
  bool expects_continue = false;
  std::uint64_t content_length = 0;
  std::size_t bytes = 0;
  std::string authorization;
  std::string api_key;
  std::string host;
  std::string origin;
  bool is_forwarded = false;  ///< A proxy has passed it on.
  std::string policy;         ///< `x-ecso-policy`.
  std::string stream_mode;    ///< `x-ecso-stream`.
  std::string forwarded;      ///< Lines for the upstream.
  std::string account;        ///< Those that go with the client's own key.
};

/// Reads a head beside the parser, which forgives what two servers might read differently: lines that go on in the next one,
/// blanks around a name, line ends of one character, and bytes in the first line that are no printable ASCII. RFC 9112, sections
/// 2.2, 3 and 5.
class HeadScan {
 public:
  /// False if something of that kind stands there. Takes a head piece by piece.
  [[nodiscard]] bool take(std::string_view bytes) noexcept {
    for (const char c : bytes) {
      if (!take(c)) return false;
    }
    return true;
  }

 private:
  enum class Place { before, first_line, line_start, name, value };

  bool take(char c) noexcept {
    const bool was_return = is_after_return_;
    is_after_return_ = c == '\r';
    if (was_return != (c == '\n')) return false;
    if (c == '\n') {
      // An empty line before the first one is skipped; the one at the end is the last byte that there is.
      if (place_ != Place::before) place_ = Place::line_start;
      return true;
    }
    if (c == '\r') return place_ != Place::name;
    const bool is_blank = c == ' ' || c == '\t';
    if (place_ == Place::before) place_ = Place::first_line;
    if (place_ == Place::first_line) return c >= ' ' && c <= '~';
    if (place_ == Place::line_start) place_ = Place::name;
    if (place_ == Place::name && c == ':') place_ = Place::value;
    return place_ != Place::name || !is_blank;
  }

  Place place_ = Place::before;
  bool is_after_return_ = false;
};

/// Why a head cannot be served: a status and what to say. RFC 9112; whatever two servers might read differently is refused.
struct HeadFault {
  int status = 400;
  std::string_view message;
};

[[nodiscard]] inline std::string_view view_of(boost::beast::string_view text) noexcept { return {text.data(), text.size()}; }

[[nodiscard]] inline bool is_equal_ignoring_case(std::string_view a, std::string_view b) noexcept {
  return boost::beast::iequals(boost::beast::string_view{a.data(), a.size()}, boost::beast::string_view{b.data(), b.size()});
}

/// Takes a head out of a parser that has one.
[[nodiscard]] inline std::optional<HeadFault> read_head(const RequestParser& parser, RequestHead& head) {
  namespace http = boost::beast::http;
  const auto& message = parser.get();
  head = {};
  head.method = view_of(message.method_string());
  std::string_view target = view_of(message.target());
  const auto value = [&](auto name) { return std::string{view_of(message[name])}; };

  if (message.version() != 11 && message.version() != 10) return HeadFault{505, "the HTTP version is neither 1.1 nor 1.0"};
  if (message.count(http::field::host) > 1) return HeadFault{400, "more than one Host header"};
  if (message.version() == 11 && message.count(http::field::host) == 0) return HeadFault{400, "no Host header"};
  if (message.count(http::field::content_length) > 1) return HeadFault{400, "more than one Content-Length header"};
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  if (!std::ranges::all_of(view_of(message[http::field::content_length]), is_digit)) {
    return HeadFault{400, "the Content-Length is not one number"};
  }
  const bool has_transfer_encoding = message.count(http::field::transfer_encoding) > 0;
  if (has_transfer_encoding && message.count(http::field::content_length) > 0) {
    return HeadFault{400, "both Content-Length and Transfer-Encoding"};
  }
  if (has_transfer_encoding && message.version() == 10) return HeadFault{400, "Transfer-Encoding in HTTP/1.0"};
  if (has_transfer_encoding && (message.count(http::field::transfer_encoding) > 1 ||
                                !is_equal_ignoring_case(view_of(message[http::field::transfer_encoding]), "chunked"))) {
    return HeadFault{501, "the only Transfer-Encoding known here is chunked"};
  }
  for (const auto& field : message) {
    const std::string_view text = view_of(field.value());
    const auto is_control = [](char c) { return (static_cast<unsigned char>(c) < ' ' && c != '\t') || c == '\x7F'; };
    if (std::ranges::any_of(text, is_control)) return HeadFault{400, "a header holds a control character"};
  }
  if (!view_of(message[http::field::content_encoding]).empty()) {
    return HeadFault{415, "a request with a Content-Encoding is not read; send it plain"};
  }

  // The absolute form that a client sends to a proxy.
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!target.starts_with(scheme)) continue;
    const std::size_t slash = target.find('/', scheme.size());
    target = slash == target.npos ? std::string_view{"/"} : target.substr(slash);
  }
  const std::size_t question = std::min(target.find('?'), target.size());
  head.path = target.substr(0, question);
  head.query = target.substr(question);
  head.is_http_10 = message.version() == 10;
  head.keeps_alive = parser.keep_alive();
  head.is_chunked = has_transfer_encoding;
  head.content_length = parser.content_length().value_or(0);
  head.expects_continue = !head.is_http_10 && is_equal_ignoring_case(view_of(message[http::field::expect]), "100-continue");
  if (!head.expects_continue && !head.is_http_10 && message.count(http::field::expect) > 0)
    return HeadFault{417, "an expectation not known here"};
  head.authorization = value(http::field::authorization);
  head.api_key = value("x-api-key");
  head.host = value(http::field::host);
  head.origin = value(http::field::origin);
  for (const std::string_view name :
       {"forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via"}) {
    head.is_forwarded = head.is_forwarded || message.count(boost::beast::string_view{name.data(), name.size()}) > 0;
  }
  head.policy = value("x-ecso-policy");
  head.stream_mode = value("x-ecso-stream");
  const auto append = [&](std::string& lines, std::string_view name) {
    const auto found = message.find(boost::beast::string_view{name.data(), name.size()});
    if (found != message.end()) lines.append(name).append(": ").append(view_of(found->value())).append("\r\n");
  };
  for (const std::string_view name :
       {"anthropic-version", "anthropic-beta", "openai-beta", "traceparent", "tracestate", "user-agent"}) {
    append(head.forwarded, name);
  }
  for (const std::string_view name : {"openai-organization", "openai-project"}) append(head.account, name);
  return std::nullopt;
}

}  // namespace ecso::detail::gateway
