// What the ways to save work cost and save on a real llama-server: the pipeline's own calls, with answers and verdicts of our
// choice, as a model with random weights has none.
//
//   engine_bench [--full]
//
// By default with a small text model that sees 324 tokens an image; --full takes one of 576, large enough for the time of a
// prompt to be seen: half an hour with a server built for this CPU, hours with the baseline one that setup.sh unpacks. Wall times
// are those of a machine that may do other things too.

#include <ecso/backend/openai.hpp>
#include <ecso/core/backend.hpp>
#include <ecso/core/policy.hpp>
#include <ecso/core/protocol.hpp>
#include <ecso/drive/run_batch.hpp>
#include <ecso/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "engine/server.hpp"
#include "support/image_bytes.hpp"

namespace {

using namespace ecso;

constexpr int server_slots = 4;
// What the server spells, a token or so a letter.
constexpr std::string_view answer_text = "The picture shows a street with a shop, two cars and a blue sky.";
constexpr std::string_view caption_text = "A street, a shop and two cars.";
constexpr std::string_view regenerated_text = "It says what the shop sells.";

/// One way to save work, beside what the one before it does.
struct Mode {
  const char* name;
  bool has_cache = true;
  bool is_image_last = false;
  bool leases_slots = false;
  Speculation speculation = Speculation::none;
  std::vector<int> incremental_check = {};
};

std::vector<Mode> all_modes() {
  return {{.name = "no reuse", .has_cache = false},
          {.name = "image last", .is_image_last = true},
          {.name = "image first"},
          {.name = "leased slots", .leases_slots = true},
          {.name = "  + speculation", .leases_slots = true, .speculation = Speculation::caption},
          {.name = "  + incremental check", .leases_slots = true, .incremental_check = {16}}};
}

/// The queries that one figure is taken from.
struct Load {
  int at_once;
  int queries;
  bool is_harmful;
};

/// Has the server make each call, but lets it spell a text of ours, and puts the verdict of ours in the place of its own.
class ForcedBackend final : public MllmBackend {
 public:
  ForcedBackend(MllmBackend& model, const Mode& mode, const Load& load) : model_{model}, mode_{mode}, load_{load} {}

  Reply generate(const VisionRequest& request, const CallContext& context) override {
    VisionRequest asked = request;
    if (mode_.is_image_last) {
      for (Message& message : asked.conversation.messages) {
        std::stable_partition(message.parts.begin(), message.parts.end(),
                              [](const Part& part) { return std::holds_alternative<std::string>(part); });
      }
    }
    return force(std::move(asked), context);
  }
  Reply generate(const TextRequest& request, const CallContext& context) override { return force(request, context); }

  /// With as many slots as queries are to be at work at once, which is how drivers count.
  Capabilities capabilities() const override {
    Capabilities capabilities = model_.capabilities();
    capabilities.slots = mode_.leases_slots ? std::min(load_.at_once, server_slots) : load_.at_once;
    return capabilities;
  }

 private:
  template <typename Request>
  Reply force(Request request, const CallContext& context) {
    CallOptions& options = request.options;
    switch (options.step) {
      case Step::answer: options.choices = {std::string{answer_text}}; break;
      case Step::caption: options.choices = {std::string{caption_text}}; break;
      case Step::regenerate: options.choices = {std::string{regenerated_text}}; break;
      case Step::check:
      case Step::recheck: break;
    }
    Reply reply = model_.generate(request, context);
    if (asks_for_verdict(options.step)) {
      reply.text = options.step == Step::check && load_.is_harmful ? "yes" : "no";
      reply.logprobs.clear();
      reply.finish_reason = FinishReason::stop;
    }
    return reply;
  }

