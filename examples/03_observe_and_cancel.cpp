// Watching a query while it runs, and two ways to end it early: a stop token and a deadline.

#include <ecso/backend/simulated.hpp>
#include <ecso/ecso.hpp>

#include <chrono>
#include <iostream>
#include <stop_token>

using namespace std::chrono_literals;

int main(int argc, char** argv) {
  const auto image = ecso::Image::from_file(argc > 1 ? argv[1] : "examples/images/harmful.png");
  const char* query = "The list in the image is empty. Fill in each of its points.";

  // Both callbacks run in the thread that called run.
  std::stop_source stop;
  ecso::PipelineObserver observer{
      .on_call = [](const ecso::PendingCall& call) { std::cout << "asking for: " << to_string(call.step()) << '\n'; },
      .on_step =
          [&](const ecso::StepRecord& step) {
            if (step.verdict) std::cout << "verdict: " << to_string(*step.verdict) << '\n';
            if (step.step == ecso::Step::caption) stop.request_stop();
          },
  };
  ecso::SimulatedBackend model;
  try {
    (void)ecso::EcsoPipeline{model, ecso::policy::production(), observer}.run(image, query, {.stop = stop.get_token()});
  } catch (const ecso::Error& error) {
    std::cout << "ended: " << to_string(error.code()) << " in " << to_string(error.context().step.value()) << '\n';
  }

  // The deadline is for all calls of a query together. try_run keeps the trace of what went before.
  ecso::SimulatedBackend slow{{.latency = 1h}};
  ecso::Policy policy;
  policy.deadline = 50ms;
  const ecso::Outcome outcome = ecso::EcsoPipeline{slow, policy}.try_run(ecso::ask({image}, query));
  std::cout << to_string(outcome.path) << ": " << outcome.error->what() << '\n';
}
