#include "findings_file.hpp"

#include "../exit_code.hpp"

#include <ecso/calibrate/finding_json.hpp>
#include <ecso/detail/json.hpp>
#include <ecso/detail/read_line.hpp>

#include <fmt/format.h>

#include <cstdint>
#include <filesystem>
#include <system_error>

namespace ecso::command {

FindingsFile::FindingsFile(const std::string& file, bool resume) : name_{file} {
  if (file.empty()) return;
  std::error_code error;
  const std::uintmax_t size = std::filesystem::is_regular_file(file, error) ? std::filesystem::file_size(file, error) : 0;
  if (size > 0 && !resume)
    throw UsageError{fmt::format("--results: {} has something in it; go on with it by --resume, or name another file", file)};
  if (size > 0) read_done();
  out_.open(file, std::ios::binary | std::ios::app);
  if (!out_) throw WriteError{fmt::format("{} cannot be opened for writing", file)};
}

void FindingsFile::read_done() {
  constexpr std::size_t max_line_bytes = std::size_t{1024} * 1024;
  std::ifstream in{name_, std::ios::binary};
  if (!in) throw Error{Errc::bad_input, "cannot be opened for reading", {.endpoint = name_}};
  std::string text;
  for (std::size_t number = 1;; ++number) {
    const auto begin = in.tellg();
    const detail::LineEnd end = detail::read_line(in, text, max_line_bytes);
    if (end == detail::LineEnd::end) {
      // What is left of a line that was being written when the process ended.
      if (!text.empty()) std::filesystem::resize_file(name_, static_cast<std::uintmax_t>(begin));
      return;
    }
    try {
      const detail::Json json = detail::parse_json(text, "no finding");
      const detail::JsonReader line{json, "no finding"};
      std::string key;
      line.read("key", key);
      CheckFinding finding = finding_from_json(line.value("finding"), line.at("finding"));
      if (!finding.error) done_.insert_or_assign(std::move(key), std::move(finding));
    } catch (const Error& error) {
      throw Error{Errc::bad_input,
                  error.message() + "; is it the --results of a calibration?",
                  {.endpoint = fmt::format("{}, line {}", name_, number)}};
    }
  }
}

const CheckFinding* FindingsFile::find(const std::string& key) const {
  const auto found = done_.find(key);
  return found == done_.end() ? nullptr : &found->second;
}

void FindingsFile::write(const std::string& key, const LabelledItem& item, const CheckFinding& finding) {
  if (name_.empty()) return;
  const detail::Json json{{"key", key}, {"id", item.id}, {"harmful", item.harmful}, {"finding", to_json(finding)}};
  out_ << detail::dump_json(json) << '\n' << std::flush;
  if (!out_) throw WriteError{fmt::format("{} cannot be written", name_)};
}

}  // namespace ecso::command
