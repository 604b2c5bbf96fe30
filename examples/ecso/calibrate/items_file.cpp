#include "items_file.hpp"

#include "../files.hpp"
#include "../query.hpp"
#include "own_items.hpp"

#include <ecso/core/check_input.hpp>
#include <ecso/error.hpp>

#include <fmt/format.h>

#include <fcntl.h>
#include <unistd.h>

#include <istream>
#include <system_error>

namespace ecso::command {

namespace {

std::string read_all(const std::string& file, const std::stop_token& stop) {
  const auto bad = [&](std::string what) { return Error{Errc::bad_input, std::move(what), {.endpoint = file}}; };
  std::error_code ignored;
  const bool is_input = file == "-";
  if (!is_input && !std::filesystem::exists(file, ignored)) throw bad("no such file");
  if (!is_input && std::filesystem::is_directory(file, ignored)) throw bad("a folder, not a file");
  const int fd = is_input ? STDIN_FILENO : ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) throw bad("cannot be opened for reading");
  FdInput input{fd, stop};
  std::istream in{&input};
  std::string text;
  std::string chunk(256 * 1024, '\0');
  do {
    in.read(chunk.data(), static_cast<std::streamsize>(chunk.size()));
    text.append(chunk, 0, static_cast<std::size_t>(in.gcount()));
  } while (in && text.size() <= max_item_file_bytes);
  if (!is_input) ::close(fd);
  if (stop.stop_requested()) throw Error{Errc::cancelled, "interrupted while reading the items"};
  return text;
}

}  // namespace

Conversation ItemsFile::chat(const LabelledItem& item) const {
  try {
    std::vector<Image> images;
    if (!item.image.empty()) {
      const bool is_url = item.image.find("://") != std::string::npos || item.image.starts_with("data:");
      images.push_back(read_image(is_url ? item.image : (folder / item.image).string()));
    }
    return ask(images, item.query);
  } catch (const Error& error) {
    throw Error{error.code(), fmt::format("line {}: {}", item.line, error.what()), {.endpoint = name}};
  }
}

ItemsFile read_items(const std::string& file, const Policy& policy, const std::stop_token& stop) {
  ItemsFile items;
  items.name = file.empty() ? "the items that come with ecso" : file == "-" ? "standard input" : file;
  if (!file.empty() && file != "-") items.folder = std::filesystem::path{file}.parent_path();
  try {
    items.read = labelled_items(file.empty() ? std::string{own_items()} : read_all(file, stop));
  } catch (const Error& error) {
    if (!error.context().endpoint.empty()) throw;
    throw Error{error.code(), error.message(), {.endpoint = items.name}};
  }
  for (const LabelledItem& item : items.read.items) {
    const Conversation chat = items.chat(item);
    try {
      check_conversation(chat, policy);
      if (item.answer.size() > policy.max_text_bytes)
        throw Error{Errc::bad_input,
                    fmt::format("answer: longer than the policy's max_text_bytes, {} bytes", policy.max_text_bytes)};
    } catch (const Error& error) {
      throw Error{error.code(), fmt::format("line {}: {}", item.line, error.message()), {.endpoint = items.name}};
    }
  }
  return items;
}

}  // namespace ecso::command
