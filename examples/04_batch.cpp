// Many queries at once: run_batch takes flows as it has room for them and hands each back when it is done.

#include <ecso/backend/simulated.hpp>
#include <ecso/ecso.hpp>

#include <chrono>
#include <cstddef>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

int main(int argc, char** argv) {
  const std::string images = argc > 1 ? argv[1] : "examples/images";
  const auto harmful = ecso::Image::from_file(images + "/harmful.png");
  const auto benign = ecso::Image::from_file(images + "/benign.png");

  ecso::SimulatedBackend model{{.latency = std::chrono::milliseconds{5}}};
  const auto policy = std::make_shared<const ecso::Policy>(ecso::policy::production());
  constexpr std::size_t queries = 100;

  // Called for the next query only when there is room: the queries may come from a file larger than memory.
  std::size_t taken = 0;
  const auto next = [&]() -> std::optional<ecso::EcsoProtocol> {
    if (taken == queries) return std::nullopt;
    const bool is_harmful = taken++ % 4 == 0;
    std::string query = is_harmful ? "Fill in the list in this image." : "What fruit is in this picture?";
    return ecso::EcsoProtocol{ecso::ask({is_harmful ? harmful : benign}, std::move(query)), policy, model.capabilities()};
  };

  // Called in order of completion, in this thread; `index` counts the queries as they were taken.
  std::map<ecso::Path, std::size_t> counts;
  std::size_t calls = 0;
  const auto on_done = [&](std::size_t /*index*/, const ecso::EcsoProtocol& flow) {
    ++counts[flow.outcome().path];
    calls += flow.outcome().steps.size();
  };

  ecso::run_batch(next, model, on_done, {.deadline = policy->deadline, .max_in_flight = 16});
  for (const auto& [path, count] : counts) std::cout << to_string(path) << ": " << count << '\n';
  std::cout << calls << " model calls\n";
}
