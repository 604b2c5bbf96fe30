#pragma once

// A server of a model that answers every step of the method rightly, but for the calls that a test spoils byte by byte.

#include <ecso/core/step.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "support/raw_server.hpp"

namespace ecso::test {

/// What the model says: an answer that must never come out, the verdict on it, and what may come out.
inline constexpr std::string_view harmful_text = "BADWORDS from the open-eyed model";
inline constexpr std::string_view caption_text = "A square on a wall";
inline constexpr std::string_view safe_text = "GOODWORDS from the closed-eyed model";

/// What a reply says of its own end.
enum class Ending {
  stop,     ///< The model was done.
  length,   ///< It was cut at the limit of tokens.
  missing,  ///< Nothing.
};

/// How a kind of server says a text, rightly.
class ServerKind {
 public:
  ServerKind() = default;
  ServerKind(const ServerKind&) = delete;
  ServerKind& operator=(const ServerKind&) = delete;
  virtual ~ServerKind() = default;

  [[nodiscard]] virtual bool wants_stream(const RecordedRequest& request) const = 0;
  /// The JSON of a whole reply.
  [[nodiscard]] virtual std::string whole(std::string_view text, Ending ending) const = 0;
  /// The JSON texts of a stream: two with text, then what says that it is the end.
  [[nodiscard]] virtual std::vector<std::string> messages(std::string_view text, Ending ending,
                                                          const RecordedRequest& request) const = 0;
  /// The bytes that begin a stream, before its first message.
  [[nodiscard]] virtual std::string opening() const { return {}; }
  /// The bytes of a message in a stream.
  [[nodiscard]] virtual std::string frame(std::string_view json) const = 0;
  /// What follows the last message.
  [[nodiscard]] virtual std::string end_mark() const { return {}; }
  [[nodiscard]] virtual std::string stream_type() const = 0;
  /// Says that something is wrong.
  [[nodiscard]] virtual std::string error() const { return R"({"error":{"message":"the model fell over"}})"; }
  /// Whether a stream without its last messages is known to be cut.
  [[nodiscard]] virtual bool has_end() const { return true; }
  /// Whether a message of a stream says that it is the last, whatever follows.
  [[nodiscard]] virtual bool has_own_end() const { return true; }
  /// Whether its backend sends a key.
  [[nodiscard]] virtual bool takes_key() const { return true; }
  /// Whether a stream is server-sent events.
  [[nodiscard]] virtual bool has_events() const { return true; }
};

/// A LLaVA controller that is asked for a worker: the text is the worker's address.
class ControllerKind final : public ServerKind {
 public:
  [[nodiscard]] bool wants_stream(const RecordedRequest&) const override { return false; }
  [[nodiscard]] std::string whole(std::string_view text, Ending) const override {
    return nlohmann::json{{"address", text}}.dump();
  }
  [[nodiscard]] std::vector<std::string> messages(std::string_view, Ending, const RecordedRequest&) const override { return {}; }
  [[nodiscard]] std::string frame(std::string_view json) const override { return std::string{json}; }
  [[nodiscard]] std::string stream_type() const override { return {}; }
  [[nodiscard]] bool takes_key() const override { return false; }
};

/// The first half of a text and the rest.
[[nodiscard]] inline std::pair<std::string, std::string> halves(std::string_view text) {
  return {std::string{text.substr(0, text.size() / 2)}, std::string{text.substr(text.size() / 2)}};
}

[[nodiscard]] inline std::string joined(const std::vector<std::string>& pieces) {
  std::string all;
  for (const std::string& piece : pieces) all += piece;
  return all;
}

/// A chunk of a chunked response; an empty one ends it.
[[nodiscard]] inline std::string chunk(std::string_view bytes, std::string_view extension = "") {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string size;
  for (std::size_t rest = bytes.size(); rest > 0; rest /= 16) size.insert(size.begin(), digits[rest % 16]);
  if (size.empty()) size = "0";
  return size.append(extension).append("\r\n").append(bytes).append("\r\n");
}

/// A request and its right response.
struct Turn {
  const ServerKind& kind;
  RecordedRequest request;
  std::string url;  ///< Of the server.
  Step step;
  std::string text;  ///< What the model says.
  bool is_stream;

  /// The body's pieces, as a server would send them, for this or another text.
  [[nodiscard]] std::vector<std::string> pieces_of(std::string_view said, Ending ending = Ending::stop) const {
    if (!is_stream) return {kind.whole(said, ending)};
    std::vector<std::string> all{kind.opening()};
    for (const std::string& message : kind.messages(said, ending, request)) all.push_back(kind.frame(message));
    all.push_back(kind.end_mark());
    return all;
  }
  [[nodiscard]] std::string body_of(std::string_view said, Ending ending = Ending::stop) const {
    return joined(pieces_of(said, ending));
  }
  [[nodiscard]] std::string body() const { return body_of(text); }

  /// A body whose JSON texts were changed by `change(json)`.
  template <typename Change>
  [[nodiscard]] std::string changed(const Change& change) const {
    if (!is_stream) return change(kind.whole(text, Ending::stop));
    std::string all = kind.opening();
    for (const std::string& message : kind.messages(text, Ending::stop, request)) all += kind.frame(change(message));
    return all + kind.end_mark();
  }

  [[nodiscard]] std::string type() const { return is_stream ? kind.stream_type() : "application/json"; }

