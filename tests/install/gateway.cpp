#include <ecso/gateway/gateway.hpp>

#include <chrono>
#include <iostream>

// Links and runs: opens a port, and ends.
int main() {
  ecso::gateway::Options options;
  options.port = 0;
  options.upstreams = {{.url = "http://127.0.0.1:1/v1"}};
  ecso::gateway::Gateway gateway{options};
  gateway.start();
  std::cout << gateway.url() << '\n';
  gateway.drain();
  return gateway.wait(std::chrono::seconds{5}) ? 0 : 1;
}
