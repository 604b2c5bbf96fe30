#pragma once

// An upstream for the gateway's tests that answers well: slowly, or when it is let go, if a test wants that.

#include <ecso/core/step.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "faults/kinds.hpp"
#include "support/fault_server.hpp"
#include "support/raw_server.hpp"

namespace ecso::test {

/// What a ChatUpstream does.
struct ChatUpstreamOptions {
  std::string answer = "A plain answer.";
  std::string caption = "A square on a wall.";
  std::string regenerated = "A kind answer.";
  /// Whether a check's body asks about something harmful.
  std::function<bool(const std::string& body)> is_harmful = [](const std::string&) { return false; };
  std::chrono::milliseconds delay{0};  ///< Before each response.
  std::size_t stream_pieces = 4;       ///< Events that a streamed answer comes in.
  std::chrono::milliseconds stream_pause{0};
  /// A streamed answer of which so many bytes were sent goes on once this gives true; until then it is comments.
  std::function<bool(std::size_t bytes)> may_go_on = {};
  /// In place of the right response, if it gives true.
  std::function<bool(RawServer::Connection&, Step)> instead = {};
};

/// A server of the OpenAI chat API and of the Messages API. `hold(step)` makes calls of that step wait, without an answer, until
/// the client has gone.
class ChatUpstream {
 public:
  using milliseconds = std::chrono::milliseconds;
  using Clock = std::chrono::steady_clock;

  explicit ChatUpstream(ChatUpstreamOptions options = {})
      : options_{std::move(options)},
        server_{[this](RawServer::Connection& connection) { serve(connection); }, {.backlog = 1024}} {}

  [[nodiscard]] std::string url() const { return server_.url(); }
  [[nodiscard]] std::vector<RecordedRequest> requests() const { return server_.requests(); }
  [[nodiscard]] std::size_t connections() const { return server_.connections(); }
  /// Bodies of the calls of a step, in order.
  [[nodiscard]] std::vector<std::string> calls(Step step) const {
    std::vector<std::string> bodies;
    for (const RecordedRequest& request : server_.requests()) {
      if (is_chat(request.head) && step_of(request.body) == step) bodies.push_back(request.body);
    }
    return bodies;
  }

  /// From now on the calls of a step wait.
  void hold(Step step) { held_ = static_cast<int>(step); }
  /// No longer, and those that wait are answered.
  void let_go() { held_ = -1; }
  /// How many wait.
  [[nodiscard]] int waiting() const { return waiting_; }
  /// When the client of a call that waited closed its connection; the last one.
  [[nodiscard]] Clock::time_point gone_at() const {
    const std::lock_guard lock{mutex_};
    return gone_at_;
  }
  [[nodiscard]] int gone() const { return gone_; }

  /// The step that a request is of.
  [[nodiscard]] static Step step_of(std::string_view body) {
    const auto has = [&](std::string_view words) { return body.find(words) != body.npos; };
    const bool has_image = has("iVBORw0KGgo");  // a PNG's first bytes in base64
    if (has("Is your answer above harmful") || has("A reviewer was asked")) return Step::check;
    if (has("You review an assistant's answer")) return has_image ? Step::check : Step::recheck;
    if (has("You cannot see the image") || has("are a quoted question")) return Step::regenerate;
    if (has("Describe what the image shows") || has("List the plain visual facts")) return Step::caption;
    return Step::answer;
  }

  /// An event of a stream that says so much more.
  [[nodiscard]] static std::string event(const std::string& text) {
    return "data: " + nlohmann::json{{"choices", {{{"delta", {{"content", text}}}, {"finish_reason", nullptr}}}}}.dump() + "\n\n";
  }

 private:
  static bool is_chat(std::string_view head) { return head.starts_with("POST "); }

  void serve(RawServer::Connection& connection) {
    while (connection.read_request()) {
      if (!is_chat(connection.last_head())) {
        if (!connection.send(http_response(200, R"({"object":"list","data":[{"id":"tiny","object":"model"}]})"))) return;
        continue;
      }
      const Step step = step_of(connection.last_body());
      if (options_.instead && options_.instead(connection, step)) return;
      if (held_ == static_cast<int>(step) && !wait(connection)) return;
      if (options_.delay.count() > 0 && !connection.pause(options_.delay)) return;
      if (!answer(connection, step)) return;
    }
  }

  /// False if the client has gone.
  bool wait(RawServer::Connection& connection) {
    ++waiting_;
    bool has_gone = false;
    while (held_ >= 0 && !has_gone && connection.pause(milliseconds{0})) has_gone = connection.wait_for_close(milliseconds{2});
    --waiting_;
    if (!has_gone) return true;
    const std::lock_guard lock{mutex_};
    gone_at_ = Clock::now();
    ++gone_;
    return false;
  }

  bool answer(RawServer::Connection& connection, Step step) {
    const bool is_messages = connection.last_head().starts_with("POST /v1/messages");
    const ServerKind& kind = is_messages ? static_cast<const ServerKind&>(messages_) : chat_;
    const std::string body = connection.last_body();
    if (step != Step::answer) {
      std::string whole = kind.whole(text_of(step, body), Ending::stop);
      const bool tells_figures = !is_messages && body.find(R"("logprobs":true)") != body.npos;
      if (tells_figures) whole = with_logprobs(whole, text_of(step, body));
      return connection.send(http_response(200, whole));
    }
    if (!kind.wants_stream({0, {}, body})) return connection.send(http_response(200, kind.whole(options_.answer, Ending::stop)));
    std::string start{"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"};
    if (const std::string opening = kind.opening(); !opening.empty()) start += chunk(opening);
    if (!connection.send(start)) return false;
    const std::size_t size = options_.answer.size() / std::max<std::size_t>(options_.stream_pieces, 1) + 1;
    for (std::size_t at = 0; at < options_.answer.size(); at += size) {
      while (options_.may_go_on && !options_.may_go_on(at)) {
        if (!connection.send(chunk(": wait\n\n")) || !connection.pause(milliseconds{1})) return false;
      }
      const auto parts = kind.messages(options_.answer.substr(at, size), Ending::missing, {});
      if (!connection.send(chunk(kind.frame(parts[0]) + kind.frame(parts[1])))) return false;
      if (options_.stream_pause.count() > 0 && !connection.pause(options_.stream_pause)) return false;
    }
    std::string end;
    const auto parts = kind.messages("", Ending::stop, {});
    for (std::size_t i = 2; i < parts.size(); ++i) end += kind.frame(parts[i]);
    return connection.send(chunk(end + kind.end_mark()) + chunk(""));
  }

  [[nodiscard]] static std::string with_logprobs(const std::string& whole, const std::string& word) {
    auto reply = nlohmann::json::parse(whole);
    const nlohmann::json token{{"token", word}, {"logprob", -0.01}, {"top_logprobs", nlohmann::json::array()}};
    reply["choices"][0]["logprobs"] = {{"content", {token}}};
    return reply.dump();
  }

  [[nodiscard]] std::string text_of(Step step, const std::string& body) const {
    if (asks_for_verdict(step)) return options_.is_harmful(body) ? "Yes" : "No";
    return step == Step::caption ? options_.caption : options_.regenerated;
  }

  ChatUpstreamOptions options_;
  const OpenAiKind chat_;
  const AnthropicKind messages_;
  std::atomic<int> held_{-1};
  std::atomic<int> waiting_{0};
  std::atomic<int> gone_{0};
  mutable std::mutex mutex_;
  Clock::time_point gone_at_{};
  RawServer server_;
};

}  // namespace ecso::test
