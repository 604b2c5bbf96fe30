#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ecso {

/// For how long what was learned of a model holds, and for how many.
struct LearningOptions {
  std::chrono::milliseconds good_for = std::chrono::minutes{10};  ///< Then the model is asked as at first.
  std::size_t max_models = 256;                                   ///< The oldest is forgotten for one more.
  /// Of a clock that tests can move.
  std::function<std::chrono::steady_clock::time_point()> now = std::chrono::steady_clock::now;
};

/// How the models of a server have turned out to be asked: each by itself, so that what one refuses changes nothing for another.
/// Thread safe; for all threads that ask the server.
template <typename Dialect>
class LearnedDialects {
 public:
  explicit LearnedDialects(Dialect first, LearningOptions options = {})
      : first_{std::move(first)}, options_{std::move(options)} {}

  /// How to ask a model now.
  /// @param model empty for a server's own.
  [[nodiscard]] Dialect of(std::string_view model) const {
    const std::lock_guard lock{mutex_};
    const auto known = models_.find(model);
    return known == models_.end() || is_over(known->second) ? first_ : known->second.dialect;
  }

  /// Whether a model has answered a request of that shape: what it refuses later is refused for another reason.
  /// @param shape a bit for each optional field, as the caller counts them.
  [[nodiscard]] bool has_answered(std::string_view model, unsigned shape) const {
    const std::lock_guard lock{mutex_};
    const auto known = models_.find(model);
    return known != models_.end() && !is_over(known->second) &&
           std::ranges::find(known->second.shapes, shape) != known->second.shapes.end();
  }

  /// A model has answered a request of that shape, asked in that way. A name of more than 256 bytes is not kept.
  void learn(std::string_view model, unsigned shape, const Dialect& dialect) {
    constexpr std::size_t longest_name = 256;
    if (model.size() > longest_name || options_.max_models == 0) return;
    const std::lock_guard lock{mutex_};
    const auto now = options_.now();
    auto known = models_.find(model);
    if (known != models_.end() && is_over(known->second)) {
      models_.erase(known);
      known = models_.end();
    }
    if (known == models_.end()) {
      if (models_.size() >= options_.max_models) forget_oldest();
      known = models_.emplace(std::string{model}, Known{dialect, {}, now}).first;
    }
    known->second.dialect = dialect;
    auto& shapes = known->second.shapes;
    if (std::ranges::find(shapes, shape) == shapes.end()) shapes.push_back(shape);
  }

 private:
  struct Known {
    Dialect dialect;
    std::vector<unsigned> shapes;
    std::chrono::steady_clock::time_point since;
  };

  [[nodiscard]] bool is_over(const Known& known) const { return options_.now() - known.since >= options_.good_for; }

  void forget_oldest() {
    const auto is_older = [](const auto& a, const auto& b) { return a.second.since < b.second.since; };
    models_.erase(std::ranges::min_element(models_, is_older));
  }

  Dialect first_;
  LearningOptions options_;
  mutable std::mutex mutex_;
  std::map<std::string, Known, std::less<>> models_;
};

}  // namespace ecso
