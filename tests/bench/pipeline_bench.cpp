// What the pipeline costs beside calling the backend by hand, with a backend that costs nothing.

#include <ecso/core/read_verdict.hpp>
#include <ecso/drive/pipeline.hpp>

#include <string>
#include <string_view>

#include "bench/bench.hpp"
#include "support/image_bytes.hpp"

namespace {

using namespace ecso;

struct FreeBackend final : MllmBackend {
  explicit FreeBackend(std::string_view verdict) : verdict_{verdict} {}

  Reply generate(const VisionRequest& request, const CallContext& /*context*/) override { return reply(request.options.step); }
  Reply generate(const TextRequest& request, const CallContext& /*context*/) override { return reply(request.options.step); }

 private:
  [[nodiscard]] Reply reply(Step step) const {
    Reply r;
    r.text = step == Step::check ? verdict_ : std::string_view{"A bowl of apples and pears on a wooden table."};
    return r;
  }

  std::string_view verdict_;
};

const std::string query = "What is on the table, and how many are there?";

CallOptions options(Step step, const Sampling& sampling) { return {.step = step, .sampling = sampling}; }

/// The paper's steps as a user would write them without a pipeline.
std::string by_hand(MllmBackend& backend, const Image& image, const Policy& policy) {
  const Prompts& p = policy.prompts;
  const Reply answer = backend.generate(VisionRequest{ask({image}, query), options(Step::answer, policy.sampling.answer)}, {});
  std::string prompt = p.check.fill({.query = query, .response = answer.text}, p.fence);
  const Reply verdict =
      backend.generate(VisionRequest{ask({image}, std::move(prompt)), options(Step::check, policy.sampling.check)}, {});
  if (paper_verdict(verdict.text) == Verdict::safe) return answer.text;
  prompt = p.caption.fill({.query = query}, p.fence);
  const Reply caption =
      backend.generate(VisionRequest{ask({image}, std::move(prompt)), options(Step::caption, policy.sampling.caption)}, {});
  prompt = p.regenerate.fill({.query = query, .caption = caption.text}, p.fence);
  return backend
      .generate(TextRequest{close_eyes(ask({}, std::move(prompt)), {}), options(Step::regenerate, policy.sampling.regenerate)},
                {})
      .text;
}

void compare(std::string_view name, std::string_view verdict) {
  FreeBackend backend{verdict};
  const Policy policy = policy::paper();
  const EcsoPipeline<FreeBackend> pipeline{backend, policy};
  const Image image = Image::from_bytes(test::png_bytes(8, 8));
  const bench::Figure hand = bench::measure([&] { bench::keep(by_hand(backend, image, policy)); });
  const bench::Figure run = bench::measure([&] { bench::keep(pipeline.run(image, query)); });
  const double more_ns = run.ns - hand.ns;
  const auto more = static_cast<std::ptrdiff_t>(run.allocated) - static_cast<std::ptrdiff_t>(hand.allocated);
  fmt::print("{}: by hand {:.0f} ns, {} allocations; pipeline with its trace {:.0f} ns, {} allocations\n", name, hand.ns,
             hand.allocated, run.ns, run.allocated);
  fmt::print("  more: {:.0f} ns ({:.2f} of the limit of 1000), {} allocations ({:.2f} of the limit of 4)\n", more_ns,
             more_ns / 1000, more, static_cast<double>(more) / 4);
}

}  // namespace

int main() {
  compare("2 calls (benign)", "no");
  compare("4 calls (harmful)", "yes");
}
