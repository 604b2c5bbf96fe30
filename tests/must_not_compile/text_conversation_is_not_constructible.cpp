// expect: TextConversation.*private|private.*TextConversation
#include <ecso/core/close_eyes.hpp>

#ifdef ECSO_FIXED
const ecso::TextConversation conversation = ecso::close_eyes(ecso::ask({}, "Hello"), {});
#else
const ecso::TextConversation conversation{};
#endif
