#pragma once

#include <ecso/error.hpp>

#include <curl/curl.h>

#include <memory>
#include <string>
#include <string_view>

namespace ecso {

/// A checked http:// or https:// URL without user, password, query and fragment, so that it may stand in any message.
///
///     Url::parse("HTTP://localhost:8080/v1/").with_path("/chat/completions").text()
///     // http://localhost:8080/v1/chat/completions
class Url {
 public:
  /// @throws Error (bad_input) that says what is wrong; it never repeats a user, a password or a query, which may hold a key.
  [[nodiscard]] static Url parse(std::string_view text) {
    const Parts parts = make_parts();
    const CURLUcode code = curl_url_set(parts.get(), CURLUPART_URL, std::string{text}.c_str(), CURLU_NON_SUPPORT_SCHEME);
    const std::string scheme = code == CURLUE_OK ? get(parts, CURLUPART_SCHEME) : "";
    if (text.find('\0') != std::string_view::npos) fail(text, "has a zero byte");
    if (text.empty()) fail(text, "is empty");
    if (text.find("://") == std::string_view::npos) fail(text, "does not start with http:// or https://");
    if (code == CURLUE_OUT_OF_MEMORY) throw Error{Errc::internal, "libcurl: out of memory"};
    if (code == CURLUE_BAD_PORT_NUMBER) fail(text, "has a port that is not a number from 1 to 65535");
    if (code == CURLUE_NO_HOST) fail(text, "names no host");
    if (code != CURLUE_OK) fail(text, "is not a URL");
    if (scheme != "http" && scheme != "https") fail(text, "is neither http:// nor https://");
    if (get(parts, CURLUPART_HOST).empty()) fail(text, "names no host");
    if (has(parts, CURLUPART_USER) || has(parts, CURLUPART_PASSWORD)) {
      fail(text, "holds a user or a password; give the key by the option for the key instead");
    }
    if (text.find('?') != std::string_view::npos) fail(text, "has a query (the part from \"?\" on)");
    if (text.find('#') != std::string_view::npos) fail(text, "has a fragment (the part from \"#\" on)");
    return Url{parts};
  }

  /// The whole URL, with scheme and host in lower case as libcurl writes them, without slashes at its end.
  [[nodiscard]] const std::string& text() const noexcept { return text_; }

  /// What follows host and port: empty or "/v1", for example.
  [[nodiscard]] std::string_view path() const noexcept { return std::string_view{text_}.substr(text_.size() - path_size_); }

  /// The host, in lower case; an IPv6 address keeps its brackets.
  [[nodiscard]] std::string_view host() const noexcept {
    std::string_view rest = std::string_view{text_}.substr(0, text_.size() - path_size_);
    rest.remove_prefix(rest.find("://") + 3);
    return rest.substr(0, rest.starts_with('[') ? rest.find(']') + 1 : rest.find(':'));
  }

  /// The URL without `end` at the end of its path, or as it is if the path ends otherwise.
  [[nodiscard]] Url without_path_end(std::string_view end) const {
    Url shorter = *this;
    if (!path().ends_with(end)) return shorter;
    shorter.text_.resize(text_.size() - end.size());
    shorter.path_size_ -= end.size();
    return shorter;
  }

  /// The URL with `path`, which starts with a slash, after its own path.
  [[nodiscard]] Url with_path(std::string_view path) const {
    Url joined = *this;
    joined.text_.append(path);
    joined.path_size_ += path.size();
    return joined;
  }

  /// The URL with a query, "api-version=2024-10-21" for example, after it. It must not hold a key: messages show it.
  [[nodiscard]] Url with_query(std::string_view query) const {
    Url asked = *this;
    if (query.empty()) return asked;
    asked.text_.append(1, '?').append(query);
    asked.path_size_ += 1 + query.size();
    return asked;
  }

  bool operator==(const Url&) const = default;

 private:
  struct Free {
    void operator()(CURLU* parts) const noexcept { curl_url_cleanup(parts); }
    void operator()(char* text) const noexcept { curl_free(text); }
  };
  using Parts = std::unique_ptr<CURLU, Free>;

  explicit Url(const Parts& parts) : text_{get(parts, CURLUPART_URL)} {
    std::string path = get(parts, CURLUPART_PATH);
    text_.resize(text_.size() - path.size());
    path.erase(path.find_last_not_of('/') + 1);
    text_.append(path);
    path_size_ = path.size();
  }

  [[nodiscard]] static Parts make_parts() {
    Parts parts{curl_url()};
    if (!parts) throw Error{Errc::internal, "libcurl: out of memory"};
    return parts;
  }

  [[nodiscard]] static bool has(const Parts& parts, CURLUPart part) { return !get(parts, part).empty(); }

  [[nodiscard]] static std::string get(const Parts& parts, CURLUPart part) {
    char* value = nullptr;
    if (curl_url_get(parts.get(), part, &value, 0) != CURLUE_OK) return {};
    const std::unique_ptr<char, Free> owner{value};
    return value;
  }

  [[noreturn]] static void fail(std::string_view text, std::string_view what) {
    std::string message = "the URL ";
    if (text.find('@') == std::string_view::npos)
      message.append(1, '"').append(text.substr(0, text.find_first_of("?#"))).append("\" ");
    for (char& c : message) {
      if (static_cast<unsigned char>(c) < ' ' || c == '\x7F') c = '?';
    }
    throw Error{Errc::bad_input, message.append(what)};
  }

  std::string text_;
  std::size_t path_size_ = 0;
};

}  // namespace ecso
