#pragma once

#include <ecso/calibrate/csv.hpp>
#include <ecso/calibrate/item_columns.hpp>
#include <ecso/calibrate/labelled_item.hpp>
#include <ecso/detail/json.hpp>
#include <ecso/detail/utf8.hpp>
#include <ecso/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace ecso {

/// Bounds of a file of items.
inline constexpr std::size_t max_item_file_bytes = std::size_t{256} * 1024 * 1024;
inline constexpr std::size_t max_items = 500'000;

/// What a file of items holds.
struct LabelledItems {
  std::vector<LabelledItem> items;
  ItemLayout layout = ItemLayout::ecso;
  std::size_t left_out = 0;  ///< Records of others' sets whose label says neither, as XSTest's partial refusals, or without an
                             ///< answer.
};

namespace detail {

/// Reads the objects of a JSONL file; each must have the keys of one layout, the same in all lines.
template <typename Take>
void read_item_lines(std::string_view text, Take take) {
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.find_first_not_of(" \t") == std::string_view::npos) continue;
    ItemFields fields;
    try {
      fields = item_fields_of_json(line);
    } catch (const Error& error) {
      throw Error{Errc::bad_input, fmt::format("line {}: {}", number, error.message())};
    }
    take(number, fields);
  }
}

/// Reads the records of a CSV file, whose first one names the columns.
template <typename Take>
void read_item_records(std::string_view text, Take take) {
  CsvReader reader{text};
  const auto header = reader.next();
  if (!header) return;
  check_columns(header->fields, header->line);
  while (auto record = reader.next()) {
    if (record->fields.size() != header->fields.size()) {
      throw Error{Errc::bad_input, fmt::format("line {}: {} fields, but the first line names {} columns", record->line,
                                               record->fields.size(), header->fields.size())};
    }
    ItemFields fields;
    for (std::size_t i = 0; i < record->fields.size(); ++i)
      fields.emplace_back(header->fields[i], ItemField{std::move(record->fields[i])});
    take(record->line, fields);
  }
}

/// What a file is that begins like this, where it is no text; empty if it may be one.
[[nodiscard]] inline std::string_view packed_kind(std::string_view text) {
  if (text.starts_with("\x1F\x8B")) return "packed by gzip; unpack it by gunzip";
  if (text.starts_with("\xFD"
                       "7zXZ"))
    return "packed by xz; unpack it by unxz";
  if (text.starts_with("PK\x03\x04")) return "a ZIP file or a workbook; save it as CSV";
  if (text.starts_with("PAR1")) return "a Parquet file; convert it to JSON lines";
  return {};
}

}  // namespace detail

/// Reads items from JSON lines or CSV, whichever the text is, in one of three layouts, told by their columns:
///
/// - ecso's own: `query`, `answer`, `harmful` (true or false), and if wanted `id`, `image`, `language`, `kind`;
/// - BeaverTails: `prompt`, `response`, `is_safe`, and if wanted `category`; harmful is what is not safe;
/// - XSTest's completions: `prompt`, `completion`, `final_label` and `type` or `label`, and what else its files have; harmful is
/// an
///   unsafe prompt that was complied with in full, a partial refusal is left out.
///
/// Of the last two, records whose answer is empty are left out as well.
///
/// @throws Error (bad_input) that names the line: not UTF-8, no such layout, a column twice or unknown, a label that is neither
/// true nor false, an empty query or answer, an id twice; and if there is no item, or only one kind.
[[nodiscard]] inline LabelledItems labelled_items(std::string_view text) {
  if (text.size() > max_item_file_bytes) throw Error{Errc::bad_input, fmt::format("longer than {} bytes", max_item_file_bytes)};
  if (const std::string_view kind = detail::packed_kind(text); !kind.empty()) throw Error{Errc::bad_input, std::string{kind}};
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  if (const std::size_t offset = detail::find_invalid_utf8(text); offset != std::string_view::npos) {
    const auto line = 1 + std::ranges::count(text.substr(0, offset), '\n');
    throw Error{Errc::bad_input, fmt::format("line {}: not UTF-8", line)};
  }
  LabelledItems read;
  std::unordered_map<std::string, std::size_t> lines;
  bool is_first = true;
  const auto take = [&](std::size_t line, const detail::ItemFields& fields) {
    const auto bad = [&](std::string_view what) { return Error{Errc::bad_input, fmt::format("line {}: {}", line, what)}; };
    try {
      const ItemLayout layout = detail::layout_of(fields);
      if (!std::exchange(is_first, false) && layout != read.layout)
        throw Error{Errc::bad_input,
                    fmt::format("its layout is {}'s, that of the lines before {}'s", to_string(layout), to_string(read.layout))};
      read.layout = layout;
      std::optional<LabelledItem> item = detail::item_of(layout, fields, line);
      if (!item) {
        ++read.left_out;
        return;
      }
      const auto [before, is_new] = lines.try_emplace(item->id, line);
      if (!is_new) throw Error{Errc::bad_input, fmt::format("the id \"{}\" stands on line {} already", item->id, before->second)};
      if (read.items.size() == max_items) throw Error{Errc::bad_input, fmt::format("more than {} items", max_items)};
      read.items.push_back(*std::move(item));
    } catch (const Error& error) {
      throw bad(error.message());
    }
  };
  const std::size_t begin = text.find_first_not_of(" \t\r\n");
  const char first = begin == std::string_view::npos ? '\0' : text[begin];
  if (first == '[') throw Error{Errc::bad_input, "line 1: a JSON array; write one object a line (jq -c '.[]')"};
  if (first == '{') {
    detail::read_item_lines(text, take);
  } else if (begin != std::string_view::npos) {
    detail::read_item_records(text, take);
  }
  if (read.items.empty()) throw Error{Errc::bad_input, "it has no items"};
  const auto harmful = static_cast<std::size_t>(std::ranges::count(read.items, true, &LabelledItem::harmful));
  if (harmful == 0 || harmful == read.items.size()) {
    throw Error{Errc::bad_input, fmt::format("all of its {} items are {}; a calibration needs both kinds", read.items.size(),
                                             harmful == 0 ? "benign" : "harmful")};
  }
  return read;
}

}  // namespace ecso
