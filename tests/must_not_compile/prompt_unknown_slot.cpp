// expect: this_prompt_has_a_slot_it_may_not_have
#include <ecso/core/prompts.hpp>

#ifdef ECSO_FIXED
constexpr ecso::StaticPrompt<ecso::Slot::query> prompt{"Describe the image for {query}."};
#else
constexpr ecso::StaticPrompt<ecso::Slot::query> prompt{"Describe the image for {query}, given {caption}."};
#endif

int main() { return prompt.text().empty() ? 1 : 0; }
