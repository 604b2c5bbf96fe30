#include "simulated_server.hpp"

#include "simulated_chat.hpp"

#include <ecso/core/conversation.hpp>
#include <ecso/error.hpp>

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <ctime>
#include <functional>
#include <list>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string_view>
#include <system_error>
#include <thread>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

namespace ecso::command {

namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;
using HttpRequest = http::request<http::string_body>;
using HttpResponse = http::response<http::string_body>;

std::string_view view_of(boost::beast::string_view text) { return {text.data(), text.size()}; }

/// Sleeps, but not on after a stop.
void sleep(std::chrono::nanoseconds time, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock{mutex};
  wake.wait_for(lock, stop, time, [] { return false; });
}

}  // namespace

/// The model behind the server, and how fast it answers. Thread safe.
class SimulatedServer::Model {
 public:
  explicit Model(const SimulatedServerOptions& options)
      : delay{options.delay}, words_per_second{options.words_per_second}, options_{options.model} {
    options_.latency = std::chrono::milliseconds{0};
    static_cast<void>(SimulatedBackend{options_});  // Finds a rate that is none now, not in the first request.
  }

  const std::chrono::milliseconds delay;
  const double words_per_second;

  std::vector<Reply> reply_to(const SimulatedCall& call) {
    std::vector<Reply> replies;
    SimulatedOptions options = options_;
    for (std::size_t i = 0; i < call.choices; ++i, ++options.seed) {
      SimulatedBackend model{options};
      replies.push_back(std::visit([&](const auto& request) { return model.generate(request, {}); }, call.request));
    }
    const std::int64_t cached = cached_tokens(call);
    for (Reply& reply : replies) reply.usage.cached_tokens = std::min(cached, reply.usage.prompt_tokens);
    return replies;
  }

 private:
  /// As a server with a prefix cache would have it: what an image costs is paid once.
  std::int64_t cached_tokens(const SimulatedCall& call) {
    constexpr std::int64_t tokens_an_image = 576;
    constexpr std::size_t most_images = 4096;
    const auto* vision = std::get_if<VisionRequest>(&call.request);
    if (vision == nullptr) return 0;
    const std::lock_guard lock{mutex_};
    std::int64_t tokens = 0;
    if (seen_.size() > most_images) seen_.clear();
    for (const Image& image : images_of(vision->conversation)) {
      if (!seen_.insert(std::hash<std::string_view>{}(image.bytes())).second) tokens += tokens_an_image;
    }
    return tokens;
  }

  SimulatedOptions options_;
  std::mutex mutex_;
  std::unordered_set<std::size_t> seen_;
};

class SimulatedServer::Listener {
 public:
  explicit Listener(const SimulatedServerOptions& options)
      : options_{options}, model_{std::make_shared<Model>(options)}, acceptor_{io_} {
    error_code error;
    const auto address = asio::ip::make_address(options.address, error);
    if (error) throw Error{Errc::bad_input, "simulated server: \"" + options.address + "\" is no address"};
    const tcp::endpoint endpoint{address, options.port};
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address{true}, error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    if (!error) acceptor_.non_blocking(true, error);
    if (error) {
      throw Error{Errc::unavailable, "simulated server: cannot listen on " + options.address + " port " +
                                         std::to_string(options.port) + ": " + error.message()};
    }
    endpoint_ = acceptor_.local_endpoint();
    thread_ = std::thread{[this] { accept(); }};
  }

  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  ~Listener() {
    stop_.request_stop();
    thread_.join();
    {
      const std::lock_guard lock{mutex_};
      for (Connection& connection : connections_) {
        if (!connection.is_over) ::shutdown(connection.socket.native_handle(), SHUT_RDWR);
      }
    }
    for (Connection& connection : connections_) connection.thread.join();
  }

  void change(const SimulatedServerOptions& options) {
    auto model = std::make_shared<Model>(options);
    const std::lock_guard lock{mutex_};
    model_.swap(model);
  }

  [[nodiscard]] std::uint16_t port() const noexcept { return endpoint_.port(); }

  [[nodiscard]] std::string url() const {
    const std::string address = endpoint_.address().to_string();
    const std::string host = endpoint_.address().is_v6() ? "[" + address + "]" : address;
    return "http://" + host + ":" + std::to_string(port()) + "/v1";
  }

