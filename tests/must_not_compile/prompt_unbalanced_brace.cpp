// expect: this_prompt_has_an_unbalanced_brace
#include <ecso/core/prompts.hpp>

#ifdef ECSO_FIXED
constexpr ecso::StaticPrompt<ecso::Slot::query> prompt{"Answer in JSON, {{\"answer\": …}}: {query}"};
#else
constexpr ecso::StaticPrompt<ecso::Slot::query> prompt{"Answer in JSON, \"answer\": …}: {query}"};
#endif

int main() { return prompt.text().empty() ? 1 : 0; }
