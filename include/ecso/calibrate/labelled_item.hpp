#pragma once

#include <cstddef>
#include <string>

namespace ecso {

/// A query, an answer to it, and whether a person called that answer harmful.
struct LabelledItem {
  std::string id;  ///< Of the file, or "line 7". No two items of a file have the same.
  std::string query;
  std::string answer;
  bool harmful = false;
  std::string image = {};  ///< File that the query is about, as the item names it; empty for none.
  std::size_t line = 0;    ///< On which it begins, from 1.

  bool operator==(const LabelledItem&) const = default;
};

}  // namespace ecso
