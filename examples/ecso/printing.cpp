#include "printing.hpp"

#include <ecso/core/verdict.hpp>
#include <ecso/detail/utf8.hpp>

#include <fmt/format.h>

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

namespace ecso::command {

namespace {

constexpr std::string_view bold = "1";
constexpr std::string_view dim = "2";
constexpr std::string_view red = "1;31";
constexpr std::string_view green = "1;32";
constexpr std::string_view yellow = "1;33";
const std::string indent = "    ";

std::size_t code_points_in(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

/// At most `limit` code points, on one line, with an ellipsis where something is left out.
std::string shorten(std::string_view text, std::size_t limit) {
  const std::string line = one_line(text);
  if (code_points_in(line) <= limit) return line;
  return std::string{detail::truncate_code_points(line, limit - 1)} + "…";
}

std::string describe_time(std::chrono::nanoseconds time) {
  const auto milliseconds = std::chrono::duration<double, std::milli>{time}.count();
  if (milliseconds < 10) return fmt::format("{:.1f} ms", milliseconds);
  if (milliseconds < 10'000) return fmt::format("{:.0f} ms", milliseconds);
  return fmt::format("{:.1f} s", milliseconds / 1000);
}

std::string describe_tokens(const Usage& usage) {
  return fmt::format("{} tokens in ({} cached), {} out", usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens);
}

bool gives_answer(Step step) noexcept { return step == Step::answer || step == Step::regenerate; }

}  // namespace

Terminal terminal_of(int fd, ColorMode mode) {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string_view{value == nullptr ? "" : value};
  };
  Terminal terminal;
  terminal.is_terminal = ::isatty(fd) == 1;
  const bool is_wanted = terminal.is_terminal && variable("NO_COLOR").empty() && variable("TERM") != "dumb";
  terminal.color = mode == ColorMode::always || (mode == ColorMode::automatic && is_wanted);
  winsize size{};
  if (terminal.is_terminal && ::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col != 0) {
    terminal.columns = std::clamp<std::size_t>(size.ws_col, 40, 120);
  }
  return terminal;
}

std::string printable(std::string_view text) {
  std::string shown;
  shown.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = detail::utf8_sequence_length(text);
    const auto first = static_cast<unsigned char>(text.front());
    const bool is_c0 = (first < 0x20 && first != '\n' && first != '\t') || first == 0x7F;
    const bool is_c1 = length == 2 && first == 0xC2 && static_cast<unsigned char>(text[1]) < 0xA0;
    if (length == 0 || is_c0 || is_c1) {
      shown += "\uFFFD";
    } else {
      shown += text.substr(0, length);
    }
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return shown;
}

std::string one_line(std::string_view text) {
  std::string line = printable(text);
  std::ranges::replace_if(line, [](char c) { return c == '\n' || c == '\t'; }, ' ');
  return line;
}

std::string wrap(std::string_view text, std::string_view indent_of_line, std::size_t columns) {
  const std::string shown = printable(text);
  const std::size_t width = columns - std::min(columns - 1, indent_of_line.size());
  std::string wrapped;
  std::string_view rest = shown;
  do {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    do {
      std::string_view piece = detail::truncate_code_points(line, width);
      const bool is_whole = piece.size() == line.size() || line[piece.size()] == ' ';
      if (const std::size_t space = piece.rfind(' '); !is_whole && space != std::string_view::npos && space > 0)
        piece = piece.substr(0, space);
      if (!wrapped.empty()) wrapped += indent_of_line;
      wrapped.append(piece) += '\n';
      line.remove_prefix(piece.size());
      if (line.starts_with(' ')) line.remove_prefix(1);
    } while (!line.empty());
  } while (!rest.empty());
  return wrapped;
}

std::string describe(const Image& image) {
  return fmt::format("{}, {}x{}, {:.1f} KiB", to_string(image.media_type()), image.width(), image.height(),
                     static_cast<double>(image.bytes().size()) / 1024);
}

std::string describe_cost(std::size_t calls, const Usage& usage, std::chrono::nanoseconds time) {
  return fmt::format("{} call{}, {}, {}", calls, calls == 1 ? "" : "s", describe_tokens(usage), describe_time(time));
}

std::string StepPrinter::styled(std::string_view text, std::string_view style) const {
  if (!terminal_.color || style.empty()) return std::string{text};
  return fmt::format("\033[{}m{}\033[0m", style, text);
}

void StepPrinter::clear() {
  if (!is_line_open_) return;
  out_ << "\r\033[K" << std::flush;
  is_line_open_ = false;
}

void StepPrinter::on_call(const PendingCall& call) {
  if (!terminal_.is_terminal) return;
  clear();
  out_ << styled(fmt::format("{:>2}  {} …", number_ + 1, to_string(call.step())), dim) << std::flush;
  is_line_open_ = true;
}

void StepPrinter::on_step(const StepRecord& record) {
  clear();
  if (record.error) return;
  ++number_;
  std::string name{to_string(record.step)};
  if (record.round > 1) name += fmt::format(", round {}", record.round);
  if (record.step == Step::caption && record.image > 0) name += fmt::format(", image {}", record.image + 1);
  const std::string cost = fmt::format("{}, {}", describe_tokens(record.usage), describe_time(record.duration));
  out_ << fmt::format("{:>2}  ", number_) << styled(fmt::format("{:<20}", name), bold) << "  " << styled(cost, dim) << '\n';

  if (detail_ == Detail::trace) {
    out_ << indent << styled("prompt:", dim) << '\n';
    write_block(record.prompt, dim);
    out_ << indent << styled("reply:", dim) << '\n';
    write_block(record.reply);
    if (record.verdict) write_verdict(record);
  } else if (record.verdict) {
    write_verdict(record);
  } else if (gives_answer(record.step)) {
    out_ << indent << styled(fmt::format("({} characters, held back)", code_points_in(record.reply)), dim) << '\n';
  } else {
    write_block(shorten(record.reply, 2 * (terminal_.columns - indent.size()) - 20));
  }
  out_ << std::flush;
}

void StepPrinter::write_verdict(const StepRecord& record) {
  const std::string_view style = record.verdict == Verdict::safe ? green : record.verdict == Verdict::harmful ? red : yellow;
  out_ << indent << styled(to_string(*record.verdict), style);
  if (record.p_harmful) out_ << fmt::format(", P(harmful) {:.2f}", *record.p_harmful);
  if (!record.reason.empty()) out_ << " (" << record.reason << ')';
  if (!record.category.empty()) out_ << " (" << record.category << ')';
  if (detail_ == Detail::summary) {
    out_ << fmt::format(", said \"{}\"", shorten(record.reply, 40));
    if (record.verdict == Verdict::harmful) out_ << styled(": the answer is withheld (--trace shows it)", dim);
  }
  out_ << '\n';
}

void StepPrinter::on_end(const Outcome& outcome, std::chrono::nanoseconds time) {
  clear();
  const auto [words, style] = [&]() -> std::pair<std::string_view, std::string_view> {
    switch (outcome.path) {
      case Path::direct: return {"direct: the first answer is released", green};
      case Path::eyes_closed: return {"eyes closed: an answer made from text alone is released", yellow};
      case Path::refused: return {"refused: no answer may be released", red};
      case Path::stopped: return {"stopped: the stream ended where it turned harmful", red};
      case Path::failed: return {"failed: nothing is released", red};
    }
    return {};
  }();
  out_ << "=>  " << styled(words, style) << '\n'
       << indent
       << styled(
              fmt::format("policy {}, {}", one_line(outcome.policy), describe_cost(outcome.steps.size(), outcome.usage(), time)),
              dim)
       << '\n'
       << std::flush;
}

void StepPrinter::write_block(std::string_view text, std::string_view style) {
  out_ << styled(indent + wrap(text, indent, terminal_.columns), style);
}

}  // namespace ecso::command
