#include <ecso/backend/simulated.hpp>
#include <ecso/ecso.hpp>

#include <iostream>

// Links and runs: one query through the four steps. The argument is an image.
int main(int, char** argv) {
  ecso::SimulatedBackend model;
  const ecso::EcsoPipeline pipeline{model};
  const ecso::Outcome outcome = pipeline.run(ecso::Image::from_file(argv[1]), "What is in this picture?");
  std::cout << "ecso " << ecso::version << ": " << to_string(outcome.path) << '\n';
  return outcome.text.empty() ? 1 : 0;
}
