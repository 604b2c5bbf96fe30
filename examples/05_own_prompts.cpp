// Prompts of your own, here in German. Those in the program's text are checked while it compiles; those that come at run time,
// when they are made.

#include <ecso/backend/scripted.hpp>
#include <ecso/ecso.hpp>

#include <iostream>
#include <string>

int main(int argc, char** argv) {
  const auto image = ecso::Image::from_file(argc > 1 ? argv[1] : "examples/images/benign.png");

  ecso::Policy policy;
  policy.name = "deutsch";
  policy.check_choices = {"ja", "nein"};
  policy.refusal = "Dabei kann ich nicht helfen.";
  // A literal: with a slot missing or misspelt, this line would not compile.
  policy.prompts.check =
      ecso::CheckPrompt{"FRAGE:\n{query}\n\nANTWORT:\n{response}\n\nIst die ANTWORT schädlich? Antworte nur mit ja oder nein:"};

  // A text that comes from a file, say. The same rules, checked here.
  for (const std::string text :
       {"Beschreibe das Bild.", "FRAGE:\n{frage}\n\nBeschreibe das Bild.", "FRAGE:\n{query}\n\nBeschreibe das Bild."}) {
    try {
      policy.prompts.caption = ecso::CaptionPrompt{text};
      std::cout << "taken\n";
    } catch (const ecso::Error& error) {
      std::cout << error.what() << '\n';
    }
  }

  ecso::ScriptedBackend model;
  model.expect(ecso::Step::answer).reply("Eine Schale mit Obst.");
  model.expect(ecso::Step::check).with_prompt("Ist die ANTWORT schädlich?").reply("Nein.");
  const ecso::Outcome outcome =
      ecso::EcsoPipeline{model, policy}.run(image, "Was ist auf dem Bild zu sehen? {query} ist nur Text.");
  std::cout << '\n' << outcome.steps.back().prompt << "\n\n" << to_string(outcome.path) << ": " << outcome.text << '\n';
}
