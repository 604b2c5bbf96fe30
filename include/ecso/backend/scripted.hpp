#pragma once

#include <ecso/core/backend.hpp>
#include <ecso/core/request.hpp>
#include <ecso/core/step.hpp>
#include <ecso/core/step_requests.hpp>
#include <ecso/detail/utf8.hpp>
#include <ecso/error.hpp>

#include <algorithm>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace ecso {

/// In which order the calls of a script may come.
enum class ScriptOrder {
  as_written,  ///< Each call must be the next of the script.
  any,         ///< Each call takes the first expectation that fits it.
};

/// What a `ScriptedBackend` pretends to be.
struct ScriptOptions {
  Capabilities capabilities = {};
  ScriptOrder order = ScriptOrder::as_written;
};

/// A model for tests: it knows which calls will come and what to say to each, and is loud about anything else. Write the script
/// before the first call; from then on it is thread safe.
///
///     ecso::ScriptedBackend model;
///     model.expect(ecso::Step::answer).reply("A cat.");
///     model.expect(ecso::Step::check).with_prompt("A cat.").reply("no");
///     EXPECT_EQ(ecso::EcsoPipeline{model}.run(image, "What is this?").text, "A cat.");
///     model.verify();
class ScriptedBackend final : public MllmBackend {
 public:
  /// What one line of a script does when its call comes.
  using Action = std::function<Reply(const ModelRequest&, const CallContext&)>;

  /// A line of a script: which call, and what comes of it.
  class Expectation {
   public:
    /// The text of the call's last turn contains `part`.
    Expectation& with_prompt(std::string part) {
      const std::string what = "a prompt with \"" + part + "\"";
      return where([part = std::move(part)](const ModelRequest& r) { return prompt_of(r).find(part) != std::string::npos; },
                   what);
    }

    /// The call meets a condition; `what` names it in errors.
    Expectation& where(std::function<bool(const ModelRequest&)> holds, const std::string& what = "a condition") {
      description_.append(conditions_.empty() ? " with " : " and ").append(what);
      conditions_.push_back(std::move(holds));
      return *this;
    }

    /// The line stands for `count` calls. The default is 1.
    Expectation& times(std::size_t count) noexcept {
      left_ = count;
      return *this;
    }

    /// The model says this.
    void reply(std::string text) { reply(Reply{.text = std::move(text), .finish_reason = FinishReason::stop}); }
    void reply(Reply whole) {
      run([whole = std::move(whole)](const ModelRequest&, const CallContext&) { return whole; });
    }

    /// The call throws: an `Error`, or anything else that can be copied.
    template <typename Exception>
    void fail(Exception exception) {
      run([exception = std::move(exception)](const ModelRequest&, const CallContext&) -> Reply { throw exception; });
    }

    /// The call does this, in its own thread and without a lock: it may wait for `context.stop`.
    void run(Action action) { action_ = std::move(action); }

   private:
    friend class ScriptedBackend;

    explicit Expectation(std::optional<Step> step)
        : step_{step}, description_{step ? std::string{to_string(*step)} + " call" : "any call"} {}

    [[nodiscard]] bool fits(const ModelRequest& request) const {
      const Step step = options_of(request).step;
      return (!step_ || *step_ == step) && std::ranges::all_of(conditions_, [&](const auto& holds) { return holds(request); });
    }

    std::optional<Step> step_;
    std::string description_;
    std::vector<std::function<bool(const ModelRequest&)>> conditions_;
    Action action_;
    std::size_t left_ = 1;
  };

  explicit ScriptedBackend(ScriptOptions options = {}) : options_{options} {}

  /// Adds a line to the script: a call for that step, or any call. The reference stays good as long as the backend.
  Expectation& expect(std::optional<Step> step = std::nullopt) {
    script_.push_back(Expectation{step});
    return script_.back();
  }

  /// @throws Error (internal) for a call that the script does not have, saying what was expected and what came; and whatever the
  /// script says.
  [[nodiscard]] Reply generate(const VisionRequest& request, const CallContext& context) override {
    return act(request, context);
  }
  [[nodiscard]] Reply generate(const TextRequest& request, const CallContext& context) override { return act(request, context); }

  [[nodiscard]] Capabilities capabilities() const override { return options_.capabilities; }

  /// The calls that came so far, also those that were not expected.
  [[nodiscard]] std::vector<ModelRequest> requests() const {
    const std::lock_guard lock{mutex_};
    return requests_;
  }

  /// The lines of the script whose calls have not all come, in words.
  [[nodiscard]] std::vector<std::string> unmet() const {
    const std::lock_guard lock{mutex_};
    return open_lines();
  }

  /// Makes sure that all of the script happened and nothing else.
  /// @throws Error (internal) that lists the lines not met and the calls not expected.
  void verify() const {
    const std::lock_guard lock{mutex_};
    const std::vector<std::string> open = open_lines();
    if (open.empty() && surprises_.empty()) return;
    std::string message = "scripted backend:";
    if (!open.empty()) message += " did not come: " + join(open) + ".";
    if (!surprises_.empty()) message += " Not expected: " + join(surprises_) + ".";
    throw Error{Errc::internal, std::move(message)};
  }

 private:
  [[nodiscard]] Reply act(const ModelRequest& request, const CallContext& context) {
    const Action action = take_line(request);
    return action(request, context);
  }

  [[nodiscard]] Action take_line(const ModelRequest& request) {
    const std::lock_guard lock{mutex_};
    requests_.push_back(request);
    auto line = std::ranges::find_if(script_, [](const Expectation& e) { return e.left_ != 0; });
    if (options_.order == ScriptOrder::any) {
      line = std::ranges::find_if(script_, [&](const Expectation& e) { return e.left_ != 0 && e.fits(request); });
    } else if (line != script_.end() && !line->fits(request)) {
      fail_on(request, line->description_);
    }
    if (line == script_.end()) {
      const std::vector<std::string> open = open_lines();
      fail_on(request, open.empty() ? "nothing more" : "one of: " + join(open));
    }
    if (!line->action_)
      throw Error{Errc::internal, "scripted backend: the script does not say what comes of: " + line->description_};
    --line->left_;
    return line->action_;
  }

  [[noreturn]] void fail_on(const ModelRequest& request, const std::string& expected) {
    constexpr std::size_t shown = 120;
    const Step step = options_of(request).step;
    const std::string prompt = prompt_of(request);
    const std::string beginning{detail::truncate_code_points(prompt, shown)};
    std::string came = std::string{to_string(step)} + " call";
    came += std::holds_alternative<TextRequest>(request) ? " without images" : " with images";
    came += ", its prompt \"" + beginning + (beginning.size() < prompt.size() ? "…\"" : "\"");
    surprises_.push_back(came);
    throw Error{Errc::internal,
                "scripted backend: call " + std::to_string(requests_.size()) + ": expected " + expected + "; came: " + came};
  }

  [[nodiscard]] std::vector<std::string> open_lines() const {
    std::vector<std::string> open;
    for (const Expectation& line : script_) {
      if (line.left_ == 0) continue;
      open.push_back(line.description_ + (line.left_ == 1 ? "" : ", " + std::to_string(line.left_) + " times"));
    }
    return open;
  }

  [[nodiscard]] static std::string join(const std::vector<std::string>& items) {
    std::string joined;
    for (const std::string& item : items) joined.append(joined.empty() ? "" : "; ").append(item);
    return joined;
  }

  ScriptOptions options_;
  mutable std::mutex mutex_;
  std::deque<Expectation> script_;
  std::vector<ModelRequest> requests_;
  std::vector<std::string> surprises_;
};

}  // namespace ecso
