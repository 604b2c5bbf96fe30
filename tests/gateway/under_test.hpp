#pragma once

// What the gateway's tests by raw sockets have in common: chats of both APIs as bytes, and what their answers say.

#include <ecso/detail/base64.hpp>
#include <ecso/gateway/gateway.hpp>
#include <ecso/gateway/options.hpp>
#include <ecso/gateway/request_record.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "support/fault_server.hpp"
#include "support/http_socket.hpp"
#include "support/image_bytes.hpp"
#include "support/patience.hpp"
#include "support/sanitizers.hpp"

namespace ecso::test {

[[nodiscard]] inline bool has(std::string_view text, std::string_view piece) { return text.find(piece) != text.npos; }

/// What a client speaks.
enum class Api { chat, messages };

[[nodiscard]] inline std::string target_of(Api api) { return api == Api::chat ? "/v1/chat/completions" : "/v1/messages"; }

/// A PNG in base64; not the same for another description.
[[nodiscard]] inline std::string picture(std::string_view description = "") {
  const std::string bytes = png_bytes(3, 2, description);
  std::string text(ecso::detail::base64_encoded_size(bytes.size()), ' ');
  ecso::detail::base64_encode_to(bytes, text.data());
  return text;
}

/// A chat, with an image or without.
[[nodiscard]] inline std::string chat_body(Api api, bool stream, bool has_image = true) {
  nlohmann::json content{{{"type", "text"}, {"text", "What is to be seen?"}}};
  if (has_image && api == Api::chat) {
    content.push_back({{"type", "image_url"}, {"image_url", {{"url", "data:image/png;base64," + picture()}}}});
  } else if (has_image) {
    content.push_back({{"type", "image"}, {"source", {{"type", "base64"}, {"media_type", "image/png"}, {"data", picture()}}}});
  }
  nlohmann::json body{{"model", "tiny"}, {"max_tokens", 64}, {"messages", {{{"role", "user"}, {"content", content}}}}};
  if (stream) body["stream"] = true;
  return body.dump();
}

/// A request's bytes. `more` are header lines, each with its end.
[[nodiscard]] inline std::string http_request(std::string_view method, std::string_view target, std::string_view body = "",
                                              std::string_view more = "") {
  std::string request{method};
  request.append(" ").append(target).append(" HTTP/1.1\r\nHost: localhost\r\n").append(more);
  if (method == "POST") {
    request.append("Content-Type: application/json\r\nContent-Length: ").append(std::to_string(body.size())).append("\r\n");
  }
  return request.append("\r\n").append(body);
}

[[nodiscard]] inline std::string chat_request(Api api = Api::chat, bool stream = false, std::string_view more = "") {
  return http_request("POST", target_of(api), chat_body(api, stream), more);
}

/// What a response says to a client of its API.
struct Said {
  std::string text;   ///< Of choice 0, streamed or not.
  std::string error;  ///< Its type and message; empty if it is no error.
  std::string wrong;  ///< Why it is no response of that API; empty if it is one.
  nlohmann::json ecso;
};

namespace detail {

inline void read_error(const nlohmann::json& json, Api api, Said& said) {
  if (!json.is_object() || !json.contains("error") || !json["error"].is_object()) return;
  const auto text = [&](const char* name) { return json["error"].contains(name) ? json["error"][name].dump() : ""; };
  said.error = text("type") + " " + text("message");
  if (api == Api::messages && json.value("type", "") != "error") said.wrong = "an error of another API";
}

inline void read_message(const nlohmann::json& json, Api api, Said& said) {
  if (api == Api::chat) {
    said.text = json.at("choices").at(0).at("message").at("content").get<std::string>();
  } else {
    for (const auto& block : json.at("content")) said.text += block.value("text", "");
  }
}

inline void read_event(const nlohmann::json& json, Api api, Said& said) {
  read_error(json, api, said);
  if (json.contains("ecso")) said.ecso = json["ecso"];
  if (api == Api::messages && json.value("type", "") == "content_block_delta") said.text += json.at("delta").value("text", "");
  if (api == Api::messages || !json.contains("choices")) return;
  for (const auto& choice : json["choices"]) {
    const auto& delta = choice.at("delta");
    if (delta.contains("content") && delta["content"].is_string()) said.text += delta["content"].get<std::string>();
  }
}

inline void read_events(std::string_view body, Api api, Said& said) {
  bool is_ended = false;
  constexpr std::string_view data = "data: ";
  for (std::size_t at = 0; at < body.size();) {
    const std::size_t end = body.find('\n', at);
    if (end == body.npos) said.wrong = "a line without an end";
    const std::string_view line = body.substr(at, end - at);
    at = end == body.npos ? body.size() : end + 1;
    if (!line.starts_with(data)) {
      if (!line.empty() && !line.starts_with(":") && !line.starts_with("event: ")) said.wrong = "no event: " + std::string{line};
      continue;
    }
    if (is_ended || !said.error.empty()) said.wrong = "more after the end";
    if (line == "data: [DONE]") {
      is_ended = true;
      continue;
    }
    const auto json = nlohmann::json::parse(line.substr(data.size()));
    read_event(json, api, said);
    if (api == Api::messages && json.value("type", "") == "message_stop") is_ended = true;
  }
  if (!is_ended && said.error.empty()) said.wrong = "a stream without its end";
}

}  // namespace detail

[[nodiscard]] inline Said read_said(const HttpReply& reply, Api api) {
  Said said;
  try {
    if (reply.header("content-type").starts_with("text/event-stream")) {
      detail::read_events(reply.body, api, said);
      return said;
    }
    const auto json = nlohmann::json::parse(reply.body);
    detail::read_error(json, api, said);
    if (json.contains("ecso")) said.ecso = json["ecso"];
    if (said.error.empty()) detail::read_message(json, api, said);
  } catch (const nlohmann::json::exception& error) {
    said.wrong = error.what();
  }
  return said;
}

/// Options of a gateway on a free port in front of one upstream.
[[nodiscard]] inline gateway::Options options_for(const std::string& upstream) {
  gateway::Options options;
  options.port = 0;
  options.threads = 1;
  options.upstreams = {{.url = upstream + "/v1"}};
  return options;
}

/// A gateway that runs.
struct GatewayUnderTest {
  gateway::Gateway gateway;

  explicit GatewayUnderTest(gateway::Options options, gateway::OnRequest on_request = {})
      : gateway{std::move(options), std::move(on_request)} {
    gateway.start();
  }
  explicit GatewayUnderTest(const std::string& upstream) : GatewayUnderTest{options_for(upstream)} {}

  [[nodiscard]] int port() const { return gateway.port(); }
  [[nodiscard]] HttpSocket connect() const { return HttpSocket{port()}; }

  /// The response to one request on a connection of its own.
  [[nodiscard]] HttpReply ask(std::string_view request) const {
    HttpSocket socket{port()};
    socket.send(request);
    return socket.read();
  }
};

/// The level or counter of that name, of all labels together.
[[nodiscard]] inline double metric(const GatewayUnderTest& under_test, const std::string& name) {
  const std::string text = under_test.ask(http_request("GET", "/metrics")).body;
  double sum = 0;
  for (std::size_t at = text.find("\n" + name); at != text.npos; at = text.find("\n" + name, at + 1)) {
    const char after = text[at + 1 + name.size()];
    const std::size_t end = text.find('\n', at + 1);
    if (after == ' ' || after == '{') sum += std::stod(text.substr(text.rfind(' ', end)));
  }
  return sum;
}

}  // namespace ecso::test
