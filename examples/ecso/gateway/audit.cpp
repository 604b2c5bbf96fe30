#include "audit.hpp"

#include "json_line.hpp"

#include <ecso/core/conversation.hpp>
#include <ecso/core/step.hpp>
#include <ecso/core/trace.hpp>
#include <ecso/detail/sha256.hpp>

#include <fmt/format.h>

#include <exception>
#include <utility>
#include <variant>
#include <vector>

namespace ecso::command {

namespace {

/// The texts of a choice, by what became of them.
struct Texts {
  std::vector<std::string_view> rejected;
  std::vector<std::string_view> captions;
};

Texts texts_of(const Outcome& outcome) {
  Texts texts;
  for (const StepRecord& step : outcome.steps) {
    if (step.error) continue;
    if (step.step == Step::answer || step.step == Step::regenerate) texts.rejected.push_back(step.reply);
    if (step.step == Step::caption) texts.captions.push_back(step.reply);
  }
  // The last answer of one that was repaired is the one that left.
  if (outcome.path == Path::eyes_closed && !texts.rejected.empty()) texts.rejected.pop_back();
  return texts;
}

/// Writes texts, or their hashes under another name.
class TextWriter {
 public:
  TextWriter(JsonLine& line, bool content) : line_{line}, content_{content} {}

  void text(std::string_view name, std::string_view value) const {
    if (content_) {
      line_.member(name, value);
    } else {
      line_.member(fmt::format("{}_sha256", name), detail::sha256_hex(value));
    }
  }

  void texts(std::string_view name, const std::vector<std::string_view>& values) const {
    line_.begin_array(content_ ? std::string{name} : fmt::format("{}_sha256", name));
    for (const std::string_view value : values) content_ ? line_.element(value) : line_.element(detail::sha256_hex(value));
    line_.end();
  }

 private:
  JsonLine& line_;
  bool content_;
};

void write_messages(JsonLine& line, const Conversation& conversation) {
  line.begin_array("messages");
  for (const Message& message : conversation.messages) {
    line.begin_object().member("role", to_string(message.role)).member("text", message.text());
    line.begin_array("images");
    for (const Part& part : message.parts) {
      if (const auto* image = std::get_if<Image>(&part)) line.element(image->sha256());
    }
    line.end().end();
  }
  line.end();
}

void write_verdicts(JsonLine& line, const Outcome& outcome) {
  line.begin_array("verdicts");
  for (const StepRecord& step : outcome.steps) {
    if (!step.verdict) continue;
    line.begin_object().member("step", to_string(step.step)).member("round", step.round);
    line.member("verdict", to_string(*step.verdict));
    if (step.p_harmful) line.fraction("p_harmful", *step.p_harmful);
    if (step.doubt != Doubt::none) line.member("doubt", to_string(step.doubt)).member("reason", step.reason);
    if (!step.category.empty()) line.member("category", step.category);
    if (step.early) line.flag("early", true);
    line.end();
  }
  line.end();
}

}  // namespace

std::string audit_line(const gateway::RequestRecord& record, std::size_t choice, std::chrono::system_clock::time_point time,
                       bool content) {
  const Outcome& outcome = *record.outcomes[choice];
  JsonLine line;
  line.member("schema", audit_schema).member("time", rfc3339(time)).member("id", record.id).member("choice", choice);
  if (!record.client.empty()) line.member("client", record.client);
  line.member("model", record.model).member("upstream", record.upstream).member("policy", outcome.policy);
  if (!record.checker.empty()) line.member("checker", record.checker);
  line.member("path", to_string(outcome.path));
  line.begin_array("images");
  if (record.conversation != nullptr) {
    for (const Image& image : images_of(*record.conversation)) line.element(image.sha256());
  }
  line.end();
  write_verdicts(line, outcome);
  const TextWriter writer{line, content};
  const Texts texts = texts_of(outcome);
  if (record.conversation != nullptr) {
    writer.text("query", query_of(*record.conversation));
    if (content && record.conversation->messages.size() > 1) write_messages(line, *record.conversation);
  }
  writer.texts("rejected", texts.rejected);
  writer.texts("captions", texts.captions);
  writer.text("released", outcome.text);
  return std::move(line).finish();
}

Audit::Audit(const AuditSettings& settings, std::function<void(std::string_view message)> tell)
    : file_{settings.file},
      content_{settings.content},
      tell_{std::move(tell)},
      writer_{{.file = settings.file, .mode = 0600}, [this](std::size_t lines, std::string_view why) { lose(lines, why); }} {}

void Audit::request(const gateway::RequestRecord& record) {
  for (std::size_t i = 0; i < record.outcomes.size(); ++i) {
    const Path path = record.outcomes[i]->path;
    if (path != Path::eyes_closed && path != Path::refused && path != Path::stopped) continue;
    try {
      writer_.write(audit_line(record, i, std::chrono::system_clock::now(), content_));
    } catch (const std::exception& error) {
      lose(1, error.what());
    }
  }
}

void Audit::lose(std::size_t lines, std::string_view why) {
  const std::size_t lost = lost_ += lines;
  constexpr std::chrono::minutes silence{1};
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  std::int64_t until = silent_until_;
  if (now.count() < until ||
      !silent_until_.compare_exchange_strong(until, std::chrono::steady_clock::duration{now + silence}.count()))
    return;
  tell_(fmt::format("{}: lines of the audit cannot be written: {}; {} lost so far", file_, why, lost));
}

}  // namespace ecso::command
