#pragma once

#include <ecso/calibrate/labelled_items.hpp>
#include <ecso/core/conversation.hpp>
#include <ecso/core/policy.hpp>

#include <filesystem>
#include <stop_token>
#include <string>

namespace ecso::command {

/// Labelled items and where they come from.
struct ItemsFile {
  LabelledItems read;
  std::string name;              ///< For people.
  std::filesystem::path folder;  ///< Where relative paths of images start.

  /// The chat of an item, its image read.
  /// @throws Error (bad_input) that names the data, the line and the image.
  [[nodiscard]] Conversation chat(const LabelledItem& item) const;
};

/// Reads items; from standard input for "-", and for an empty name those that come with ecso.
/// @throws Error (bad_input) that names file and line, also of an item that the policy does not take or whose image cannot be
/// read.
[[nodiscard]] ItemsFile read_items(const std::string& file, const Policy& policy, const std::stop_token& stop);

}  // namespace ecso::command
