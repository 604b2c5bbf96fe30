#pragma once

// A LLaVA controller and a LLaVA worker for tests, after the public protocol (github.com/haotian-liu/LLaVA, llava/serve).

#include <ecso/core/image.hpp>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "support/raw_server.hpp"

namespace ecso::test {

/// A message of a worker as Python's `json.dumps` writes it: ASCII, a space after colon and comma; and a zero byte.
[[nodiscard]] inline std::string llava_message(const std::string& text, int error_code = 0) {
  std::string message = "{\"text\": " + nlohmann::json(text).dump(-1, ' ', true);
  return message.append(", \"error_code\": ").append(std::to_string(error_code)).append("}").append(1, '\0');
}

inline constexpr std::string_view llava_failure =
    "**NETWORK ERROR DUE TO HIGH TRAFFIC. PLEASE REGENERATE OR REFRESH THIS PAGE.**";

/// The head of a response that comes in chunks.
inline constexpr std::string_view chunked_head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

/// A chunk; an empty one ends the response.
[[nodiscard]] inline std::string http_chunk(std::string_view bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string size;
  for (std::size_t rest = bytes.size(); rest > 0; rest /= 16) size.insert(size.begin(), digits[rest % 16]);
  return (size.empty() ? "0" : size).append("\r\n").append(bytes).append("\r\n");
}

/// The path of a request.
[[nodiscard]] inline std::string path_of(const RecordedRequest& request) {
  const std::size_t from = request.head.find(' ') + 1;
  return request.head.substr(from, request.head.find(' ', from) - from);
}

/// A server of JSON: `answer(request, connection)` sends the response.
class JsonServer {
 public:
  using Answer = std::function<bool(const RecordedRequest&, RawServer::Connection&)>;

  explicit JsonServer(Answer answer) : answer_{std::move(answer)}, server_{[this](RawServer::Connection& c) { serve(c); }} {}

  [[nodiscard]] std::string url() const { return server_.url(); }
  [[nodiscard]] std::vector<RecordedRequest> requests() const { return server_.requests(); }

  /// Bodies of the requests for `path`.
  [[nodiscard]] std::vector<std::string> bodies(std::string_view path) const {
    std::vector<std::string> bodies;
    for (const RecordedRequest& request : server_.requests()) {
      if (path_of(request) == path) bodies.push_back(request.body);
    }
    return bodies;
  }

 private:
  void serve(RawServer::Connection& connection) {
    while (connection.read_request()) {
      const auto all = server_.requests();
      const auto mine =
          std::ranges::find(all.rbegin(), all.rend(), connection.number(), [](const RecordedRequest& r) { return r.connection; });
      if (!answer_(*mine, connection)) return;
    }
  }

  Answer answer_;
  RawServer server_;
};

/// A worker whose model is a function from the request to the pieces of an answer.
class LlavaWorkerStandIn {
 public:
  using Model = std::function<std::vector<std::string>(const nlohmann::json& request)>;

