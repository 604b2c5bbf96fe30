// The readers of labelled items and of findings: whatever comes, they read it or refuse it with an Error, and what they read can
// be calibrated on. And thresholds: what is chosen flags just what it says.

#include <ecso/calibrate/finding_json.hpp>
#include <ecso/calibrate/labelled_items.hpp>
#include <ecso/calibrate/policy_toml.hpp>
#include <ecso/calibrate/threshold.hpp>
#include <ecso/detail/json.hpp>
#include <ecso/detail/text.hpp>
#include <ecso/detail/utf8.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "support/reply_fuzz.hpp"

namespace {

using ecso::test::require;

void read_items(std::string_view text) {
  try {
    const ecso::LabelledItems read = ecso::labelled_items(text);
    std::set<std::string> ids;
    std::size_t line = 0;
    for (const ecso::LabelledItem& item : read.items) {
      require(!ecso::detail::is_blank(item.query) && !ecso::detail::is_blank(item.answer));
      require(ecso::detail::is_valid_utf8(item.query) && ecso::detail::is_valid_utf8(item.answer));
      require(ids.insert(item.id).second);
      require(item.line > line);
      line = item.line;
    }
    const auto harmful = std::ranges::count(read.items, true, &ecso::LabelledItem::harmful);
    require(harmful > 0 && static_cast<std::size_t>(harmful) < read.items.size());
  } catch (const ecso::Error& error) {
    require(error.code() == ecso::Errc::bad_input);
  }
}

void read_finding(std::string_view text) {
  try {
    const ecso::CheckFinding finding = ecso::finding_from_json(ecso::detail::parse_json(text, "finding"));
    require(ecso::finding_from_json(to_json(finding)) == finding);
  } catch (const ecso::Error& error) {
    require(error.code() == ecso::Errc::bad_input);
  }
}

/// A sample of a byte an item: its kind, and its score or none.
void choose(std::string_view bytes) {
  std::vector<ecso::CheckedLabel> items{{.harmful = true, .released_above = 0.5}, {.harmful = false, .released_above = 0.5}};
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    ecso::CheckedLabel item{.harmful = (byte & 1) != 0};
    if ((byte & 2) != 0) item.released_above = (byte >> 2) / 63.0;
    if ((byte & 2) == 0) item.p_harmful = (byte >> 2) / 63.0;
    items.push_back(item);
  }
  for (const double target : {0.0, 0.05, 0.5, 1.0}) {
    const ecso::ChosenThreshold chosen = ecso::choose_threshold(items, {.target_fpr = target});
    const ecso::ProbabilityRule rule{.threshold = chosen.threshold, .margin = chosen.margin};
    require(ecso::detection_at(items, rule) == chosen.detection);
    require(chosen.meets_target == (chosen.detection.fpr() <= target));
    require(chosen.threshold > 0 && chosen.threshold <= 1 && chosen.margin >= 0 && chosen.margin <= chosen.threshold / 2);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text{reinterpret_cast<const char*>(data), size};
  read_items(text);
  read_finding(text);
  choose(text.substr(0, 256));
  static_cast<void>(ecso::detail::toml_string(text));
  return 0;
}
