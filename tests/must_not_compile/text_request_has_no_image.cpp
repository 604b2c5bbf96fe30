// expect: (convert|conversion).*TextConversation
#include <utility>

#include <ecso/core/request.hpp>

void send(const ecso::TextRequest& request);
void send(const ecso::VisionRequest& request);

void leak(ecso::Image image) {
  ecso::Conversation conversation = ecso::ask({std::move(image)}, "What is this?");
#ifdef ECSO_FIXED
  send(ecso::VisionRequest{std::move(conversation), {}});
#else
  send(ecso::TextRequest{std::move(conversation), {}});
#endif
}
