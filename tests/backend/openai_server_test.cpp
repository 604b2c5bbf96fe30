#include <ecso/backend/openai_server.hpp>

#include <string>
#include <vector>

#include "support/catch.hpp"

namespace openai_server_test {

namespace {

using namespace ecso;

OpenAiServer server_with(const std::string& owner, OpenAiServerAnswers answers = {}) {
  answers.models = R"({"object":"list","data":[{"id":"m","object":"model","owned_by":")" + owner + R"(","max_model_len":4096}]})";
  return openai_server_of(answers);
}

OpenAiDialect with_room(OpenAiDialect dialect) {
  dialect.context_tokens = 4096;
  return dialect;
}

}  // namespace

TEST_CASE("llama-server tells slots, context, build and whether it sees", "[backend][openai][probe]") {
  const OpenAiServer server = openai_server_of(
      {.server_header = "llama.cpp",
       .models = R"({"data":[{"id":"tiny","owned_by":"llamacpp","meta":{"n_params":1}}],"object":"list"})",
       .props = R"({"default_generation_settings":{"n_ctx":4096,"params":{}},"total_slots":4,"model_alias":"tiny",)"
                R"("modalities":{"vision":true,"audio":false},"build_info":"b11669-abc"})"});
  CHECK(server.name == "llama-server");
  CHECK(server.version == "b11669-abc");
  CHECK(server.models == std::vector<std::string>{"tiny"});
  CHECK(server.slots == 4);
  CHECK(server.context_tokens == 4096);
  CHECK(server.vision == true);
  CHECK(server.dialect == with_room(llama_server_dialect()));
}

TEST_CASE("vLLM's way to force a choice follows from its version", "[backend][openai][probe]") {
  CHECK(server_with("vllm", {.version = R"({"version":"0.11.0"})"}).dialect == with_room(vllm_dialect()));
  CHECK(server_with("vllm", {.version = R"({"version":"1.2.0rc1"})"}).dialect == with_room(vllm_dialect()));
  CHECK(server_with("vllm").dialect == with_room(vllm_dialect()));
  const OpenAiServer old = server_with("vllm", {.version = R"({"version":"0.9.2"})"});
  CHECK(old.name == "vLLM");
  CHECK(old.version == "0.9.2");
  CHECK(old.context_tokens == 4096);
  CHECK(old.dialect.choices == ChoiceStyle::guided_choice);
}

TEST_CASE("other servers are known by the owner of their models, their host or their version's path",
          "[backend][openai][probe]") {
  CHECK(server_with("sglang").dialect == with_room(sglang_dialect()));
  CHECK(server_with("lmdeploy").name == "LMDeploy");
  CHECK(server_with("organization_owner").name == "LM Studio");
  CHECK(server_with("library").name == "Ollama");
  CHECK(server_with("x", {.ollama_version = R"({"version":"0.13.0"})"}).name == "Ollama");
  CHECK(server_with("system", {.host = "api.openai.com"}).dialect == with_room(openai_dialect()));
  CHECK(server_with("", {.host = "me.openai.azure.com"}).name == "Azure OpenAI");
  CHECK(server_with("", {.host = "notopenai.azure.com"}).name == "unknown");
  CHECK(server_with("", {.host = "openrouter.ai"}).name == "OpenRouter");
}

TEST_CASE("an Ollama that has an API of its own gets the checks there", "[backend][openai][probe][ollama]") {
  const auto ollama = [](const std::string& version) {
    return openai_server_of({.models = R"({"data":[{"id":"m:latest","owned_by":"library"}]})",
                             .ollama_version = R"({"version":")" + version + R"("})",
                             .ollama_loaded = R"({"models":[{"name":"x"},{"name":"m:latest","context_length":4096}]})",
                             .ollama_model = R"({"capabilities":["completion","vision"]})"});
  };
  const OpenAiServer server = ollama("0.17.4");
  CHECK(server.version == "0.17.4");
  CHECK(server.vision == true);
  CHECK(server.context_tokens == 4096);
  CHECK(server.dialect == with_room(ollama_dialect()));
  CHECK(ollama("0.12.11").dialect.logprobs == LogprobStyle::top_logprobs);
  for (const char* older : {"0.12.10", "0.9.99", "0.0.0", "x"}) CHECK(ollama(older).dialect.logprobs == LogprobStyle::none);
  CHECK(server_with("library").dialect.own_calls == OwnCalls::same_api);
}

TEST_CASE("a server that says nothing of use is asked for nothing but answers", "[backend][openai][probe]") {
  for (const char* odd : {"", "<html>", "7", "null", "[]", R"({"data":7})", R"({"data":[7,{"id":[]}]})", R"({"data":[]})"}) {
    const OpenAiServer server = openai_server_of({.models = odd, .props = odd, .version = odd, .ollama_version = odd});
    CHECK(server == OpenAiServer{});
  }
  CHECK(openai_server_of({.models = std::string(100'000, '[')}) == OpenAiServer{});
}

TEST_CASE("figures of a stranger are bounded and its names cleaned", "[backend][openai][probe]") {
  const OpenAiServer server = openai_server_of({.models = R"({"data":[{"id":"a\u001b[31m\nb"}]})",
                                                .props = R"({"total_slots":1e300,"default_generation_settings":{"n_ctx":-5}})"});
  CHECK(server.slots == 4096);
  CHECK(server.context_tokens == 0);
  CHECK(server.models == std::vector<std::string>{"a [31m b"});
}

}  // namespace openai_server_test