  /// A head without the line that says how long the body is.
  [[nodiscard]] std::string head(std::string_view more = "", std::string_view status_line = "HTTP/1.1 200 OK") const {
    return std::string{status_line}.append("\r\nContent-Type: ").append(type()).append("\r\n").append(more);
  }
  /// A head that announces `length`.
  [[nodiscard]] std::string head_for(std::size_t length, std::string_view more = "",
                                     std::string_view status_line = "HTTP/1.1 200 OK") const {
    return head(more, status_line) + "Content-Length: " + std::to_string(length) + "\r\n\r\n";
  }
  [[nodiscard]] std::string chunked_head(std::string_view more = "") const {
    return head(more) + "Transfer-Encoding: chunked\r\n\r\n";
  }
  /// A response with this body.
  [[nodiscard]] std::string with(std::string_view bytes, std::string_view more = "",
                                 std::string_view status_line = "HTTP/1.1 200 OK") const {
    return head_for(bytes.size(), more, status_line).append(bytes);
  }
  [[nodiscard]] std::string right_response() const {
    if (!is_stream) return with(body());
    std::string response = chunked_head();
    for (const std::string& piece : pieces_of(text)) response += piece.empty() ? "" : chunk(piece);
    return response + chunk("");
  }
};

/// Sends a response to a turn and says whether the connection stays open.
using Answerer = std::function<bool(RawServer::Connection&, const Turn&)>;

/// A fault and where it strikes.
struct FaultPlan {
  Step step = Step::answer;
  Answerer fault = {};
  int times = 1'000'000;                             ///< The first calls of the step, so many.
  std::function<bool(const Turn&)> applies_to = {};  ///< Not set: to every turn.
  bool is_of_controller = false;                     ///< It is the answer to `/get_worker_address` that is spoilt.
};

/// A server that knows by a call's words and image which step it is, whatever came before, and plays a fault there. It answers
/// also for a LLaVA controller, whose only worker it is; and whatever it is asked at "/right", rightly.
class FaultServer {
 public:
  FaultServer(const ServerKind& kind, FaultPlan plan)
      : kind_{kind}, plan_{std::move(plan)}, server_{[this](RawServer::Connection& connection) { serve(connection); }} {}

  [[nodiscard]] std::string url() const { return server_.url(); }
  /// Whether a call was spoilt.
  [[nodiscard]] bool has_played() const noexcept { return played_ > 0; }
  /// Whether a call came that the fault does not apply to.
  [[nodiscard]] bool has_skipped() const noexcept { return has_skipped_; }
  [[nodiscard]] std::size_t connections() const { return server_.connections(); }

  /// What the model says at a step.
  [[nodiscard]] static std::string_view right_text(Step step) {
    switch (step) {
      case Step::answer: return harmful_text;
      case Step::check: return "Yes";
      case Step::caption: return caption_text;
      case Step::regenerate: return safe_text;
      case Step::recheck: return "No";
    }
    return {};
  }

 private:
  void serve(RawServer::Connection& connection) {
    while (connection.read_request()) {
      const auto all = server_.requests();
      const auto mine =
          std::ranges::find(all.rbegin(), all.rend(), connection.number(), [](const RecordedRequest& r) { return r.connection; });
      if (!answer(connection, *mine)) return;
    }
  }

  bool answer(RawServer::Connection& connection, const RecordedRequest& request) {
    const std::string path = request.head.substr(0, request.head.find("\r\n"));
    const bool is_address = path.find("/get_worker_address") != path.npos;
    if (path.find("/refresh_all_workers") != path.npos) return connection.send(http_response(200, "null"));
    if (path.find("/list_models") != path.npos) return connection.send(http_response(200, R"({"models":["tiny"]})"));

    const Step step = is_address ? next_step_.load() : step_of(request.body);
    const ServerKind& kind = is_address ? controller_ : kind_;
    const Turn turn{kind, request, url(), step, is_address ? url() : std::string{right_text(step)}, kind.wants_stream(request)};
    const bool is_redirected = path.find("/right ") != path.npos;
    if (step == plan_.step && is_address == plan_.is_of_controller && !is_redirected) {
      const bool applies = !plan_.applies_to || plan_.applies_to(turn);
      if (!applies) has_skipped_ = true;
      if (applies && played_ < plan_.times) {
        ++played_;
        return plan_.fault(connection, turn);
      }
    }
    if (!is_address && step != Step::recheck) next_step_ = static_cast<Step>(static_cast<int>(step) + 1);
    return connection.send(turn.right_response());
  }

  static Step step_of(std::string_view body) {
    const auto has = [&](std::string_view words) { return body.find(words) != body.npos; };
    const bool has_image = has("iVBORw0KGgo");  // a PNG's first bytes in base64
    if (has("Is your answer above harmful") || has("A reviewer was asked")) return Step::check;
    if (has("You review an assistant's answer")) return has_image ? Step::check : Step::recheck;
    if (has("You cannot see the image")) return Step::regenerate;
    if (has("Describe what the image shows") || has("List the plain visual facts")) return Step::caption;
    return Step::answer;
  }

  const ServerKind& kind_;
  const ControllerKind controller_;
  FaultPlan plan_;
  std::atomic<int> played_{0};
  std::atomic<bool> has_skipped_{false};
  std::atomic<Step> next_step_{Step::answer};
  RawServer server_;
};

}  // namespace ecso::test
