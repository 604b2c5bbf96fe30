#pragma once

#include <ecso/core/image.hpp>
#include <ecso/core/request.hpp>
#include <ecso/core/step.hpp>
#include <ecso/core/verdict.hpp>
#include <ecso/error.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace ecso {

/// How a query ended.
enum class Path {
  direct,       ///< The first answer was released.
  eyes_closed,  ///< An answer made from text alone was released.
  refused,      ///< The policy's refusal was released.
  stopped,      ///< A stream ended where its answer turned harmful; what had left of it was checked. Only a gateway does that.
  failed,       ///< Nothing was released; `Outcome::error` says why.
};

[[nodiscard]] constexpr std::string_view to_string(Path path) noexcept {
  switch (path) {
    case Path::direct: return "direct";
    case Path::eyes_closed: return "eyes_closed";
    case Path::refused: return "refused";
    case Path::stopped: return "stopped";
    case Path::failed: return "failed";
  }
  return "unknown";
}

/// What a trace keeps of an image: never its bytes.
struct ImageRecord {
  std::string sha256;
  std::size_t bytes = 0;
  MediaType media_type = MediaType::png;
  std::uint32_t width = 0;
  std::uint32_t height = 0;

  bool operator==(const ImageRecord&) const = default;
};

/// An image of a trace: the image itself while the query runs (hashing it waits until somebody asks), its record once it was read
/// from JSON.
class TracedImage {
 public:
  explicit TracedImage(Image image) : held_{std::move(image)} {}
  explicit TracedImage(ImageRecord record) : held_{std::move(record)} {}

  [[nodiscard]] ImageRecord record() const {
    if (const auto* record = std::get_if<ImageRecord>(&held_)) return *record;
    const Image& image = std::get<Image>(held_);
    return {std::string{image.sha256()}, image.bytes().size(), image.media_type(), image.width(), image.height()};
  }

  /// The image itself; null once only its record is left.
  [[nodiscard]] const Image* image() const noexcept { return std::get_if<Image>(&held_); }

  friend bool operator==(const TracedImage& a, const TracedImage& b) {
    if (a.image() != nullptr && b.image() != nullptr) return *a.image() == *b.image();
    return a.record() == b.record();
  }

 private:
  std::variant<Image, ImageRecord> held_;
};

/// One model call.
struct StepRecord {
  Step step = Step::answer;
  int round = 0;            ///< 0 for the first answer and its check, then the eyes-closed round, from 1.
  std::size_t image = 0;    ///< Which image a caption is of, from 0.
  bool early = false;       ///< A check of what there was of an answer, or that answer, broken off.
  int clarification = 0;    ///< Of a check: 0 for the check itself, then which time it was asked about again.
  std::string prompt = {};  ///< Text of the call's last turn.
  std::string reply = {};
  std::optional<Verdict> verdict = std::nullopt;  ///< What a check said, before policy.
  std::optional<double> p_harmful = std::nullopt;
  Doubt doubt = Doubt::none;
  std::string reason = {};    ///< Why the verdict is undecided: "cut at 16 tokens". Never words of the reply. Else empty.
  std::string category = {};  ///< As in VerdictReading.
  FinishReason finish_reason = FinishReason::unknown;
  Usage usage = {};
  TokenCounts counts = {};
  std::string model = {};
  std::chrono::nanoseconds duration{0};
  std::optional<Error> error = std::nullopt;  ///< Why the call failed.

  bool operator==(const StepRecord&) const = default;
};

/// What came of a query: what may be shown, how it was reached, and every call on the way.
struct Outcome {
  Path path = Path::failed;
  std::string text = {};               ///< What may be shown; empty if `path` is failed.
  std::string policy = {};             ///< Name of the policy.
  std::vector<StepRecord> steps = {};  ///< In the order in which calls ended.
  std::vector<TracedImage> images = {};
  std::optional<Error> error = std::nullopt;

  /// Tokens of all calls.
  [[nodiscard]] Usage usage() const noexcept {
    Usage sum;
    for (const StepRecord& record : steps) sum += record.usage;
    return sum;
  }

  bool operator==(const Outcome&) const = default;
};

}  // namespace ecso
