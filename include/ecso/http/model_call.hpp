#pragma once

#include <ecso/backend/server_error.hpp>
#include <ecso/core/backend.hpp>
#include <ecso/core/request.hpp>
#include <ecso/error.hpp>
#include <ecso/http/client.hpp>
#include <ecso/http/options.hpp>
#include <ecso/http/url.hpp>
#include <ecso/secret.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ecso {

/// A model call as bytes.
struct ModelCall {
  Url url;
  std::string body;
  std::vector<HttpHeader> headers;
  bool stream = false;  ///< Whether the request asked for a stream.
};

/// Makes a call and reads the reply by its `Format`, which has
/// - `static Reply parse(std::string_view body, const Secret& key)` for a whole reply,
/// - `Stream`, a class like `OpenAiStream`, for one that comes in pieces, and
/// - `static constexpr bool streams_events`, whether those are server-sent events: a server that answers a request for them with
///   one JSON object is understood.
///
/// What a stream has held back to its end, because more text could have changed it, is the last piece that `context.on_text`
/// gets.
/// @param key is taken out of what error messages quote; sending it is the call's headers' affair.
/// @param stream reads this call's stream: for a format that must know what was asked.
/// @throws Error as `HttpClient::post`, `server_error` and the format say, with the URL as endpoint; what `context.on_text`
/// throws.
template <typename Format>
[[nodiscard]] Reply make_model_call(HttpClient& client, const ModelCall& call, const Secret& key, const CallContext& context,
                                    typename Format::Stream stream) {
  std::string whole;
  bool is_stream = false;
  std::size_t given = 0;
  const auto on_text = [&](std::string_view piece) {
    given += piece.size();
    if (context.on_text) context.on_text(piece);
  };
  const auto finish = [&] {
    Reply reply = std::move(stream).finish();
    if (reply.text.size() > given) on_text(std::string_view{reply.text}.substr(given));
    return reply;
  };
  const auto on_body = [&](std::string_view bytes) {
    if (!is_stream && Format::streams_events) {
      whole.append(bytes);
      const std::size_t first = whole.find_first_not_of(" \t\r\n");
      if (first == whole.npos || whole[first] == '{') return;
      is_stream = true;
      return stream.feed(std::exchange(whole, {}), on_text);
    }
    is_stream = true;
    stream.feed(bytes, on_text);
  };

  HttpResponse response;
  try {
    response = client.post(call.url, call.body, call.headers, context, call.stream ? OnBody{on_body} : OnBody{});
    if (response.status < 200 || response.status >= 300) {
      throw server_error(response.status, response.body, response.retry_after, call.url.text(), key, response.location);
    }
    if (is_stream) return finish();
    Reply reply = Format::parse(call.stream ? whole : response.body, key);
    on_text(reply.text);
    return reply;
  } catch (const Error& error) {
    // The answer was complete: how the connection ended does not matter.
    const bool is_of_connection = response.status == 0 && error.code() == Errc::unavailable;
    if (is_of_connection && stream.is_complete()) return finish();
    if (!error.context().endpoint.empty()) throw;
    throw Error{error.code(), error.message(), {.endpoint = call.url.text(), .http_status = response.status}};
  }
}

/// The same with a stream that is made from `key`.
template <typename Format>
[[nodiscard]] Reply make_model_call(HttpClient& client, const ModelCall& call, const Secret& key, const CallContext& context) {
  return make_model_call<Format>(client, call, key, context, typename Format::Stream{key});
}

/// How a reply is to come, for the headers of a call.
[[nodiscard]] inline std::vector<HttpHeader> model_call_headers(bool stream) {
  return {{"Content-Type", "application/json"}, {"Accept", stream ? "text/event-stream, application/json" : "application/json"}};
}

}  // namespace ecso
