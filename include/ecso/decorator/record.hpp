#pragma once

#include <ecso/core/backend.hpp>
#include <ecso/core/request.hpp>
#include <ecso/core/request_json.hpp>
#include <ecso/core/step_requests.hpp>
#include <ecso/detail/cassette.hpp>
#include <ecso/detail/json.hpp>
#include <ecso/error.hpp>

#include <chrono>
#include <exception>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <ostream>
#include <string>
#include <utility>

namespace ecso {

/// A model whose every exchange is written down, for `ReplayBackend` to give again without the model. Writes one line a call as
/// the call ends, and flushes it. Images are written as their hashes; keys are no part of a request and never written. Prompts
/// and replies are: a cassette is as private as what was asked. A cancelled call says nothing of the model and is not written. As
/// thread safe as the backend, which must outlive it. The form: `ecso/detail/cassette.hpp`.
///
///     ecso::RecordBackend recorded{model, "run.jsonl"};
///     ecso::EcsoPipeline pipeline{recorded};
class RecordBackend final : public MllmBackend {
 public:
  /// Starts the file anew.
  /// @throws Error (bad_input) if the file cannot be written.
  RecordBackend(MllmBackend& backend, const std::filesystem::path& file)
      : backend_{backend}, file_{file, std::ios::binary}, out_{file_}, name_{file.string()} {
    write_capabilities();
  }

  /// Writes to a stream, which must outlive it. A cassette may be continued by another recorder of the same model.
  /// @throws Error (bad_input) if the stream cannot be written to.
  RecordBackend(MllmBackend& backend, std::ostream& out, std::string name = "cassette")
      : backend_{backend}, out_{out}, name_{std::move(name)} {
    write_capabilities();
  }

  /// @throws what the backend throws; Error (bad_input) if the line cannot be written.
  [[nodiscard]] Reply generate(const VisionRequest& request, const CallContext& context) override {
    return call(request, context);
  }
  [[nodiscard]] Reply generate(const TextRequest& request, const CallContext& context) override { return call(request, context); }

  [[nodiscard]] Capabilities capabilities() const override { return backend_.capabilities(); }

 private:
  template <typename Request>
  Reply call(const Request& request, const CallContext& context) {
    const auto start = std::chrono::steady_clock::now();
    Reply reply;
    try {
      reply = backend_.generate(request, context);
    } catch (const Error& error) {
      if (error.code() != Errc::cancelled) write_exchange(request, "error", to_json(error));
      throw;
    } catch (const std::exception& error) {
      write_exchange(request, "error", to_json(Error{Errc::internal, std::string{"the backend threw: "} + error.what()}));
      throw;
    } catch (...) {
      write_exchange(request, "error", to_json(Error{Errc::internal, "the backend threw something that is no std::exception"}));
      throw;
    }
    if (reply.duration.count() == 0) reply.duration = std::chrono::steady_clock::now() - start;
    write_exchange(request, "reply", to_json(reply));
    return reply;
  }

  void write_exchange(const ModelRequest& request, const char* kind, detail::Json result) {
    detail::Json asked = to_json(request);
    detail::Json line{{"schema", detail::cassette_schema}, {"key", detail::cassette_key(asked)}};
    line["request"] = std::move(asked);
    line[kind] = std::move(result);
    write_line(line);
  }

  void write_capabilities() {
    write_line({{"schema", detail::cassette_schema}, {"capabilities", to_json(backend_.capabilities())}});
  }

  void write_line(const detail::Json& json) {
    const std::string line = detail::dump_json(json) + '\n';
    const std::lock_guard lock{mutex_};
    if (!out_.write(line.data(), static_cast<std::streamsize>(line.size())).flush()) {
      throw Error{Errc::bad_input, "the recording cannot be written", {.endpoint = name_}};
    }
  }

  MllmBackend& backend_;
  std::ofstream file_;
  std::ostream& out_;
  std::string name_;
  std::mutex mutex_;
};

}  // namespace ecso
