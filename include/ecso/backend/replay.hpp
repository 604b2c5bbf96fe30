#pragma once

#include <ecso/core/backend.hpp>
#include <ecso/core/request.hpp>
#include <ecso/core/request_json.hpp>
#include <ecso/core/step_requests.hpp>
#include <ecso/detail/cassette.hpp>
#include <ecso/detail/cassette_difference.hpp>
#include <ecso/detail/json.hpp>
#include <ecso/detail/read_line.hpp>
#include <ecso/error.hpp>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <istream>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

namespace ecso {

/// Gives again what `RecordBackend` wrote down, without the model: the reply, or the error, of the same request. A request
/// recorded several times is answered in that order; its last answer repeats. Has the capabilities of the recorded model, so that
/// the same is asked. Thread safe.
///
///     ecso::ReplayBackend model{"run.jsonl"};
///     ecso::EcsoPipeline pipeline{model};
class ReplayBackend final : public MllmBackend {
 public:
  /// Reads the whole file.
  /// @throws Error (bad_input) that names file and line if it is no cassette.
  explicit ReplayBackend(const std::filesystem::path& file) : name_{file.string()} {
    std::error_code ignored;
    if (std::filesystem::is_directory(file, ignored))
      throw Error{Errc::bad_input, "is a folder, not a recording", {.endpoint = name_}};
    std::ifstream in{file, std::ios::binary};
    if (!in) throw Error{Errc::bad_input, "the recording cannot be opened for reading", {.endpoint = name_}};
    read(in);
  }

  /// Reads the stream to its end; `name` stands for it in errors.
  /// @throws Error (bad_input) that names the line if it is no cassette.
  explicit ReplayBackend(std::istream& in, std::string name = "cassette") : name_{std::move(name)} { read(in); }

  /// @throws Error (bad_input) for a request that was not recorded, saying how it differs from the most similar one; the recorded
  /// error.
  [[nodiscard]] Reply generate(const VisionRequest& request, const CallContext& /*context*/) override { return find(request); }
  [[nodiscard]] Reply generate(const TextRequest& request, const CallContext& /*context*/) override { return find(request); }

  /// Those of the recorded model.
  [[nodiscard]] Capabilities capabilities() const override { return *capabilities_; }

 private:
  using Answer = std::variant<Reply, Error>;

  struct Exchange {
    detail::Json request;
    std::vector<Answer> answers;
    std::size_t next = 0;
  };

  Reply find(const ModelRequest& request) {
    const detail::Json asked = to_json(request);
    const std::lock_guard lock{mutex_};
    const auto found = exchanges_.find(detail::cassette_key(asked));
    if (found == exchanges_.end()) throw not_recorded(request, asked);
    Exchange& exchange = found->second;
    const Answer& answer = exchange.answers[exchange.next];
    if (exchange.next + 1 < exchange.answers.size()) ++exchange.next;
    if (const auto* error = std::get_if<Error>(&answer)) throw Error{*error};
    return std::get<Reply>(answer);
  }

  [[nodiscard]] Error not_recorded(const ModelRequest& request, const detail::Json& asked) const {
    std::vector<const detail::Json*> recorded;
    recorded.reserve(exchanges_.size());
    for (const auto& [key, exchange] : exchanges_) recorded.push_back(&exchange.request);
    const Step step = options_of(request).step;
    return Error{Errc::bad_input,
                 "this request was not recorded; its prompt is " + detail::quote_beginning(prompt_of(request)) + "; " +
                     detail::nearest_difference(asked, recorded),
                 {.step = step, .endpoint = name_}};
  }

  void read(std::istream& in) {
    std::string line;
    detail::LineEnd end{};
    for (std::size_t number = 1; end != detail::LineEnd::end; ++number) {
      end = detail::read_line(in, line, detail::max_cassette_line_bytes);
      const std::string where = "line " + std::to_string(number);
      if (end == detail::LineEnd::too_long)
        throw bad(where + " is longer than " + std::to_string(detail::max_cassette_line_bytes) + " bytes");
      if (line.empty()) continue;
      try {
        read_line(detail::parse_json(line, where), where);
      } catch (const Error& error) {
        throw bad(error.message());
      }
    }
    if (!capabilities_) throw bad("is no recording: it has no line with the model's capabilities");
  }

  void read_line(const detail::Json& json, const std::string& where) {
    const detail::JsonReader in{json, where};
    int schema = 0;
    in.read("schema", schema);
    if (schema != detail::cassette_schema) {
      throw bad(in.at("schema") + ": is " + std::to_string(schema) + "; this version reads " +
                std::to_string(detail::cassette_schema));
    }
    if (in.has("capabilities")) return read_capabilities(in);
    if (!capabilities_) throw bad(where + ": a call before the line with the model's capabilities");
    std::string key;
    in.read("key", key);
    Step step{};
    in.object("request").object("options").read("step", step, detail::all_steps);
    Exchange& exchange = exchanges_[key];
    exchange.request = in.value("request");
    if (in.has("error")) {
      exchange.answers.emplace_back(error_from_json(in.value("error"), in.at("error")));
    } else {
      exchange.answers.emplace_back(reply_from_json(in.value("reply"), in.at("reply")));
    }
  }

  void read_capabilities(const detail::JsonReader& in) {
    const Capabilities able = capabilities_from_json(in.value("capabilities"), in.at("capabilities"));
    if (capabilities_ && *capabilities_ != able)
      throw bad(in.at("capabilities") + ": differ from those before; these are recordings of two models");
    capabilities_ = able;
  }

  [[nodiscard]] Error bad(std::string message) const { return Error{Errc::bad_input, std::move(message), {.endpoint = name_}}; }

  std::string name_;
  std::optional<Capabilities> capabilities_;
  std::mutex mutex_;
  std::map<std::string, Exchange> exchanges_;
};

}  // namespace ecso
