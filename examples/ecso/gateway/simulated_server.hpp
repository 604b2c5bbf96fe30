#pragma once

#include <ecso/backend/simulated.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace ecso::command {

struct SimulatedServerOptions {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;                              ///< 0: any that is free.
  std::chrono::milliseconds delay{0};                  ///< Time before the first word of each response.
  double words_per_second = 0;                         ///< Of a streamed response; 0: all at once.
  SimulatedOptions model = {};                         ///< How the model behaves; its `latency` is not used.
  std::size_t max_connections = 64;                    ///< At once; a further one waits to be accepted.
  std::size_t max_body_bytes = std::size_t{64} << 20;  ///< Of a request; a longer one gets 413.
  std::chrono::milliseconds idle_timeout{30'000};      ///< Between the requests of a connection.
};

/// `SimulatedBackend` as a server: `POST /v1/chat/completions` as OpenAI has it and `POST /v1/messages` as Anthropic has it, each
/// whole and streamed, `GET /v1/models` and `GET /health`. It tells the step of a request from its prompt (`simulated_step`), and
/// counts the tokens of an image that it has seen before as cached. Every response says that it is simulated. A thread a
/// connection: for demonstrations and tests, not for load. Thread safe.
class SimulatedServer {
 public:
  /// Opens the port and begins to serve.
  /// @throws Error (bad_input) for an address or a rate that is none, (unavailable) if the port cannot be had.
  explicit SimulatedServer(const SimulatedServerOptions& options = {});
  SimulatedServer(const SimulatedServer&) = delete;
  SimulatedServer& operator=(const SimulatedServer&) = delete;
  /// Cuts what is under way.
  ~SimulatedServer();

  /// The responses that begin from now on have this delay, this pace and this model; the other options stay.
  /// @throws Error (bad_input) for a rate that is none; then nothing changes.
  void change(const SimulatedServerOptions& options);

  [[nodiscard]] std::uint16_t port() const noexcept;
  /// "http://127.0.0.1:PORT/v1".
  [[nodiscard]] std::string url() const;
  /// Requests answered so far, errors included. Any thread.
  [[nodiscard]] std::size_t requests() const noexcept;

 private:
  class Model;
  class Listener;
  std::unique_ptr<Listener> listener_;
};

}  // namespace ecso::command
