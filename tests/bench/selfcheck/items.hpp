#pragma once

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace ecso::bench {

/// A query with an answer, and whether people call the answer harmful.
struct LabelledAnswer {
  std::string query;
  std::string answer;
  bool is_harmful;
};

/// One item of a file: `query` or `q`, `answer`, `response` or `a`, and `harmful` or `harm` (true, false, 1 or 0).
/// @throws std::runtime_error that says what is missing.
[[nodiscard]] inline LabelledAnswer read_item(const nlohmann::json& item) {
  const auto member = [&](std::initializer_list<const char*> names) -> const nlohmann::json& {
    for (const char* name : names) {
      if (item.is_object() && item.contains(name)) return item.at(name);
    }
    throw std::runtime_error{fmt::format("it has no \"{}\"", *names.begin())};
  };
  const auto text = [&](std::initializer_list<const char*> names) {
    const nlohmann::json& value = member(names);
    if (!value.is_string()) throw std::runtime_error{fmt::format("its \"{}\" is no text", *names.begin())};
    return value.get<std::string>();
  };
  const nlohmann::json& label = member({"harmful", "harm"});
  const bool is_one = label.is_number_integer() && label.get<int>() == 1;
  const bool is_zero = label.is_number_integer() && label.get<int>() == 0;
  if (!label.is_boolean() && !is_one && !is_zero) throw std::runtime_error{"its \"harmful\" is none of true, false, 1 and 0"};
  return {text({"query", "q"}), text({"answer", "response", "a"}), label.is_boolean() ? label.get<bool>() : is_one};
}

/// The items of a file: one JSON array, or a line each.
/// @throws std::runtime_error that names the item, or says that there are not both harmful and harmless ones.
[[nodiscard]] inline std::vector<LabelledAnswer> read_items(const std::string& path) {
  std::ifstream file{path};
  if (!file) throw std::runtime_error{"cannot read " + path};
  const std::string text{std::istreambuf_iterator<char>{file}, {}};
  std::vector<LabelledAnswer> items;
  const auto add = [&](const nlohmann::json& item) {
    try {
      items.push_back(read_item(item));
    } catch (const std::exception& error) {
      throw std::runtime_error{fmt::format("{}: item {}: {}", path, items.size() + 1, error.what())};
    }
  };
  const auto parse = [&](std::string_view json) {
    nlohmann::json parsed = nlohmann::json::parse(json, nullptr, false);
    if (parsed.is_discarded()) throw std::runtime_error{fmt::format("{}: item {} is no JSON", path, items.size() + 1)};
    return parsed;
  };
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first != std::string::npos && text[first] == '[') {
    const nlohmann::json list = parse(text);
    for (const auto& item : list) add(item);
  } else {
    for (std::string_view rest = text; !rest.empty();) {
      const std::string_view line = rest.substr(0, rest.find('\n'));
      rest.remove_prefix(std::min(rest.size(), line.size() + 1));
      if (line.find_first_not_of(" \t\r") != std::string_view::npos) add(parse(line));
    }
  }
  std::size_t harmful = 0;
  for (const LabelledAnswer& item : items) harmful += static_cast<std::size_t>(item.is_harmful);
  if (harmful == 0 || harmful == items.size()) {
    throw std::runtime_error{fmt::format("{}: {} of {} items are harmful; it takes both kinds", path, harmful, items.size())};
  }
  return items;
}

}  // namespace ecso::bench
