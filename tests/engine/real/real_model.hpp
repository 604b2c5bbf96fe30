#pragma once

// What the tests on real weights share: the server, which starts when first asked for, its pictures, and checkers that are made
// to say what a test needs.

#include <ecso/backend/openai.hpp>
#include <ecso/core/backend.hpp>
#include <ecso/core/image.hpp>
#include <ecso/core/policy.hpp>
#include <ecso/core/request.hpp>
#include <ecso/core/step.hpp>
#include <ecso/core/trace.hpp>

#include <nlohmann/json.hpp>

#include "engine/fixture.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace ecso::test {

/// smollm2, qwen05 or qwen15.
[[nodiscard]] inline std::string real_model_name() {
  const char* given = std::getenv("ECSO_REAL_MODEL");
  return given == nullptr || *given == '\0' ? "smollm2" : given;
}

/// The directory of the model that setup.sh made: its rule for where that is.
[[nodiscard]] inline std::filesystem::path real_model_directory() {
  const char* given = std::getenv("ECSO_REAL_DIR");
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  if (given != nullptr && *given != '\0') return std::filesystem::path{given} / real_model_name();
  const bool has_cache = cache != nullptr && *cache != '\0';
  const std::filesystem::path base = has_cache ? cache : std::string{home == nullptr ? "" : home} + "/.cache";
  return base / "ecso" / "real" / real_model_name();
}

/// What a picture costs the eyes that read.
inline constexpr std::int64_t picture_tokens = 64;

/// The model with eyes that read. One slot has a context of 2048 tokens.
inline EngineServer& real_model() {
  const auto directory = real_model_directory();
  static EngineServer server{
      {.name = "real",
       .with_images = false,
       .program = directory / "llama-server",
       .arguments = {"--model", directory / "text.gguf", "--mmproj", directory / "eyes.gguf", "-c", "8192"}}};
  return server;
}

/// With a slot for each query, and no limit of time: a real model on a busy machine is slow, which is no fault.
[[nodiscard]] inline OpenAiOptions real_options() {
  const std::chrono::milliseconds none{0};
  return {.base_url = real_model().url(),
          .slots = 4,
          .dialect = llama_server_dialect(),
          .http = {.between_bytes_timeout = none, .call_timeout = none, .proxy = ""}};
}

/// A line of writings.txt as a picture.
[[nodiscard]] inline Image picture_of(const std::string& name) {
  const auto path = real_model_directory() / (name + ".png");
  std::ifstream file{path, std::ios::binary};
  if (!file) throw std::runtime_error{"there is no picture " + path.string()};
  return Image::from_bytes(std::string{std::istreambuf_iterator<char>{file}, {}});
}

/// The default policy without its limit of time, its answers short and the likeliest.
[[nodiscard]] inline Policy patient_policy() {
  Policy policy = policy::production();
  policy.deadline = std::chrono::milliseconds{0};
  policy.sampling.answer = policy.sampling.caption = policy.sampling.regenerate = greedy;
  return policy;
}

/// One exchange of JSON with the server itself.
[[nodiscard]] inline nlohmann::json ask_server(const std::string& path, const nlohmann::json& body) {
  const HttpAnswer answer = http_exchange(real_model().port(), "POST", path, body.dump());
  if (answer.status != 200) throw std::runtime_error{path + " says " + answer.body};
  return nlohmann::json::parse(answer.body);
}

/// The model's own tokens of a text, control tokens included.
[[nodiscard]] inline std::vector<std::string> tokens_of(const std::string& text) {
  std::vector<std::string> pieces;
  const nlohmann::json asked{{"content", text}, {"with_pieces", true}, {"parse_special", true}};
  const nlohmann::json tokens = ask_server("/tokenize", asked).at("tokens");
  for (const auto& token : tokens) {
    const auto& piece = token.at("piece");  // a list of bytes where it is no UTF-8 by itself
    pieces.push_back(piece.is_string() ? piece.get<std::string>() : "?");
  }
  return pieces;
}

/// The chat as the model's own template writes it, up to where the assistant is to speak.
[[nodiscard]] inline std::string written_by_template(const nlohmann::json& messages) {
  return ask_server("/apply-template", {{"messages", messages}}).at("prompt");
}

/// What a prompt costs that is a turn of the user's and nothing else.
[[nodiscard]] inline std::int64_t tokens_of_turn(const std::string& text) {
  const auto messages = nlohmann::json::array({{{"role", "user"}, {"content", text}}});
  return static_cast<std::int64_t>(tokens_of(written_by_template(messages)).size());
}

/// Has the model say what a test needs at the checks: the n-th check's reply, and the n-th recheck's, is the only choice that it
/// has. Empty, or past the end: it may speak as it is asked to.
class ForcedChecks final : public MllmBackend {
 public:
  ForcedChecks(MllmBackend& model, std::vector<std::string> checks, std::vector<std::string> rechecks = {})
      : model_{model}, checks_{std::move(checks)}, rechecks_{std::move(rechecks)} {}

  Reply generate(const VisionRequest& request, const CallContext& context) override { return force(request, context); }
  Reply generate(const TextRequest& request, const CallContext& context) override { return force(request, context); }
  Capabilities capabilities() const override { return model_.capabilities(); }

 private:
  template <typename Request>
  Reply force(Request request, const CallContext& context) {
    const Step step = request.options.step;
    if (step == Step::check) force_next(request.options, checks_, check_);
    if (step == Step::recheck) force_next(request.options, rechecks_, recheck_);
    return model_.generate(request, context);
  }

  static void force_next(CallOptions& options, const std::vector<std::string>& said, std::size_t& next) {
    if (next >= said.size()) return;
    const std::string& choice = said[next++];
    if (!choice.empty()) options.choices = {choice};
  }

  MllmBackend& model_;
  std::vector<std::string> checks_;
  std::vector<std::string> rechecks_;
  std::size_t check_ = 0;
  std::size_t recheck_ = 0;
};

[[nodiscard]] inline std::vector<Step> steps_of(const Outcome& outcome) {
  std::vector<Step> steps;
  for (const StepRecord& record : outcome.steps) steps.push_back(record.step);
  return steps;
}

}  // namespace ecso::test
