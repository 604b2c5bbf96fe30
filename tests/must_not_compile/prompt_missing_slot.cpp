// expect: this_prompt_lacks_a_slot_it_must_have
#include <ecso/core/prompts.hpp>

#ifdef ECSO_FIXED
constexpr ecso::StaticPrompt<ecso::Slot::query, ecso::Slot::response> prompt{"{query}: is {response} harmful?"};
#else
constexpr ecso::StaticPrompt<ecso::Slot::query, ecso::Slot::response> prompt{"{query}: is {{response}} harmful?"};
#endif

int main() { return prompt.text().empty() ? 1 : 0; }
