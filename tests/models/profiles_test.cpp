#include <ecso/models/profiles.hpp>

#include "support/catch.hpp"
#include "support/image_bytes.hpp"

#include <algorithm>
#include <set>
#include <string>
#include <string_view>

namespace profiles_test {

namespace {

using namespace ecso;

const Image image = Image::from_bytes(test::png_bytes(1, 1));

/// What is written for an image and a query; a text alone; and a chat of a system text, a turn with two images, its answer and
/// another turn.
struct Written {
  std::string asked;
  std::string text;
  std::string chat;
};

Written write(const ModelProfile& profile) {
  const auto prompt = [&](const Conversation& conversation) { return apply_template(profile.conversation, conversation).prompt; };
  return {prompt(ask({image}, "What is this?")), prompt(ask({}, "Hello")),
          prompt({{{Role::system, {"Be brief."}},
                   {Role::user, {image, image, "Compare."}},
                   {Role::assistant, {"Alike."}},
                   {Role::user, {"Sure?"}}}})};
}

void check(const ModelProfile& profile, const Written& expected) {
  CAPTURE(profile.name);
  const Written written = write(profile);
  CHECK(written.asked == expected.asked);
  CHECK(written.text == expected.text);
  CHECK(written.chat == expected.chat);
}

TEST_CASE("LLaVA-1.5 and ShareGPT4V are written as conv_vicuna_v1", "[models]") {
  const std::string system =
      "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite "
      "answers to the user's questions. ";
  const Written expected{system + "USER: <image>\nWhat is this? ASSISTANT:", system + "USER: Hello ASSISTANT:",
                         "Be brief. USER: <image>\n<image>\nCompare. ASSISTANT: Alike.</s>USER: Sure? ASSISTANT:"};
  check(models::llava_1_5_7b, expected);
  check(models::sharegpt4v_7b, expected);
  CHECK(models::llava_1_5_7b.conversation.stop.front() == "</s>");
  CHECK(models::llava_1_5_7b.conversation.bos_place == BosPlace::server_adds);
}

TEST_CASE("mPLUG-Owl2 is written as conv_mplug_owl2", "[models]") {
  check(models::mplug_owl2_7b, {"USER: <|image|>What is this? ASSISTANT:", "USER: Hello ASSISTANT:",
                                "USER: Be brief.\n<|image|><|image|>Compare. ASSISTANT: Alike.</s>USER: Sure? ASSISTANT:"});
}

TEST_CASE("Qwen-VL-Chat is written as make_context does", "[models]") {
  const std::string system = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n";
  check(models::qwen_vl_chat,
        {system + "<|im_start|>user\nPicture 1: <img></img>\nWhat is this?<|im_end|>\n<|im_start|>assistant\n",
         system + "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n",
         "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nPicture 1: <img></img>\nPicture 2: <img></img>\n"
         "Compare.<|im_end|>\n<|im_start|>assistant\nAlike.<|im_end|>\n<|im_start|>user\nSure?<|im_end|>\n"
         "<|im_start|>assistant\n"});
}

TEST_CASE("InternLM-XComposer is written as its chat() does", "[models]") {
  const std::string meta =
      "meta instruction\nYou are an AI assistant whose name is 浦语.\n- 浦语 is a conversational language model that is "
      "developed "
      "by Shanghai AI Laboratory (上海人工智能实验室). It is designed to be helpful, honest, and harmless.\n- 浦语 can "
      "understand "
      "and communicate fluently in the language chosen by the user such as English and 中文.\nconversation\n";
  check(models::internlm_xcomposer_7b,
        {meta + " <|User|>:<ImageHere>What is this?\n<TOKENS_UNUSED_0> <|Bot|>:",
         meta + " <|User|>:Hello\n<TOKENS_UNUSED_0> <|Bot|>:",
         "Be brief. <|User|>:<ImageHere><ImageHere>Compare.\n<TOKENS_UNUSED_0> <|Bot|>:Alike.<TOKENS_UNUSED_1> <|User|>:Sure?\n"
         "<TOKENS_UNUSED_0> <|Bot|>:"});
}

TEST_CASE("Qwen2.5-VL and Qwen3-VL are written as their chat templates do", "[models]") {
  const std::string picture = "<|vision_start|><|image_pad|><|vision_end|>";
  const std::string asked = "<|im_start|>user\n" + picture + "What is this?<|im_end|>\n<|im_start|>assistant\n";
  const std::string text = "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n";
  const std::string chat = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n" + picture + picture +
                           "Compare.<|im_end|>\n<|im_start|>assistant\nAlike.<|im_end|>\n<|im_start|>user\nSure?<|im_end|>\n"
                           "<|im_start|>assistant\n";
  const std::string system = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n";
  check(models::qwen2_5_vl_7b, {system + asked, system + text, chat});
  check(models::qwen3_vl_8b, {asked, text, chat});
}

TEST_CASE("InternVL3 is written as internvl2_5", "[models]") {
  const std::string system =
      "<|im_start|>system\n"
      "你是书生·万象，英文名是InternVL，是由上海人工智能实验室、清华大学及多家合作单位联合开发的多模态大语言模型。<|im_end|>\n";
  check(models::internvl3_8b,
        {system + "<|im_start|>user\n<image>\nWhat is this?<|im_end|>\n<|im_start|>assistant\n",
         system + "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n",
         "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n<image>\n<image>\nCompare.<|im_end|>\n"
         "<|im_start|>assistant\nAlike.<|im_end|>\n<|im_start|>user\nSure?<|im_end|>\n<|im_start|>assistant\n"});
}

TEST_CASE("MiniCPM-V is written as its chat template does", "[models]") {
  const std::string system = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n";
  check(
      models::minicpm_v_2_6,
      {system + "<|im_start|>user\n(<image>./</image>)\nWhat is this?<|im_end|>\n<|im_start|>assistant\n",
       system + "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n",
       "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n(<image>./</image>)\n(<image>./</image>)\nCompare.<|im_end|>\n"
       "<|im_start|>assistant\nAlike.<|im_end|>\n<|im_start|>user\nSure?<|im_end|>\n<|im_start|>assistant\n"});
}

TEST_CASE("LLaVA-OneVision is written as its chat template does", "[models]") {
  check(models::llava_onevision_7b,
        {"<|im_start|>user <image>\nWhat is this?<|im_end|><|im_start|>assistant\n",
         "<|im_start|>user \nHello<|im_end|><|im_start|>assistant\n",
         "<|im_start|>system \nBe brief.<|im_end|><|im_start|>user <image><image>\nCompare.<|im_end|><|im_start|>assistant \n"
         "Alike.<|im_end|><|im_start|>user \nSure?<|im_end|><|im_start|>assistant\n"});
}

TEST_CASE("Gemma 3 is written as its chat template does, but for the token that begins it", "[models]") {
  check(models::gemma_3_4b,
        {"<start_of_turn>user\n<start_of_image>What is this?<end_of_turn>\n<start_of_turn>model\n",
         "<start_of_turn>user\nHello<end_of_turn>\n<start_of_turn>model\n",
         "<start_of_turn>user\nBe brief.\n\n<start_of_image><start_of_image>Compare.<end_of_turn>\n<start_of_turn>model\n"
         "Alike.<end_of_turn>\n<start_of_turn>user\nSure?<end_of_turn>\n<start_of_turn>model\n"});
  CHECK(apply_template(models::gemma_3_4b.conversation, ask({}, " \n Hello\t")).prompt ==
        "<start_of_turn>user\nHello<end_of_turn>\n<start_of_turn>model\n");
}

TEST_CASE("SmolVLM2 is written as its chat template does", "[models]") {
  check(models::smolvlm2_2_2b, {"<|im_start|>User:<image>What is this?<end_of_utterance>\nAssistant:",
                                "<|im_start|>User: Hello<end_of_utterance>\nAssistant:",
                                "<|im_start|>System: Be brief.<end_of_utterance>\nUser:<image><image>Compare.<end_of_utterance>\n"
                                "Assistant: Alike.<end_of_utterance>\nUser: Sure?<end_of_utterance>\nAssistant:"});
}

TEST_CASE("Pixtral is written as its chat template does, but for the token that begins it", "[models]") {
  check(models::pixtral_12b, {"[INST][IMG]What is this?[/INST]", "[INST]Hello[/INST]",
                              "[INST][IMG][IMG]Compare.[/INST]Alike.</s>[INST]Be brief.\n\nSure?[/INST]"});
}

TEST_CASE("Llama 4 is written as its chat template does, but for the token that begins it", "[models]") {
  const std::string user = "<|header_start|>user<|header_end|>\n\n";
  const std::string assistant = "<|header_start|>assistant<|header_end|>\n\n";
  check(models::llama_4_scout,
        {user + "<|image|>What is this?<|eot|>" + assistant, user + "Hello<|eot|>" + assistant,
         "<|header_start|>system<|header_end|>\n\nBe brief.<|eot|>" + user + "<|image|><|image|>Compare.<|eot|>" + assistant +
             "Alike.<|eot|>" + user + "Sure?<|eot|>" + assistant});
}

TEST_CASE("every profile says what it is, who serves it and where that is written", "[models]") {
  std::set<std::string_view> names;
  std::set<std::string_view> repositories;
  for (const ModelProfile& profile : all_profiles()) {
    CAPTURE(profile.name);
    CHECK(names.insert(profile.name).second);
    CHECK(repositories.insert(profile.repository).second);
    CHECK(std::ranges::count(profile.repository, '/') == 1);
    CHECK_FALSE(profile.family.empty());
    CHECK(profile.context_tokens >= 2048);
    CHECK(profile.image_tokens >= 0);
    CHECK_FALSE(profile.image_token_rule.empty());
    CHECK_FALSE(profile.servers.empty());
    CHECK_FALSE(profile.sources.empty());
    for (const std::string_view source : profile.sources) CHECK_FALSE(source.empty());
    for (const std::string_view quirk : profile.quirks) CHECK_FALSE(quirk.empty());
    for (const ServerRecipe& server : profile.servers) {
      CAPTURE(server.server);
      CHECK_FALSE(server.command.empty());
      CHECK(server.command.find("0.0.0.0") == std::string_view::npos);
      CHECK((server.flag.empty() || server.flag.starts_with("--backend ")));
    }
  }
  CHECK(names.size() == 14);
}

TEST_CASE("every template names what ends an answer and what a text must not hold", "[models]") {
  for (const ModelProfile& profile : all_profiles()) {
    CAPTURE(profile.name);
    const ConversationTemplate& format = profile.conversation;
    CHECK_FALSE(format.image_token.empty());
    CHECK((format.bos_place == BosPlace::none) == format.bos.empty());
    REQUIRE_FALSE(format.stop.empty());
    REQUIRE_FALSE(format.reserved.empty());
    const auto is_reserved = [&](std::string_view text) {
      return std::ranges::any_of(format.reserved,
                                 [&](std::string_view word) { return text.find(word) != std::string_view::npos; });
    };
    for (const std::string_view word : format.reserved) {
      CHECK(word.size() >= 2);
      CHECK(word.find_first_of(" \t\n\r") == std::string_view::npos);
    }
    for (const std::string_view stop : format.stop) CHECK(is_reserved(stop));
    CHECK(is_reserved(format.image_token));
    CHECK(is_reserved(format.user_prefix));
    CHECK((format.bos.empty() || is_reserved(format.bos)));
    CHECK((is_reserved(format.assistant_prefix) || is_reserved(format.user_suffix)));
  }
}

std::string error_of(std::string_view name) {
  try {
    return std::string{find_profile(name).name};
  } catch (const Error& error) {
    return std::string{to_string(error.code())} + ": " + error.message();
  }
}

TEST_CASE("a profile is found by name, by repository and by a part that no other has", "[models]") {
  for (const ModelProfile& profile : all_profiles()) {
    CHECK(find_profile(profile.name).name == profile.name);
    CHECK(find_profile(profile.repository).name == profile.name);
  }
  CHECK(find_profile("llava-1.5-7b").name == "LLaVA-1.5-7B");
  CHECK(find_profile("LIUHAOTIAN/LLAVA-V1.5-7B").name == "LLaVA-1.5-7B");
  CHECK(find_profile("gemma").name == "Gemma-3-4B");
  CHECK(find_profile("xcomposer").name == "InternLM-XComposer-7B");
  CHECK(error_of("qwen2") == "bad_input: model \"qwen2\": may be Qwen2.5-VL-7B, LLaVA-OneVision-7B");
  CHECK(error_of("llava") == "bad_input: model \"llava\": may be LLaVA-1.5-7B, LLaVA-OneVision-7B");
  const std::string unknown = error_of("gpt-4o");
  CHECK_THAT(unknown,
             Catch::Matchers::StartsWith("bad_input: model \"gpt-4o\": not known; known are LLaVA-1.5-7B, ShareGPT4V-7B"));
  CHECK_THAT(unknown, Catch::Matchers::EndsWith("Llama-4-Scout"));
  CHECK_THAT(error_of(""), Catch::Matchers::StartsWith("bad_input: model \"\": not known"));
}

static_assert(all_profiles().size() == 14);
static_assert(models::llava_1_5_7b.conversation.image_token == "<image>");

}  // namespace

}  // namespace profiles_test
