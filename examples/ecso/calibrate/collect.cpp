#include "collect.hpp"

#include <ecso/core/protocol_json.hpp>
#include <ecso/detail/json.hpp>
#include <ecso/detail/sha256.hpp>
#include <ecso/drive/run_batch.hpp>

#include <map>
#include <stop_token>
#include <utility>

namespace ecso::command {

namespace {

/// What a finding depends on; none of it can be read back from the key.
std::string key_of(const Collector& collector, const Policy& policy, const LabelledItem& item, const Conversation& chat) {
  detail::Json parts{fingerprint(policy), collector.backend_name, collector.model_name, item.id, item.query, item.answer};
  if (collector.warming == Warming::chat) parts.push_back("warm");
  for (const Image& image : images_of(chat)) parts.push_back(image.sha256());
  return detail::sha256_hex(detail::dump_json(parts));
}

/// Whether the next item may well fail in the same way.
bool is_of_server(const Error& error) {
  const Errc code = error.code();
  return code != Errc::bad_request && code != Errc::too_large && code != Errc::bad_input && code != Errc::unsupported;
}

/// A name and a deadline change nothing of what a check shows.
Policy without_name_and_deadline(Policy policy) {
  policy.name.clear();
  policy.deadline = {};
  return policy;
}

}  // namespace

std::vector<JudgedItem> Collector::collect(const FormToTry& form, const ItemsFile& items, const std::vector<std::size_t>& chosen,
                                           CalibrationProgress* progress, SimulationNotice* notice) const {
  const auto policy = collecting_policy(form.policy, form.form);
  const Policy keyed = without_name_and_deadline(*policy);
  std::map<std::size_t, CheckFinding> findings_by_place;
  struct Place {
    std::size_t in_chosen;
    std::string key;
  };
  std::map<std::size_t, Place> under_way;
  std::size_t started = 0;
  std::size_t next_place = 0;
  std::size_t failures_in_a_row = 0;
  bool is_any_done = false;
  std::optional<Error> gave_up;
  std::stop_source halt;
  const std::stop_callback chain{interrupt.token(), [&] { halt.request_stop(); }};

  const auto next = [&]() -> std::optional<ItemCheck> {
    for (; next_place < chosen.size(); ++next_place) {
      const LabelledItem& item = items.read.items[chosen[next_place]];
      Conversation chat = items.chat(item);
      std::string key = key_of(*this, keyed, item, chat);
      if (const CheckFinding* before = findings.find(key)) {
        findings_by_place.emplace(next_place, *before);
        if (progress != nullptr) progress->skip();
        continue;
      }
      ItemCheck check{std::move(chat), item.answer, policy, backend.capabilities(), warming};
      under_way.emplace(started++, Place{next_place++, std::move(key)});
      return check;
    }
    return std::nullopt;
  };
  const auto on_done = [&](std::size_t index, const ItemCheck& check) {
    const Place place = under_way.extract(index).mapped();
    const CheckFinding& finding = check.finding();
    if (finding.error && halt.stop_requested()) return;
    const StepRecord seen{.model = finding.model};
    if (notice != nullptr && notice->is_due(seen)) {
      if (progress != nullptr) progress->clear();
      notice->look_at(seen);
    }
    is_any_done = is_any_done || !finding.error;
    failures_in_a_row = finding.error && is_of_server(*finding.error) ? failures_in_a_row + 1 : 0;
    const std::size_t most = is_any_done ? 10 : 3;
    if (failures_in_a_row == most) {
      gave_up = finding.error;
      halt.request_stop();
    }
    findings.write(place.key, items.read.items[chosen[place.in_chosen]], finding);
    if (progress != nullptr) progress->add(finding);
    findings_by_place.emplace(place.in_chosen, finding);
  };
  run_batch(next, backend, on_done, {.stop = halt.get_token(), .deadline = form.policy.deadline, .max_in_flight = max_in_flight});
  if (gave_up && interrupt.signal() == 0) {
    if (progress != nullptr) progress->clear();
    throw *gave_up;
  }
  std::vector<JudgedItem> judged;
  for (auto& [place, finding] : findings_by_place) {
    const LabelledItem& item = items.read.items[chosen[place]];
    judged.push_back({item.id, item.harmful, std::move(finding)});
  }
  return judged;
}

}  // namespace ecso::command
