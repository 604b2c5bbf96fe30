#pragma once

#include <optional>
#include <string>

namespace ecso {

/// Where `CacheBackend` keeps what it knows: text by key. A store may forget anything at any time, and need not be believed: what
/// it gives back is checked. Implementations are thread safe and bound their size.
class ReplyStore {
 public:
  ReplyStore() = default;
  ReplyStore(const ReplyStore&) = delete;
  ReplyStore& operator=(const ReplyStore&) = delete;
  virtual ~ReplyStore() = default;

  /// What was last saved under the key, if it is still there.
  /// @throws Error if the store cannot be read.
  [[nodiscard]] virtual std::optional<std::string> load(const std::string& key) = 0;

  /// Keeps the value in place of what the key had before. A value that is too large for the store is not kept.
  /// @throws Error if the store cannot be written.
  virtual void save(const std::string& key, const std::string& value) = 0;
};

}  // namespace ecso
