#include <ecso/detail/json_text.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace ecso::detail;

void require(bool condition) {
  if (!condition) std::abort();
}

/// What the oracle's document object does not tell.
struct Shape : nlohmann::json_sax<nlohmann::json> {
  std::size_t values = 0;
  std::size_t deepest = 0;
  bool repeats = false;
  std::vector<std::set<std::string>> open;

  bool count() {
    ++values;
    return true;
  }
  bool start() {
    open.emplace_back();
    deepest = std::max(deepest, open.size());
    return count();
  }
  bool stop() {
    open.pop_back();
    return true;
  }
  bool null() override { return count(); }
  bool boolean(bool /*value*/) override { return count(); }
  bool number_integer(std::int64_t /*value*/) override { return count(); }
  bool number_unsigned(std::uint64_t /*value*/) override { return count(); }
  bool number_float(double /*value*/, const std::string& /*text*/) override { return count(); }
  bool string(std::string& /*value*/) override { return count(); }
  bool binary(nlohmann::json::binary_t& /*value*/) override { return count(); }
  bool start_object(std::size_t /*size*/) override { return start(); }
  bool key(std::string& name) override {
    repeats = !open.back().insert(name).second || repeats;
    return count();
  }
  bool end_object() override { return stop(); }
  bool start_array(std::size_t /*size*/) override { return start(); }
  bool end_array() override { return stop(); }
  bool parse_error(std::size_t /*at*/, const std::string& /*token*/, const nlohmann::json::exception& /*error*/) override {
    return false;
  }
};

void compare(const JsonValue& ours, const nlohmann::json& theirs) {
  require(static_cast<bool>(ours));
  require(ours.size() == (theirs.is_structured() ? theirs.size() : 0));
  require(ours.is_string() == theirs.is_string() && ours.is_array() == theirs.is_array());
  require(ours.is_object() == theirs.is_object() && ours.is_number() == theirs.is_number());
  require(ours.is_boolean() == theirs.is_boolean() && ours.is_null() == theirs.is_null());
  require(ours.number().has_value() == theirs.is_number() && ours.boolean().has_value() == theirs.is_boolean());
  if (theirs.is_number()) require(*ours.number() == theirs.get<double>());
  if (theirs.is_boolean()) require(*ours.boolean() == theirs.get<bool>());

  const bool is_too_large = theirs.is_number_unsigned() && theirs.get<std::uint64_t>() > std::uint64_t{INT64_MAX};
  require(ours.integer().has_value() == (theirs.is_number_integer() && !is_too_large));
  if (ours.integer()) require(*ours.integer() == theirs.get<std::int64_t>());

  const std::string said = theirs.is_string() ? theirs.get<std::string>() : "";
  std::string storage = "left over";
  require(ours.text() == said && ours.text(storage) == said);
  if (ours.plain()) require(*ours.plain() == said);
  const std::size_t unpadded = said.size() - (said.ends_with("==") ? 2 : said.ends_with('=') ? 1 : 0);
  require(ours.base64_tail() <= unpadded);
  require(base64_letters_portable(said.substr(unpadded - ours.base64_tail(), ours.base64_tail())) == ours.base64_tail());
  if (ours.is_string()) require(ours.plain().has_value() == (ours.raw().find('\\') == std::string_view::npos));

  std::size_t count = 0;
  for (const JsonValue item : ours.items()) {
    require(ours.at(count).raw().data() == item.raw().data());
    compare(item, theirs.at(count++));
  }
  for (const JsonMember member : ours.members()) {
    const std::string name = member.key.text();
    require(ours[name].raw().data() == member.value.raw().data());
    compare(member.value, theirs.at(name));
    ++count;
  }
  require(count == ours.size());
  require(!ours.at(ours.size()));
}

/// nlohmann::json's document of `text`; discarded if it is none, or none that an upstream must understand as we do.
nlohmann::json oracle(std::string_view text, const JsonLimits& limits) {
  // Both are leniences of the oracle: it skips a mark at the start, and takes a zero for the end of the text.
  if (text.starts_with("\xEF\xBB\xBF") || text.find('\0') != std::string_view::npos) return nlohmann::json::value_t::discarded;
  Shape shape;
  if (!nlohmann::json::sax_parse(text, &shape)) return nlohmann::json::value_t::discarded;
  if (shape.repeats || shape.deepest > limits.max_depth || shape.values > limits.max_values) {
    return nlohmann::json::value_t::discarded;
  }
  return nlohmann::json::parse(text);
}

}  // namespace

/// What is read is exactly what nlohmann::json reads, less texts with a member twice and those over a limit, and means the same;
/// and every value is a text of its own.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // Exactly as long as it is, so that a sanitizer sees a read behind it.
  const std::vector<char> exact{reinterpret_cast<const char*>(data), reinterpret_cast<const char*>(data) + size};
  const std::string_view text{exact.data(), exact.size()};
  for (const JsonLimits& limits : {JsonLimits{}, JsonLimits{.max_depth = 3, .max_values = 12}}) {
    const nlohmann::json expected = oracle(text, limits);
    try {
      const JsonText read{text, limits};
      require(!expected.is_discarded());
      compare(read.root(), expected);
      for (const JsonMember member : read.root().members()) {
        compare(JsonText{member.value.raw()}.root(), expected.at(member.key.text()));
      }
    } catch (const ecso::Error& error) {
      require(expected.is_discarded());
      const std::string& message = error.message();
      require(error.code() == ecso::Errc::bad_input && message.starts_with("JSON: ") && is_valid_utf8(message));
      require(std::ranges::none_of(message, [](unsigned char c) { return c < ' ' || c == '\x7F'; }));
    }
  }
  return 0;
}
