#pragma once

#include <ecso/detail/json.hpp>

#include <nlohmann/json.hpp>

#include <string>
#include <utility>
#include <vector>

namespace ecso::detail::gateway {

/// The lists of models of several upstreams as one; of one upstream, its own bytes.
[[nodiscard]] inline std::string merged_model_lists(std::vector<std::string> bodies) {
  if (bodies.size() == 1) return std::move(bodies.front());
  nlohmann::ordered_json merged{{"object", "list"}, {"data", nlohmann::ordered_json::array()}};
  for (const std::string& body : bodies) {
    const auto list = nlohmann::ordered_json::parse(body, nullptr, false);
    if (!list.is_object() || !list.contains("data") || !list["data"].is_array()) continue;
    for (const auto& model : list["data"]) merged["data"].push_back(model);
  }
  return dump_json(merged);
}

}  // namespace ecso::detail::gateway
