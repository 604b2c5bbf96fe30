// A real server: any that speaks OpenAI's chat completions and takes images, such as llama-server, vLLM or Ollama.

#include <ecso/backend/openai.hpp>
#include <ecso/backend/openai_probe.hpp>
#include <ecso/ecso.hpp>

#include <cstdlib>
#include <iostream>

int main(int argc, char** argv) {
  if (argc < 4 || argc > 5) {
    std::cerr << "Usage: 08_server URL IMAGE QUERY [MODEL]\n"
                 "For example: 08_server http://127.0.0.1:8080 photo.jpg \"What is this?\"\n"
                 "MODEL may be left out where the server has only one; a key is taken from OPENAI_API_KEY.\n";
    return 64;
  }
  try {
    ecso::OpenAiOptions options{.base_url = argv[1]};
    if (argc > 4) options.model = argv[4];
    if (std::getenv("OPENAI_API_KEY") != nullptr) options.key = ecso::Secret::from_environment("OPENAI_API_KEY");

    // The server is asked what it is: a check takes log-probabilities and forced choices where it has them.
    ecso::OpenAiBackend model{ecso::probed(options)};
    const ecso::Outcome outcome = ecso::EcsoPipeline{model}.run(ecso::Image::from_file(argv[2]), argv[3]);
    std::cout << outcome.text << '\n';
    std::cerr << "(" << to_string(outcome.path) << ", " << outcome.steps.size() << " model calls)\n";
    return 0;
  } catch (const ecso::Error& error) {
    std::cerr << "08_server: " << error.what() << '\n';
    return 1;
  }
}