  explicit LlavaWorkerStandIn(Model model, std::size_t context_characters = 100'000)
      : model_{std::move(model)},
        context_characters_{context_characters},
        server_{
            [this](const RecordedRequest& request, RawServer::Connection& connection) { return answer(request, connection); }} {}

  [[nodiscard]] std::string url() const { return server_.url(); }

  /// What it was asked to generate.
  [[nodiscard]] std::vector<std::string> bodies() const { return server_.bodies("/worker_generate_stream"); }

 private:
  bool answer(const RecordedRequest& request, RawServer::Connection& connection) {
    if (path_of(request) == "/worker_get_status") {
      return connection.send(http_response(200, R"({"model_names":["llava-v1.5-7b"],"speed":1,"queue_length":0})"));
    }
    if (path_of(request) != "/worker_generate_stream") return connection.send(http_response(404, R"({"detail":"Not Found"})"));
    if (!connection.send(chunked_head)) return false;
    try {
      if (!generate(nlohmann::json::parse(request.body), connection)) return false;
    } catch (const std::exception&) {
      if (!connection.send(http_chunk(llava_message(std::string{llava_failure}, 1)))) return false;
    }
    return connection.send(http_chunk(""));
  }

  bool generate(const nlohmann::json& request, RawServer::Connection& connection) {
    const std::string prompt = request.at("prompt");
    const std::vector<std::string> images = request.value("images", std::vector<std::string>{});
    if (images.size() != count_of(prompt, "<image>")) {
      throw std::runtime_error{"Number of images does not match number of <image> tokens in prompt"};
    }
    for (const std::string& image : images) static_cast<void>(Image::from_base64(image));
    const int max_new_tokens = std::min(request.value("max_new_tokens", 256), 1024);
    if (max_new_tokens < 1 || prompt.size() >= context_characters_) {
      const std::string text = prompt + "Exceeds max token length. Please start a new conversation, thanks.";
      return connection.send(http_chunk(llava_message(text)));
    }
    std::string text = prompt;
    int tokens = 0;
    for (const std::string& piece : model_(request)) {
      if (++tokens > max_new_tokens) break;
      text += piece;
      const std::string stop = request.at("stop");  // Python fails here, with the first piece, if it is none
      if (text.ends_with(stop)) text.resize(stop.empty() ? 0 : text.size() - stop.size());
      if (!connection.send(http_chunk(llava_message(text)))) return false;
    }
    return connection.send(http_chunk(llava_message(text)));  // a message for each token, and one for the end
  }

  static std::size_t count_of(std::string_view text, std::string_view word) {
    std::size_t count = 0;
    for (std::size_t at = text.find(word); at != text.npos; at = text.find(word, at + word.size())) ++count;
    return count;
  }

  Model model_;
  std::size_t context_characters_;
  JsonServer server_;
};

/// A controller that gives the worker with the shortest queue, and counts a call to it. It never forgets a worker by itself.
class LlavaControllerStandIn {
 public:
  LlavaControllerStandIn()
      : server_{[this](const RecordedRequest& request, RawServer::Connection& connection) {
          return connection.send(http_response(200, answer(request)));
        }} {}

  [[nodiscard]] std::string url() const { return server_.url(); }
  [[nodiscard]] std::vector<RecordedRequest> requests() const { return server_.requests(); }

  void register_worker(const std::string& address, std::vector<std::string> models = {"llava-v1.5-7b"}) {
    const std::lock_guard lock{mutex_};
    workers_[address] = {std::move(models), 0};
  }

 private:
  struct Worker {
    std::vector<std::string> models;
    int queue_length = 0;
  };

  std::string answer(const RecordedRequest& request) {
    const std::string path = path_of(request);
    const std::lock_guard lock{mutex_};
    if (path == "/list_models") {
      std::set<std::string> names;
      for (const auto& [address, worker] : workers_) names.insert(worker.models.begin(), worker.models.end());
      return nlohmann::json{{"models", names}}.dump();
    }
    if (path == "/get_worker_address") {
      return nlohmann::json{{"address", shortest_queue(nlohmann::json::parse(request.body).at("model"))}}.dump();
    }
    if (path == "/refresh_all_workers") std::erase_if(workers_, [](const auto& entry) { return !is_alive(entry.first); });
    return "null";
  }

  std::string shortest_queue(const std::string& model) {
    Worker* best = nullptr;
    std::string best_address;
    for (auto& [address, worker] : workers_) {
      if (std::ranges::find(worker.models, model) == worker.models.end()) continue;
      if (best != nullptr && best->queue_length <= worker.queue_length) continue;
      best = &worker;
      best_address = address;
    }
    if (best != nullptr) ++best->queue_length;
    return best_address;
  }

  /// Whether somebody listens there: "http://127.0.0.1:40000".
  static bool is_alive(const std::string& address) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in place{};
    place.sin_family = AF_INET;
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    place.sin_port = htons(static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
    const bool is_there = ::connect(fd, reinterpret_cast<sockaddr*>(&place), sizeof place) == 0;
    ::close(fd);
    return is_there;
  }

  std::mutex mutex_;
  std::map<std::string, Worker> workers_;
  JsonServer server_;
};

}  // namespace ecso::test