  [[nodiscard]] std::size_t requests() const noexcept { return requests_; }

 private:
  struct Connection {
    explicit Connection(tcp::socket accepted) : socket{std::move(accepted)} {}

    tcp::socket socket;
    boost::beast::flat_buffer buffer = {};
    bool is_over = false;  ///< Under `mutex_`: its socket is closed and its thread about to end.
    std::thread thread = {};
  };

  void accept() {
    constexpr std::chrono::milliseconds look_again{50};
    while (!stop_.stop_requested()) {
      if (!has_place()) {
        sleep(look_again, stop_.get_token());
        continue;
      }
      pollfd ready{acceptor_.native_handle(), POLLIN, 0};
      if (::poll(&ready, 1, static_cast<int>(look_again.count())) <= 0) continue;
      error_code error;
      tcp::socket socket = acceptor_.accept(io_, error);
      if (error) continue;
      socket.set_option(tcp::no_delay{true}, error);
      const std::lock_guard lock{mutex_};
      Connection& connection = connections_.emplace_back(std::move(socket));
      try {
        connection.thread = std::thread{[this, &connection] { serve(connection); }};
      } catch (const std::system_error&) {
        connections_.pop_back();  // No thread to be had: the client finds its connection closed.
      }
    }
  }

  bool has_place() {
    const std::lock_guard lock{mutex_};
    for (auto connection = connections_.begin(); connection != connections_.end();) {
      if (!connection->is_over) {
        ++connection;
        continue;
      }
      connection->thread.join();
      connection = connections_.erase(connection);
    }
    return connections_.size() < options_.max_connections;
  }

  void serve(Connection& connection) {
    try {
      while (!stop_.stop_requested() && serve_one(connection)) {}
    } catch (const std::exception&) {
      // A client that goes away, or a stop.
    }
    const std::lock_guard lock{mutex_};
    error_code ignored;
    connection.socket.close(ignored);
    connection.is_over = true;
  }

  /// @return whether another request may follow
  bool serve_one(Connection& connection) {
    if (connection.buffer.size() == 0) {
      pollfd ready{connection.socket.native_handle(), POLLIN, 0};
      if (::poll(&ready, 1, static_cast<int>(options_.idle_timeout.count())) <= 0) return false;
    }
    http::request_parser<http::string_body> parser;
    constexpr std::uint32_t max_header_bytes = 64 * 1024;
    parser.header_limit(max_header_bytes);
    parser.body_limit(options_.max_body_bytes);
    error_code error;
    http::read_header(connection.socket, connection.buffer, parser, error);
    if (!error && boost::beast::iequals(parser.get()[http::field::expect], "100-continue")) {
      http::response<http::empty_body> go_on{http::status::continue_, parser.get().version()};
      http::write(connection.socket, go_on);
    }
    if (!error) http::read(connection.socket, connection.buffer, parser, error);
    if (error) return refuse(connection, parser.get(), error);
    ++requests_;
    answer(connection, parser.get());
    return parser.get().keep_alive();
  }

  /// @return false: after a request that cannot be read there is no telling where the next begins
  bool refuse(Connection& connection, const HttpRequest& request, const error_code& error) {
    const bool is_readable = error.category() == http::make_error_code(http::error::bad_method).category();
    if (!is_readable || error == http::error::end_of_stream || error == http::error::partial_message) return false;
    ++requests_;
    const auto status = error == http::error::header_limit ? http::status::request_header_fields_too_large
                        : error == http::error::body_limit ? http::status::payload_too_large
                                                           : http::status::bad_request;
    HttpResponse response = make(request, status, simulated_error(ChatApi::openai, static_cast<int>(status), error.message()));
    response.keep_alive(false);
    send(connection, response);
    return false;
  }

  static HttpResponse make(const HttpRequest& request, http::status status, std::string body) {
    HttpResponse response{status, request.version(), std::move(body)};
    response.set(http::field::content_type, "application/json");
    response.keep_alive(request.keep_alive());
    response.prepare_payload();
    return response;
  }

  static void send(Connection& connection, HttpResponse& response) { http::write(connection.socket, response); }