  MllmBackend& model_;
  const Mode& mode_;
  const Load& load_;
};

/// A counter of the server, which also counts calls that were broken off.
double metric(const test::EngineServer& server, std::string_view name) {
  const std::string text = test::http_exchange(server.port(), "GET", "/metrics").body;
  const std::string line = fmt::format("\nllamacpp:{} ", name);
  const std::size_t at = text.find(line);
  if (at == std::string::npos) throw std::runtime_error{fmt::format("the server's metrics have no {}", name)};
  return std::strtod(text.c_str() + at + line.size(), nullptr);
}

struct Figure {
  double evaluated;  ///< Prompt tokens a query.
  double generated;  ///< Tokens a query.
  double ms;         ///< Wall time a query.
};

Figure measure(const test::EngineServer& server, const Mode& mode, const Load& load) {
  static int images = 0;
  OpenAiOptions options{.base_url = server.url(),
                        .slots = mode.leases_slots ? server_slots : 0,
                        .dialect = llama_server_dialect(),
                        .http = {.proxy = ""}};
  options.dialect.extra = {{"cache_prompt", mode.has_cache}};
  OpenAiBackend model{options};
  ForcedBackend backend{model, mode, load};

  Policy policy = policy::production();
  policy.speculation = mode.speculation;
  policy.incremental_check = mode.incremental_check;
  policy.sampling.answer = policy.sampling.regenerate = policy.sampling.caption = {.temperature = 0.0};
  const auto shared = std::make_shared<const Policy>(policy);

  int made = 0;
  const auto next = [&]() -> std::optional<EcsoProtocol> {
    if (made++ == load.queries) return std::nullopt;
    const std::string name = fmt::format("image {}", ++images);
    Image image = Image::from_bytes(test::png_bytes(40, 30, name));
    return EcsoProtocol{ask({std::move(image)}, fmt::format("What does the sign of {} say?", name)), shared,
                        backend.capabilities()};
  };
  std::vector<Outcome> outcomes;
  const double evaluated = metric(server, "prompt_tokens_total");
  const double generated = metric(server, "tokens_predicted_total");
  const auto start = std::chrono::steady_clock::now();
  run_batch(next, backend,
            [&](std::size_t /*index*/, EcsoProtocol protocol) { outcomes.push_back(std::move(protocol).outcome()); },
            // A query may have two calls under way: the answer, and a caption or a check of what there is of it.
            {.max_in_flight = static_cast<std::size_t>(2 * load.at_once)});
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
  for (const Outcome& outcome : outcomes) {
    if (outcome.path == (load.is_harmful ? Path::eyes_closed : Path::direct)) continue;
    throw std::runtime_error{fmt::format("{}: a query ended {}: {}", mode.name, to_string(outcome.path),
                                         outcome.error ? outcome.error->what() : outcome.text)};
  }
  return {(metric(server, "prompt_tokens_total") - evaluated) / load.queries,
          (metric(server, "tokens_predicted_total") - generated) / load.queries, took.count() / load.queries};
}

/// The model of a size, made if it is not there yet. Nothing if it cannot be made.
std::optional<std::filesystem::path> model_of_size(const std::string& size) {
  namespace fs = std::filesystem;
  const fs::path maker = fs::path{ECSO_TESTS} / "engine" / "make_tiny_model.py";
  const fs::path directory = test::engine_directory() / ("model-" + size);
  const fs::path made = directory / "mmproj.gguf";
  if (fs::exists(made) && (!fs::exists(maker) || fs::last_write_time(made) >= fs::last_write_time(maker))) return directory;
  const auto quoted = [](const fs::path& path) { return "'" + path.string() + "'"; };
  const fs::path draft = directory.string() + ".new";
  fs::remove_all(draft);
  if (std::system(("python3 " + quoted(maker) + " " + quoted(draft) + " " + size).c_str()) != 0) return std::nullopt;
  fs::remove_all(directory);
  fs::rename(draft, directory);
  return directory;
}

/// A directory for the server's log that is gone at the end.
class Scratch {
 public:
  Scratch() {
    std::string name = (std::filesystem::temp_directory_path() / "ecso-engine-bench.XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error{"cannot make " + name};
    path_ = name;
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
};

void compare(const test::EngineServer& server) {
  fmt::print("{:<22} {:>7} {:<8} {:>9} {:>6} {:>10} {:>9} {:>6}\n", "", "queries", "", "evaluated", "", "generated", "ms a", "");
  fmt::print("{:<22} {:>7} {:<8} {:>9} {:>6} {:>10} {:>9} {:>6}\n", "mode", "at once", "query", "a query", "ratio", "a query",
             "query", "ratio");
  const std::vector<Mode> modes = all_modes();
  for (const bool is_harmful : {false, true}) {
    for (const int at_once : {1, 4, 8}) {
      const Load load{.at_once = at_once, .queries = at_once, .is_harmful = is_harmful};
      std::optional<Figure> no_reuse;
      for (const Mode& mode : modes) {
        const Figure figure = measure(server, mode, load);
        if (!no_reuse) no_reuse = figure;
        fmt::print("{:<22} {:>7} {:<8} {:>9.0f} {:>6.2f} {:>10.0f} {:>9.0f} {:>6.2f}\n", mode.name, at_once,
                   is_harmful ? "harmful" : "benign", figure.evaluated, figure.evaluated / no_reuse->evaluated, figure.generated,
                   figure.ms, figure.ms / no_reuse->ms);
        std::fflush(stdout);
      }
    }
  }
}

int run(bool is_full) {
  if (!std::filesystem::exists(test::engine_directory() / "llama-server")) {
    fmt::print("skipped: no llama-server; tests/engine/setup.sh gets one\n");
    return EXIT_SUCCESS;
  }
  const auto model = model_of_size(is_full ? "big" : "mid");
  if (!model) {
    fmt::print("skipped: no python3 to make the model with\n");
    return EXIT_SUCCESS;
  }
  const Scratch scratch;
  // The host's cache keeps what a slot forgets: without it, what is measured is the slots.
  const test::EngineServer server{
      {.name = (scratch.path() / "server").string(),
       .arguments = {"--model", *model / "text.gguf", "--mmproj", *model / "mmproj.gguf", "--metrics", "--cache-ram", "0"}}};
  const Mode plain{.name = "warm up"};
  static_cast<void>(measure(server, plain, {.at_once = 1, .queries = 1, .is_harmful = true}));
  fmt::print("{} model, {} tokens an image, one thread, {} slots; answers of {} bytes, checked at 16 tokens if incremental\n",
             is_full ? "big" : "mid", is_full ? 576 : 324, server_slots, answer_text.size());
  compare(server);
  return EXIT_SUCCESS;
}

}  // namespace

int main(int argc, char** argv) {
  const bool is_full = argc == 2 && std::string_view{argv[1]} == "--full";
  if (argc > 1 && !is_full) {
    fmt::print(stderr, "usage: engine_bench [--full]\n");
    return 64;
  }
  try {
    return run(is_full);
  } catch (const std::exception& error) {
    fmt::print(stderr, "engine_bench: {}\n", error.what());
    return EXIT_FAILURE;
  }
}
