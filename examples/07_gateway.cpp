// The gateway in a program of your own: in front of the model server that an argument names, with a line for each answer that it
// repaired or refused. It ends with its input.

#include <ecso/ecso.hpp>
#include <ecso/gateway/gateway.hpp>

#include <chrono>
#include <iostream>
#include <memory>
#include <string>
#include <syncstream>

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cout << "Usage: 07_gateway URL\n"
                 "URL is that of an OpenAI-compatible server, up to and including /v1: http://127.0.0.1:8080/v1\n";
    return 0;
  }
  ecso::Policy policy = ecso::policy::production();
  policy.refusal = "Let's talk about something else.";

  ecso::gateway::Options options;
  options.port = 0;  // Any that is free.
  options.policy = std::make_shared<const ecso::Policy>(policy);
  options.upstreams = {{.url = argv[1], .dialect = ecso::llama_server_dialect()}};

  // Called in the gateway's threads, several at once; nothing of the record lives on after the call.
  const auto tell = [](const ecso::gateway::RequestRecord& record) {
    for (const ecso::Outcome* outcome : record.outcomes) {
      if (outcome->path == ecso::Path::direct) continue;
      std::osyncstream{std::cout} << record.id << ": " << ecso::to_string(outcome->path) << ", " << outcome->steps.size()
                                  << " calls\n"
                                  << std::flush;
    }
  };
  try {
    ecso::gateway::Gateway gateway{options, tell};
    gateway.start();
    std::cout << "Ask " << gateway.url() << "/v1 in place of " << argv[1] << "; the end of input ends it.\n" << std::flush;
    for (std::string line; std::getline(std::cin, line);) {}
    gateway.drain();  // No more requests; those under way are answered.
    return gateway.wait(std::chrono::seconds{30}) ? 0 : 1;
  } catch (const ecso::Error& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