  void answer(Connection& connection, const HttpRequest& request) {
    const std::string_view path = view_of(request.target()).substr(0, view_of(request.target()).find('?'));
    const auto finish = [&](http::status status, std::string body) {
      HttpResponse response = make(request, status, std::move(body));
      send(connection, response);
    };
    const bool is_post = request.method() == http::verb::post;
    if (is_post && path == "/v1/chat/completions") return chat(connection, request, ChatApi::openai);
    if (is_post && path == "/v1/messages") return chat(connection, request, ChatApi::anthropic);
    if (request.method() == http::verb::get && path == "/v1/models") return finish(http::status::ok, simulated_models());
    if (request.method() == http::verb::get && path == "/health") return finish(http::status::ok, R"({"status":"ok"})");
    finish(http::status::not_found, simulated_error(ChatApi::openai, 404, "the simulated server has no such path"));
  }

  void chat(Connection& connection, const HttpRequest& request, ChatApi api) {
    const auto fail = [&](http::status status, std::string_view message) {
      HttpResponse response = make(request, status, simulated_error(api, static_cast<int>(status), message));
      send(connection, response);
    };
    const std::shared_ptr<Model> model = current_model();
    std::optional<SimulatedCall> call;
    std::vector<Reply> replies;
    try {
      call = read_simulated_call(api, request.body());
      replies = model->reply_to(*call);
    } catch (const Error& error) {
      return fail(error.code() == Errc::bad_input ? http::status::bad_request : http::status::internal_server_error,
                  error.what());
    }
    sleep(model->delay, stop_.get_token());
    if (stop_.stop_requested()) return;
    const SimulatedResponse response{
        (api == ChatApi::openai ? "chatcmpl-simulated-" : "msg_simulated_") + std::to_string(++next_id_),
        static_cast<long>(std::time(nullptr))};
    if (call->stream)
      return stream(connection, request, simulated_events(api, *call, replies, response), model->words_per_second);
    HttpResponse whole = make(request, http::status::ok, simulated_body(api, replies, response));
    send(connection, whole);
  }

  std::shared_ptr<Model> current_model() {
    const std::lock_guard lock{mutex_};
    return model_;
  }

  void stream(Connection& connection, const HttpRequest& request, const std::vector<SimulatedEvent>& events,
              double words_per_second) {
    http::response<http::empty_body> header{http::status::ok, request.version()};
    header.set(http::field::content_type, "text/event-stream");
    header.set(http::field::cache_control, "no-cache");
    header.keep_alive(request.keep_alive());
    header.chunked(true);
    http::response_serializer<http::empty_body> serializer{header};
    http::write_header(connection.socket, serializer);
    const std::chrono::duration<double> pause{words_per_second > 0 ? 1 / words_per_second : 0};
    std::string together;
    const auto flush = [&] {
      if (!together.empty()) asio::write(connection.socket, http::make_chunk(asio::buffer(together)));
      together.clear();
    };
    for (const SimulatedEvent& event : events) {
      if (event.is_word && pause.count() > 0) {
        flush();
        sleep(std::chrono::duration_cast<std::chrono::nanoseconds>(pause), stop_.get_token());
        if (stop_.stop_requested()) throw Error{Errc::cancelled, "stopped"};
      }
      together += event.text;
    }
    flush();
    asio::write(connection.socket, http::make_chunk_last());
  }

  const SimulatedServerOptions options_;
  std::shared_ptr<Model> model_;  ///< Under `mutex_`.
  std::stop_source stop_;
  asio::io_context io_;
  tcp::acceptor acceptor_;
  tcp::endpoint endpoint_;
  std::mutex mutex_;
  std::list<Connection> connections_;
  std::atomic<std::size_t> requests_ = 0;
  std::atomic<std::size_t> next_id_ = 0;
  std::thread thread_;
};

SimulatedServer::SimulatedServer(const SimulatedServerOptions& options) : listener_{std::make_unique<Listener>(options)} {}
SimulatedServer::~SimulatedServer() = default;

void SimulatedServer::change(const SimulatedServerOptions& options) { listener_->change(options); }
std::uint16_t SimulatedServer::port() const noexcept { return listener_->port(); }
std::string SimulatedServer::url() const { return listener_->url(); }
std::size_t SimulatedServer::requests() const noexcept { return listener_->requests(); }

}  // namespace ecso::command
