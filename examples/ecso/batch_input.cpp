#include "batch_input.hpp"

#include "query.hpp"

#include <ecso/detail/read_line.hpp>

#include <fmt/format.h>

#include <utility>

namespace ecso::command {

namespace {

constexpr std::size_t max_line_bytes = std::size_t{4} * 1024 * 1024;

std::vector<std::string> image_files(const detail::JsonReader& in) {
  if (!in.has("image") || in.value("image").is_null()) return {};
  std::vector<std::string> files(1);
  if (in.value("image").is_array()) {
    in.read("image", files);
  } else {
    in.read("image", files.front());
  }
  return files;
}

}  // namespace

std::optional<BatchLine> BatchInput::next_id() {
  std::string text;
  while (!is_over_) {
    const detail::LineEnd end = detail::read_line(in_, text, max_line_bytes);
    is_over_ = end == detail::LineEnd::end || in_.eof();
    ++number_;
    bytes_ += text.size() + 1;
    if (text.find_first_not_of(" \t") == std::string::npos) continue;
    BatchLine line{number_, nullptr, Conversation{}};
    try {
      if (end == detail::LineEnd::too_long) throw Error{Errc::bad_input, fmt::format("longer than {} bytes", max_line_bytes)};
      json_ = detail::parse_json(text, "not usable");
      const detail::JsonReader in{json_, "line"};
      if (in.has("id")) {
        if (!in.value("id").is_string() && !in.value("id").is_number_integer())
          throw Error{Errc::bad_input, "line.id: must be a string or a whole number"};
        line.id = in.value("id");
      }
      in.allow_only({"id", "image", "query"});
    } catch (const Error& error) {
      line.content = Error{error.code(), error.message(), {.endpoint = fmt::format("line {}", number_)}};
    }
    return line;
  }
  return std::nullopt;
}

void BatchInput::read_content(BatchLine& line) const {
  try {
    const detail::JsonReader in{json_, "line"};
    std::string query;
    in.read("query", query);
    std::vector<Image> images;
    for (const std::string& file : image_files(in)) {
      const bool is_name = !file.empty() && file.find("://") == std::string::npos && !file.starts_with("data:");
      images.push_back(read_image(is_name ? (folder_ / file).string() : file));
    }
    line.content = ask(std::move(images), std::move(query));
  } catch (const Error& error) {
    line.content = Error{error.code(), error.message(), {.endpoint = fmt::format("line {}", line.number)}};
  }
}

}  // namespace ecso::command
