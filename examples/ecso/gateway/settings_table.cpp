#include "settings_table.hpp"

#include "../exit_code.hpp"
#include "../printing.hpp"
#include "../values.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace ecso::command {

SettingsTable::SettingsTable(const detail::Json& json, std::string file, std::string path)
    : json_{&json}, file_{std::move(file)}, path_{std::move(path)} {
  if (!json.is_object()) throw UsageError{fmt::format("{}: {}: must be a table", one_line(file_), one_line(path_))};
}

void SettingsTable::read(std::string_view key, std::string& out) {
  const auto* json = find(key);
  if (json == nullptr) return;
  if (!json->is_string()) fail(key, "must be a text");
  out = json->get<std::string>();
}

void SettingsTable::read(std::string_view key, bool& out) {
  const auto* json = find(key);
  if (json == nullptr) return;
  if (!json->is_boolean()) fail(key, "must be true or false");
  out = json->get<bool>();
}

void SettingsTable::read(std::string_view key, double& out, double least, double most) {
  const auto* json = find(key);
  if (json == nullptr) return;
  const double number = json->is_number() ? json->get<double>() : least - 1;
  if (!(number >= least && number <= most)) fail(key, fmt::format("must be a number from {} to {}", least, most));
  out = number;
}

void SettingsTable::read(std::string_view key, std::vector<std::string>& out) {
  const auto* json = find(key);
  if (json == nullptr) return;
  const auto is_text = [](const detail::Json& item) { return item.is_string(); };
  if (!json->is_array() || !std::ranges::all_of(*json, is_text)) fail(key, "must be an array of texts");
  out = json->get<std::vector<std::string>>();
}

void SettingsTable::read(std::string_view key, std::size_t& out, std::size_t least, std::size_t most) {
  const auto* json = find(key);
  if (json == nullptr) return;
  if (!json->is_number_integer()) fail(key, fmt::format("must be a whole number from {} to {}", least, most));
  out = parse_number(json->dump(), at(key), least, most);
}

void SettingsTable::read_or_auto(std::string_view key, std::size_t& out, std::size_t most) {
  const auto* json = find(key);
  if (json == nullptr) return;
  if (*json == "auto") {
    out = 0;
  } else if (json->is_number_integer()) {
    out = parse_number(json->dump(), at(key), 1, most);
  } else {
    fail(key, fmt::format("must be \"auto\" or a whole number from 1 to {}", most));
  }
}

void SettingsTable::read(std::string_view key, std::chrono::milliseconds& out) {
  std::string text;
  if (find_number_or_text(key, text) != nullptr) out = parse_duration(text, at(key));
}

void SettingsTable::read_size(std::string_view key, std::size_t& out) {
  std::string text;
  if (find_number_or_text(key, text) != nullptr) out = parse_size(text, at(key));
}

SettingsTable SettingsTable::table(std::string_view key) {
  static const detail::Json empty = detail::Json::object();
  const auto* json = find(key);
  return {json == nullptr ? empty : *json, file_, path_.empty() ? std::string{key} : fmt::format("{}.{}", path_, key)};
}

std::vector<SettingsTable> SettingsTable::tables(std::string_view key) {
  std::vector<SettingsTable> tables;
  const auto* json = find(key);
  if (json == nullptr) return tables;
  if (!json->is_array()) fail(key, fmt::format("must be an array of tables, [[{}]]", key));
  for (const auto& item : *json) tables.emplace_back(item, file_, fmt::format("{}[{}]", key, tables.size()));
  return tables;
}

const detail::Json* SettingsTable::find(std::string_view key) {
  if (std::ranges::find(known_, key) == known_.end()) known_.emplace_back(key);
  const auto found = json_->find(key);
  return found == json_->end() ? nullptr : &*found;
}

std::vector<std::string> SettingsTable::keys() const {
  std::vector<std::string> keys;
  for (const auto& [key, value] : json_->items()) keys.push_back(key);
  return keys;
}

std::string SettingsTable::at(std::string_view key) const {
  return one_line(path_.empty() ? fmt::format("{}: {}", file_, key) : fmt::format("{}: {}.{}", file_, path_, key));
}

void SettingsTable::finish() const {
  for (const auto& [key, value] : json_->items()) {
    if (std::ranges::find(known_, key) == known_.end())
      fail(key, fmt::format("unknown key; known are {}", fmt::join(known_, ", ")));
  }
}

void SettingsTable::fail(std::string_view key, std::string_view what) const {
  throw UsageError{fmt::format("{}: {}", at(key), what)};
}

const detail::Json* SettingsTable::find_number_or_text(std::string_view key, std::string& text) {
  const auto* json = find(key);
  if (json == nullptr) return nullptr;
  if (!json->is_string() && !json->is_number()) fail(key, "must be a text or a number");
  text = json->is_string() ? json->get<std::string>() : json->dump();
  return json;
}

}  // namespace ecso::command
