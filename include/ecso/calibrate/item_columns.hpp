#pragma once

#include <ecso/calibrate/labelled_item.hpp>
#include <ecso/detail/json.hpp>
#include <ecso/detail/text.hpp>
#include <ecso/error.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace ecso {

/// Whose columns a file of labelled items has.
enum class ItemLayout { ecso, beavertails, xstest };

[[nodiscard]] constexpr std::string_view to_string(ItemLayout layout) noexcept {
  switch (layout) {
    case ItemLayout::ecso: return "ecso";
    case ItemLayout::beavertails: return "BeaverTails";
    case ItemLayout::xstest: return "XSTest";
  }
  return "unknown";
}

namespace detail {

/// The value of a column: text where the file is CSV, which has no other type, or JSON.
using ItemField = std::variant<std::string, Json>;
using ItemFields = std::vector<std::pair<std::string, ItemField>>;

struct LayoutColumns {
  ItemLayout layout;
  std::vector<std::string_view> needed;
  std::vector<std::string_view> known;  ///< Beside those.
};

[[nodiscard]] inline const std::array<LayoutColumns, 3>& layout_columns() {
  static const std::array<LayoutColumns, 3> columns{
      LayoutColumns{ItemLayout::ecso, {"query", "answer", "harmful"}, {"id", "image", "language", "kind"}},
      LayoutColumns{ItemLayout::beavertails, {"prompt", "response", "is_safe"}, {"id", "category"}},
      LayoutColumns{
          ItemLayout::xstest,
          {"prompt", "completion", "final_label"},
          {"id", "type", "label", "focus", "note", "annotation_1", "annotation_2", "agreement", "gpt4_label", "strmatch_label"}}};
  return columns;
}

[[nodiscard]] inline const ItemField* find_field(const ItemFields& fields, std::string_view name) {
  const auto found = std::ranges::find(fields, name, &ItemFields::value_type::first);
  return found == fields.end() ? nullptr : &found->second;
}

/// The layout whose columns these are.
/// @throws Error (bad_input) that names the column that is missing or unknown.
[[nodiscard]] inline ItemLayout layout_of_columns(std::span<const std::string> names) {
  const auto has = [&](std::string_view name) { return std::ranges::find(names, name) != names.end(); };
  const LayoutColumns* nearest = nullptr;
  std::ptrdiff_t most = 0;
  for (const LayoutColumns& columns : layout_columns()) {
    const std::ptrdiff_t matches = std::ranges::count_if(columns.needed, has);
    if (matches > most) {
      nearest = &columns;
      most = matches;
    }
  }
  if (nearest == nullptr) {
    const bool is_split_elsewhere = names.size() == 1 && names.front().find_first_of(";\t") != std::string::npos;
    throw Error{Errc::bad_input,
                fmt::format("no known columns: wanted are query, answer, harmful; or prompt, response, is_safe (BeaverTails); or "
                            "prompt, completion, final_label, type (XSTest){}",
                            is_split_elsewhere ? "; fields are parted by commas" : "")};
  }
  for (const std::string_view needed : nearest->needed) {
    if (has(needed)) continue;
    const bool has_prompts_alone = has("prompt") && !has("completion") && !has("response");
    throw Error{Errc::bad_input,
                has_prompts_alone
                    ? std::string{"it has prompts but no answers (response or completion), which are what is checked"}
                    : fmt::format("{}: missing, which {}'s layout has", needed, to_string(nearest->layout))};
  }
  for (const std::string& name : names) {
    if (std::ranges::find(nearest->needed, name) != nearest->needed.end()) continue;
    if (std::ranges::find(nearest->known, name) != nearest->known.end()) continue;
    throw Error{Errc::bad_input, fmt::format("{}: unknown column; {}'s layout has {}, {}", name, to_string(nearest->layout),
                                             fmt::join(nearest->needed, ", "), fmt::join(nearest->known, ", "))};
  }
  return nearest->layout;
}

[[nodiscard]] inline ItemLayout layout_of(const ItemFields& fields) {
  std::vector<std::string> names;
  for (const auto& [name, value] : fields) names.push_back(name);
  return layout_of_columns(names);
}

/// @throws Error (bad_input) for a header that is no layout's, or has a column twice.
inline void check_columns(std::span<const std::string> names, std::size_t line) {
  std::set<std::string_view> seen;
  try {
    for (const std::string& name : names) {
      if (!seen.insert(name).second) throw Error{Errc::bad_input, fmt::format("{}: the column stands there twice", name)};
    }
    static_cast<void>(layout_of_columns(names));
  } catch (const Error& error) {
    throw Error{Errc::bad_input, fmt::format("line {}: {}", line, error.message())};
  }
}

/// The members of an object on a line of JSON.
/// @throws Error (bad_input) if it is none, or has a key twice.
[[nodiscard]] inline ItemFields item_fields_of_json(std::string_view line) {
  std::set<std::string> seen;
  std::string twice;
  const auto look = [&](int depth, Json::parse_event_t event, Json& value) {
    if (depth > max_json_depth) throw Error{Errc::bad_input, "JSON is nested too deep"};
    if (depth == 1 && event == Json::parse_event_t::key && !seen.insert(value.get<std::string>()).second)
      twice = value.get<std::string>();
    return true;
  };
  Json json;
  try {
    json = Json::parse(line.begin(), line.end(), look);
  } catch (const Json::parse_error& error) {
    throw Error{Errc::bad_input, "not JSON at byte " + std::to_string(error.byte)};
  } catch (const Json::exception&) {
    throw Error{Errc::bad_input, "not JSON"};
  }
  if (!json.is_object()) throw Error{Errc::bad_input, "not an object"};
  if (!twice.empty()) throw Error{Errc::bad_input, twice + ": the key stands there twice"};
  ItemFields fields;
  for (const auto& [key, value] : json.items()) fields.emplace_back(key, ItemField{value});
  return fields;
}

/// The text of a column.
[[nodiscard]] inline std::string text_field(const ItemFields& fields, std::string_view name) {
  const ItemField& field = *find_field(fields, name);
  if (const auto* text = std::get_if<std::string>(&field)) return *text;
  const Json& json = std::get<Json>(field);
  if (!json.is_string()) throw Error{Errc::bad_input, fmt::format("{}: must be a string", name)};
  return json.get<std::string>();
}

/// The same where it may be left out, or null.
[[nodiscard]] inline std::string text_field_or_none(const ItemFields& fields, std::string_view name) {
  const ItemField* field = find_field(fields, name);
  if (field == nullptr) return {};
  const auto* json = std::get_if<Json>(field);
  if (json != nullptr && json->is_null()) return {};
  if (json != nullptr && name == "id" && json->is_number_integer()) return json->dump();
  return text_field(fields, name);
}

/// A label: true or false, in CSV in any case, or 1 or 0.
[[nodiscard]] inline bool boolean_field(const ItemFields& fields, std::string_view name) {
  const ItemField& field = *find_field(fields, name);
  std::string said;
  if (const auto* json = std::get_if<Json>(&field)) {
    if (json->is_boolean()) return json->get<bool>();
    said = json->is_number_integer() ? json->dump() : std::string{};
    if (said.empty()) {
      const bool is_quoted = json->is_string() && (*json == "true" || *json == "false");
      throw Error{Errc::bad_input,
                  fmt::format("{}: must be true or false{}", name, is_quoted ? ", without quotation marks" : "")};
    }
  } else {
    said = lower_ascii(std::get<std::string>(field));
  }
  if (said == "true" || said == "1") return true;
  if (said == "false" || said == "0") return false;
  throw Error{Errc::bad_input, fmt::format("{}: must be true or false, or 1 or 0", name)};
}

/// Whether an XSTest prompt asks for harm: by its label, else by its type.
[[nodiscard]] inline bool is_unsafe_prompt(const ItemFields& fields) {
  if (find_field(fields, "label") != nullptr) {
    const std::string label = text_field(fields, "label");
    if (label != "safe" && label != "unsafe") throw Error{Errc::bad_input, "label: must be safe or unsafe"};
    return label == "unsafe";
  }
  if (find_field(fields, "type") == nullptr)
    throw Error{Errc::bad_input, "type: missing, and so is label; one of them tells whether the prompt asks for harm"};
  return text_field(fields, "type").starts_with("contrast_");
}

/// Whether an XSTest completion is harmful; none for a partial refusal.
[[nodiscard]] inline std::optional<bool> xstest_label(const ItemFields& fields) {
  const std::string label = text_field(fields, "final_label");
  if (label.starts_with("3_") || label == "partial_refusal") return std::nullopt;
  const bool complied = label.starts_with("1_") || label == "full_compliance" || label == "compliance";
  const bool refused = label.starts_with("2_") || label == "full_refusal" || label == "refusal";
  if (!complied && !refused)
    throw Error{Errc::bad_input, "final_label: must be 1_full_compliance, 2_full_refusal or 3_partial_refusal"};
  return complied && is_unsafe_prompt(fields);
}

/// The item of a record; none if its label says neither, or, of others' sets, if nothing was answered.
/// @throws Error (bad_input) naming the column.
[[nodiscard]] inline std::optional<LabelledItem> item_of(ItemLayout layout, const ItemFields& fields, std::size_t line) {
  LabelledItem item;
  item.line = line;
  item.id = text_field_or_none(fields, "id");
  if (item.id.empty()) item.id = "line " + std::to_string(line);
  const bool is_own = layout == ItemLayout::ecso;
  const std::string_view answer = is_own ? "answer" : layout == ItemLayout::beavertails ? "response" : "completion";
  item.query = text_field(fields, is_own ? "query" : "prompt");
  item.answer = text_field(fields, answer);
  if (is_own) {
    item.harmful = boolean_field(fields, "harmful");
    item.image = text_field_or_none(fields, "image");
  } else if (layout == ItemLayout::beavertails) {
    item.harmful = !boolean_field(fields, "is_safe");
  } else {
    const std::optional<bool> label = xstest_label(fields);
    if (!label) return std::nullopt;
    item.harmful = *label;
  }
  if (!is_own && is_blank(item.answer)) return std::nullopt;
  if (is_blank(item.query)) throw Error{Errc::bad_input, fmt::format("{}: it is empty", is_own ? "query" : "prompt")};
  if (is_blank(item.answer)) throw Error{Errc::bad_input, fmt::format("{}: it is empty", answer)};
  return item;
}

}  // namespace detail
}  // namespace ecso
