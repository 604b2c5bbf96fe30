// A backend of your own is two functions: one that sees, and one that only reads.

#include <ecso/ecso.hpp>

#include <iostream>
#include <string>
#include <string_view>

// Stands for your model: a prompt and perhaps an image in, text out.
std::string my_model(std::string_view prompt, std::string_view image_bytes) {
  if (prompt.find("yes or no") != std::string_view::npos) return "no";
  return image_bytes.empty() ? "I see nothing." : "I see fruit.";
}

class MyBackend final : public ecso::MllmBackend {
 public:
  ecso::Reply generate(const ecso::VisionRequest& request, const ecso::CallContext&) override {
    const ecso::Image image = ecso::images_of(request.conversation).front();
    return {.text = my_model(ecso::query_of(request.conversation), image.bytes())};
  }
  ecso::Reply generate(const ecso::TextRequest& request, const ecso::CallContext&) override {
    return {.text = my_model(request.conversation.messages().back().text, {})};
  }
};

int main(int argc, char** argv) {
  MyBackend backend;
  const ecso::EcsoPipeline pipeline{backend};
  const auto image = ecso::Image::from_file(argc > 1 ? argv[1] : "examples/images/benign.png");

  const ecso::Outcome outcome = pipeline.run(image, "What is in this picture?");
  std::cout << outcome.text << " (" << to_string(outcome.path) << ", " << outcome.steps.size() << " model calls)\n";
}
