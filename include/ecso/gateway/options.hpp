#pragma once

#include <ecso/backend/openai_dialect.hpp>
#include <ecso/core/policy.hpp>
#include <ecso/gateway/client_chat.hpp>
#include <ecso/secret.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ecso::gateway {

/// A server that answers; or that checks, where a policy names it by `Policy::check_upstream`: such a one answers clients only
/// for routes that name it, is asked by chat completions whatever the client speaks, and never gets a client's key or headers.
struct UpstreamOptions {
  std::string name = "default";  ///< For routes, metrics and logs.
  std::string url;               ///< http:// or https://, up to and including "/v1" where the server has it.
  Secret key = {};             ///< Sent in place of the client's; empty: the client's goes on if the gateway itself has no keys.
  OpenAiDialect dialect = {};  ///< What checks may ask of it.
  /// Of one that a policy's checks name: the model that these ask for where the policy names none; empty: they name none.
  std::string check_model = {};
  std::optional<bool> check_vision = std::nullopt;  ///< Of such a one: false if it takes no images; not set: it is shown them.
  std::string ca_file = {};                         ///< PEM file of the only certificates to trust; empty: the system's.
  bool verify_certificate = true;
  std::chrono::milliseconds connect_timeout{10'000};        ///< Name, connection and TLS together.
  std::chrono::milliseconds first_byte_timeout{300'000};    ///< From the last byte sent to the first of the response.
  std::chrono::milliseconds between_bytes_timeout{60'000};  ///< Once the response has begun.
  std::size_t max_connections = 1024;                       ///< At once, of all threads; further calls wait.
  /// Calls for answers, checks and captions at once, of all threads; the others wait, and whoever has begun is finished first. At
  /// most `max_connections`. 0: as many as the server works on at once (`slots`); where it does not say, what turns out to do
  /// best; where `Bounds::max_in_flight` is set, as many as there are connections.
  std::size_t max_in_flight = 0;
  std::size_t slots = 0;                          ///< Calls that the server works on at once, as it says; 0: it does not.
  std::size_t first_in_flight = 8;                ///< Where the search begins for what does best.
  std::chrono::milliseconds idle_timeout{4'000};  ///< A kept connection is not used again after that; llama-server closes at 5 s.
  std::chrono::milliseconds down_time{5'000};     ///< How long a server that could not be reached is tried last.

  bool operator==(const UpstreamOptions&) const = default;
};

/// Who answers a model's requests, and how they are protected. The first route whose `model` matches is taken.
struct Route {
  std::string model = "*";                    ///< Exact name, or with one "*" at its end.
  std::vector<std::string> upstreams = {};    ///< Names, in order of preference; empty: all.
  std::shared_ptr<const Policy> policy = {};  ///< Null: the gateway's.
};

/// How a streamed answer leaves.
enum class StreamMode {
  hold,    ///< Whole, once it is verified.
  window,  ///< Piece by piece, each once a check of everything up to and beyond it has passed.
};

/// What becomes of a stream of which something has left when the rest turns out harmful.
enum class OnHarm {
  stop,     ///< It ends as one that a content filter cut.
  replace,  ///< A blank line and the repaired answer follow, then it ends.
  end,      ///< It ends with an error.
};

/// Bounds on clients. Zero times and counts mean none, where not said otherwise.
struct Bounds {
  std::size_t max_header_bytes = 16 * 1024;
  std::size_t max_body_bytes = std::size_t{64} << 20;
  /// Of all requests' bodies together, and as much again of all answers. A body waits unread until there is room; meanwhile one
  /// that comes so slowly that `body_timeout` will cut it is cut at once.
  std::size_t max_buffered_bytes = std::size_t{256} << 20;
  std::size_t max_connections = 16'384;  ///< A further client waits to be accepted.
  /// Requests that have calls under way or wait for their turn to make one. 0: 4,096, and each upstream gets as many calls as do
  /// it good. Any other number sets both: no upstream holds its calls back then, but for a `max_in_flight` of its own.
  std::size_t max_in_flight = 0;
  std::size_t max_queued = 16'384;  ///< Requests that wait for one of those places; more get 429.
  /// From the first byte of a request to the end of its header; of a connection's first request, from its beginning.
  std::chrono::milliseconds header_timeout{10'000};
  std::chrono::milliseconds body_timeout{60'000};
  std::chrono::milliseconds idle_timeout{75'000};   ///< Between requests.
  std::chrono::milliseconds write_timeout{60'000};  ///< For each 16 KiB that a client takes of its response.
  std::chrono::milliseconds queue_timeout{30'000};
  /// Of one key; where there are no keys, of one address, or of one network of 64 bits in IPv6. 0: no limit.
  double requests_per_second = 0;
  double burst = 0;  ///< Requests above the rate at once; 0: as many as the rate, at least 1.
};

/// What may be set request by request, by headers.
struct Overrides {
  bool policy = false;       ///< `x-ecso-policy`: the name of one of `Options::policies`.
  bool stream_mode = false;  ///< `x-ecso-stream`: hold or window.
};

/// One client that may come in.
struct ClientKey {
  std::string name;    ///< For logs and metrics; never the key.
  std::string sha256;  ///< Of the key, lower-case hexadecimal.
};

/// What a gateway is to do. Its values are checked by `Gateway`.
struct Options {
  std::string address = "127.0.0.1";
  std::uint16_t port = 8800;          ///< 0: any.
  std::size_t threads = 0;            ///< 0: one a core.
  std::string certificate_file = {};  ///< PEM chain to serve TLS with; empty: plain HTTP.
  std::string private_key_file = {};
  std::vector<UpstreamOptions> upstreams = {};
  std::vector<Route> routes = {};  ///< None: every model goes to all upstreams.
  std::shared_ptr<const Policy> policy = std::make_shared<const Policy>();
  std::vector<std::shared_ptr<const Policy>> policies = {};  ///< That `x-ecso-policy` may name.
  Overrides overrides = {};
  ChatLimits chat = {};
  /// Whether checks may take clients' system turns for orders, as `Policy::system_turns` has it. Else they see them as quoted
  /// data.
  bool trust_system_turns = false;
  StreamMode stream = StreamMode::hold;
  std::size_t lookahead_bytes = 64;  ///< `window`: what a check must have seen beyond a piece before that leaves.
  OnHarm on_harm = OnHarm::stop;
  std::chrono::milliseconds keep_alive{5'000};  ///< Between comments of a stream that holds.
  /// A stream that has waited so long for its upstream begins all the same, and an error comes as its last event; 0: never.
  std::chrono::milliseconds begin_after{10'000};
  Bounds bounds = {};
  std::vector<ClientKey> keys = {};               ///< Empty: everybody may come in.
  std::vector<std::string> allowed_origins = {};  ///< CORS; empty: none. "*" allows all.
  /// Serve `/` and `/v1/ecso/protect`, whose traces show withheld answers. Not set: only on a loopback address, and only to
  /// requests that name one as their host and that no proxy has passed on.
  std::optional<bool> page = std::nullopt;
  bool simulated = false;                           ///< The upstream is the simulated model; said wherever it shows.
  std::chrono::milliseconds drain_timeout{30'000};  ///< For requests under way when the gateway is told to end.
};

}  // namespace ecso::gateway
