#include "batch_output.hpp"

#include "exit_code.hpp"

#include <ecso/core/trace_json.hpp>
#include <ecso/detail/read_line.hpp>

#include <fmt/format.h>

#include <cstdint>
#include <filesystem>
#include <iostream>
#include <system_error>

namespace ecso::command {

BatchOutput::BatchOutput(const std::string& file, bool resume)
    : name_{file.empty() ? "standard output" : file}, out_{&std::cout} {
  if (file.empty()) return;
  std::error_code error;
  const std::uintmax_t size = std::filesystem::is_regular_file(file, error) ? std::filesystem::file_size(file, error) : 0;
  if (size > 0 && !resume) {
    throw UsageError{fmt::format("--output: {} has something in it; go on with it by --resume, or name another file", file)};
  }
  if (size > 0) read_done(file);
  file_.open(file, std::ios::binary | std::ios::app);
  if (!file_) throw WriteError{fmt::format("{} cannot be opened for writing", name_)};
  out_ = &file_;
}

void BatchOutput::read_done(const std::string& file) {
  constexpr std::size_t max_line_bytes = std::size_t{256} * 1024 * 1024;
  std::ifstream stream{file, std::ios::binary};
  if (!stream) throw Error{Errc::bad_input, "cannot be opened for reading", {.endpoint = file}};
  std::string text;
  for (std::size_t number = 1;; ++number) {
    const auto begin = stream.tellg();
    const detail::LineEnd end = detail::read_line(stream, text, max_line_bytes);
    if (end == detail::LineEnd::end) {
      // What is left of a line that was being written when the process ended.
      if (!text.empty()) std::filesystem::resize_file(file, static_cast<std::uintmax_t>(begin));
      return;
    }
    try {
      const detail::Json json = detail::parse_json(text, "no outcome");
      std::string path;
      const detail::JsonReader in{json, "no outcome"};
      in.read("path", path);
      std::size_t line = 0;
      in.read("line", line);
      if (path != to_string(Path::failed)) done_.insert(key_of(in.value("id"), line));
    } catch (const Error& error) {
      throw Error{Errc::bad_input,
                  error.message() + "; is it the output of a batch?",
                  {.endpoint = fmt::format("{}, line {}", file, number)}};
    }
  }
}

std::string BatchOutput::key_of(const detail::Json& id, std::size_t line) {
  return id.is_null() ? "line " + std::to_string(line) : detail::dump_json(id);
}

void BatchOutput::write(const detail::Json& id, std::size_t line, const Outcome& outcome) {
  detail::Json json{{"id", id}, {"line", line}};
  json.update(to_json(outcome));
  *out_ << detail::dump_json(json) << '\n' << std::flush;
  if (!*out_) throw WriteError{fmt::format("{} cannot be written", name_)};
}

}  // namespace ecso::command
