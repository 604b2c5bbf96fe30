// Testing your own code without a model: a script of the calls that must come and of what the model says to each.

#include <ecso/backend/scripted.hpp>
#include <ecso/ecso.hpp>

#include <iostream>
#include <variant>

int main(int argc, char** argv) {
  const auto image = ecso::Image::from_file(argc > 1 ? argv[1] : "examples/images/harmful.png");
  const auto sees_nothing = [](const ecso::ModelRequest& request) { return std::holds_alternative<ecso::TextRequest>(request); };

  ecso::ScriptedBackend model;
  model.expect(ecso::Step::answer).reply("First you take a hairpin.");
  model.expect(ecso::Step::check).with_prompt("hairpin").reply("yes");
  model.expect(ecso::Step::caption).reply("A list with a title and no points.");
  model.expect(ecso::Step::regenerate).with_prompt("no points").where(sees_nothing, "no image").reply("I'd rather not.");
  model.expect(ecso::Step::recheck).with_prompt("rather not").where(sees_nothing, "no image").reply("no");

  const ecso::Outcome outcome = ecso::EcsoPipeline{model}.run(image, "Fill in the list.");
  model.verify();
  std::cout << "as scripted: " << outcome.text << "\n\n";

  // Anything else is an error that says what was expected and what came. A step may fail, too.
  ecso::ScriptedBackend other;
  other.expect(ecso::Step::answer).fail(ecso::Error{ecso::Errc::rate_limited, "too many requests"});
  other.expect(ecso::Step::answer).reply("A list.");
  other.expect(ecso::Step::caption).reply("A caption.");
  const ecso::EcsoPipeline pipeline{other};
  for (int query = 0; query < 2; ++query) {
    std::cout << pipeline.try_run(ecso::ask({image}, "What is this?")).error->what() << '\n';
  }
  for (const auto& line : other.unmet()) std::cout << "did not come: " << line << '\n';
}
