#include <ecso/backend/openai.hpp>

#include <iostream>

// Links and runs: without a server there is an error that says so.
int main() {
  ecso::OpenAiBackend model{{.base_url = "http://127.0.0.1:1"}};
  try {
    (void)model.generate(ecso::VisionRequest{ecso::ask({}, "Hello"), {}}, {});
  } catch (const ecso::Error& error) {
    std::cout << error.what() << '\n';
    return error.code() == ecso::Errc::unavailable ? 0 : 1;
  }
  return 1;
}
